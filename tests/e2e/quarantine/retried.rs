//! Quarantined events that are retried.

use anyhow::ensure;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::{entries, quarantined, resolve};
use crate::environment::{Environment, Pair};
use crate::unreadable::{append, open};
use crate::verify;

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_applies_the_event_and_those_behind_it_up_to_the_next_unknown_one()
-> anyhow::Result<()> {
    let pair = Pair::start(Environment::new("quarantine_retry").await?, 1).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let account = open(&commands, Uuid::new_v4()).await?;
    let types = ["MoneyBurnt", "MoneyDeposited", "MoneyMelted", "MoneyDeposited"];
    for (version, event_type) in (2..).zip(types) {
        append(&pair.environment, account, version, event_type).await?;
    }
    let row = quarantined(&views, account, 3).await?;
    // Simulates a newer build that knows the event: log and quarantine get a type that this build
    // knows.
    let mut log = PgConnection::connect(&pair.environment.database_url).await?;
    sqlx::query("SET session_replication_role = replica").execute(&mut log).await?;
    let known = "UPDATE passbook.events SET type = 'MoneyDeposited'
                  WHERE account_id = $1 AND type = 'MoneyBurnt'";
    ensure!(sqlx::query(known).bind(account).execute(&mut log).await?.rows_affected() == 1);
    let mut connection = PgConnection::connect(&pair.environment.projection_database_url).await?;
    let repair = "UPDATE views_1.quarantine
                     SET document = convert_to(
                             replace(convert_from(document, 'UTF8'),
                                     'MoneyBurnt', 'MoneyDeposited'),
                             'UTF8')";
    sqlx::query(repair).execute(&mut connection).await?;
    let resolved = resolve(&views, &row, "retry", &json!({})).await?;
    ensure!(resolved == (200, json!({"applied": 2, "left": 2})), "{resolved:?}");
    ensure!(entries(&views, account).await? == [3, 2, 1]);
    verify::finds_nothing(&views).await?;
    let next = quarantined(&views, account, 1).await?;
    ensure!(next["reason"].as_str().is_some_and(|reason| reason.contains("MoneyMelted")), "{next}");

    append(&pair.environment, account, 6, "MoneyDeposited").await?;
    let next = quarantined(&views, account, 2).await?;
    let resolved = resolve(&views, &next, "discard", &json!({"reason": "a test"})).await?;
    ensure!(resolved == (200, json!({"applied": 2, "left": 0})), "{resolved:?}");
    append(&pair.environment, account, 7, "MoneyDeposited").await?;
    views.json(&format!("/v1/accounts/{account}?min_version=7")).await?;
    ensure!(entries(&views, account).await? == [7, 6, 5, 3, 2, 1]);

    let unopened = Uuid::new_v4();
    append(&pair.environment, unopened, 1, "AccountMelted").await?;
    let row = quarantined(&views, unopened, 0).await?;
    let missing = views.get(&format!("/v1/accounts/{unopened}")).await?;
    ensure!(
        missing.status() == 404
            && missing.json::<Value>().await?["quarantined_since"] == row["since"]
    );
    Ok(())
}
