//! Quarantined events are no differences, as long as they are complete.

use anyhow::ensure;
use passbook_shared::partition::partition_of;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::{finds_nothing, found, run};
use crate::environment::{Environment, Pair};
use crate::infrastructure::PARTITIONS;
use crate::unreadable::{append, open};

#[tokio::test(flavor = "multi_thread")]
async fn verify_counts_quarantined_events_and_finds_missing_ones() -> anyhow::Result<()> {
    let pair = Pair::start(Environment::new("verify_quarantine").await?, 1).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let account = open(&commands, Uuid::new_v4()).await?;
    for (version, event_type) in [(2, "MoneyBurnt"), (3, "MoneyDeposited"), (4, "MoneyDeposited")] {
        append(&pair.environment, account, version, event_type).await?;
    }
    let partition = partition_of(account, PARTITIONS);
    views.json(&format!("/v1/stats?at_least={partition}-4")).await?;
    let job = finds_nothing(&views).await?;
    ensure!(job["quarantined"] == 3 && job["events"] == 4 && job["accounts"] == 1, "{job}");

    let mut connection = PgConnection::connect(&pair.environment.projection_database_url).await?;
    let others = "INSERT INTO views_1.quarantine (partition, position, account_id, version,
                                                  waits, reason, document)
                  SELECT partition, position + 1000, account_id, version + 1000, waits, reason,
                  document";
    let cases = [
        (format!("{others} FROM views_1.quarantine WHERE version = 4"), "quarantine_too_many"),
        (
            "UPDATE views_1.quarantine SET document = '{}' WHERE version = 3".to_owned(),
            "quarantine_differs",
        ),
        ("DELETE FROM views_1.quarantine WHERE version = 4".to_owned(), "quarantine_missing"),
        ("UPDATE views_1.accounts SET balance = 1".to_owned(), "account_differs"),
    ];
    for (sql, kind) in cases {
        run(&mut connection, &sql).await?;
        let (_, kinds, job) = found(&views).await?;
        ensure!(kinds.contains(kind), "{sql}: {job}");
    }
    // The events are neither quarantined nor applied.
    run(&mut connection, "DELETE FROM views_1.quarantine").await?;
    let (_, kinds, job) = found(&views).await?;
    ensure!(kinds.contains("not_set_aside"), "{job}");
    Ok(connection.close().await?)
}
