//! Unreadable input: records of the topic that are no events, and events of a type that the
//! projection does not know.

use std::time::Duration;

use anyhow::ensure;
use passbook_shared::partition::{Partition, partition_of};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::client::Client;
use crate::environment::{Environment, Pair};
use crate::infrastructure::PARTITIONS;
use crate::load::Load;
use crate::process::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_no_events_are_skipped() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("no_events").await?, 1).await?;
    let load = Load::start(&pair.command()?, 8, 40).await?;
    load.further(100).await?;
    let random: Vec<u8> = (0..4_096).flat_map(|_| *Uuid::new_v4().as_bytes()).collect();
    let records: [&[u8]; 4] = [b"", b"\0\xff{", br#"{"specversion":"1.0","id":7}"#, &random];
    let producer: FutureProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &pair.environment.kafka.brokers)
        .create()?;
    for partition in PARTITIONS.all() {
        for record in records {
            let record = FutureRecord::<str, _>::to(&pair.environment.topic)
                .partition(partition.into())
                .payload(record);
            producer.send(record, Duration::from_secs(30)).await.map_err(|(error, _)| error)?;
        }
    }
    load.further(100).await?;
    // After a restart, the relay also has to find the log's last event among them.
    pair.commands[0].kill_and_start().await?;
    load.further(100).await?;
    let acknowledged = load.stop().await?;
    pair.assert_consistent(&acknowledged).await?;

    let expected = usize::from(PARTITIONS.get()) * records.len();
    let state = pair.projection()?.json("/admin/projection").await?;
    ensure!(state["quarantined"] == 0, "{state}");
    let metrics = pair.projection()?.metrics().await?;
    let counted =
        format!("passbook_topic_unusable_records_total{{kind=\"undecodable\"}} {expected}");
    ensure!(metrics.contains(&counted), "{metrics}");
    Ok(())
}

/// Appends an event as a newer command-service would.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_event_quarantines_its_account_and_no_other() -> anyhow::Result<()> {
    let pair = Pair::start(Environment::new("unknown_event").await?, 1).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let account = open(&commands, Uuid::new_v4()).await?;
    let partition = partition_of(account, PARTITIONS);
    let neighbour = open(&commands, in_partition(partition)).await?;
    for (version, event_type) in [(2, "MoneyBurnt"), (3, "MoneyDeposited")] {
        append(&pair.environment, account, version, event_type).await?;
    }
    commands.deposit(neighbour, None, 1).await?;
    let view = views.json(&format!("/v1/accounts/{neighbour}?min_version=2")).await?;
    ensure!(view["balance"] == 1, "{view}");
    let view = views.json(&format!("/v1/accounts/{account}")).await?;
    ensure!(view["version"] == 1, "an event behind an unreadable one was applied: {view}");
    eventually("both events are quarantined", async || {
        let state = views.json("/admin/projection").await?;
        let row = &state["newest_quarantined"][0];
        let named = row["reason"].as_str().unwrap_or_default().contains("MoneyBurnt");
        ensure!(named && row["waiting"] == 1 && row["account_id"] == json!(account), "{state}");
        ensure!(state["quarantined"] == 2, "{state}");
        Ok(())
    })
    .await
}

/// Opens an account under the given id.
pub(crate) async fn open(commands: &Client, id: Uuid) -> anyhow::Result<Uuid> {
    let body = json!({"account_id": id, "owner": "somebody", "currency": "EUR"});
    let response = commands.post("/v1/accounts", None, &body).await?;
    ensure!(response.status() == 201, "{}", response.text().await?);
    Ok(id)
}

/// Returns a new account id of a partition.
pub(crate) fn in_partition(partition: Partition) -> Uuid {
    loop {
        let id = Uuid::new_v4();
        if partition_of(id, PARTITIONS) == partition {
            return id;
        }
    }
}

/// Appends an event to the log without the command-service.
pub(crate) async fn append(
    environment: &Environment,
    account: Uuid,
    version: i64,
    event_type: &str,
) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(&environment.database_url).await?;
    sqlx::query(
        "WITH head AS (
            UPDATE passbook.log_head SET position = position + 1
             WHERE partition = $1 RETURNING partition, position)
         INSERT INTO passbook.events (position, version, recorded_at, partition, schema_version,
                                      account_id, event_id,
                                      command_id, type, data)
         SELECT position, $2, clock_timestamp(), partition, 1, $3,
                gen_random_uuid(), gen_random_uuid(), $4,
                '{\"amount\": 1}' FROM head",
    )
    .bind(partition_of(account, PARTITIONS))
    .bind(version)
    .bind(account)
    .bind(event_type)
    .execute(&mut connection)
    .await?;
    Ok(connection.close().await?)
}
