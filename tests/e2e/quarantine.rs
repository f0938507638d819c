//! Quarantine of events that could not be applied: reads show it, and an operator retries or
//! discards the events.

mod discarded;
mod limit;
mod retried;

use anyhow::{Context, ensure};
use passbook_shared::partition::{Partition, partition_of};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::Client;
use crate::infrastructure::PARTITIONS;
use crate::process::eventually;

fn partition_for(account: Uuid) -> Partition {
    partition_of(account, PARTITIONS)
}

/// Waits until an event of the account is quarantined with `waiting` events behind it, and returns
/// its entry.
async fn quarantined(views: &Client, account: Uuid, waiting: i64) -> anyhow::Result<Value> {
    eventually("the event is quarantined", async || {
        let list = views.json("/admin/quarantine").await?;
        let rows = list["data"].as_array().context("no list")?;
        let row = rows
            .iter()
            .find(|row| row["account_id"] == json!(account))
            .context("not quarantined")?;
        ensure!(row["waiting"] == waiting, "{row}");
        Ok(row.clone())
    })
    .await
}

/// Retries or discards a quarantined event, and returns status and answer.
async fn resolve(
    views: &Client,
    row: &Value,
    how: &str,
    body: &Value,
) -> anyhow::Result<(u16, Value)> {
    let response =
        views.post(&format!("/admin/quarantine/{}/{how}", row["id"]), None, body).await?;
    Ok((response.status().as_u16(), response.json().await?))
}

/// Returns the versions on the statement, newest first.
async fn entries(views: &Client, account: Uuid) -> anyhow::Result<Vec<i64>> {
    let statement = views.json(&format!("/v1/accounts/{account}/entries")).await?;
    let entries = statement["data"].as_array().context("no list")?;
    Ok(entries.iter().filter_map(|entry| entry["version"].as_i64()).collect())
}

/// Runs a replay to its end, and checks that it found no difference.
async fn replayed(views: &Client, from: &Value) -> anyhow::Result<()> {
    let asked = views.post("/admin/replays", None, from).await?;
    ensure!(asked.status() == 202, "{}", asked.text().await?);
    let id = asked.json::<Value>().await?["id"].clone();
    let path = format!("/admin/replays/{}", id.as_str().context("no id")?);
    eventually("the replay is done", async || {
        let replay = views.json(&path).await?;
        ensure!(replay["state"] == "done", "{replay}");
        ensure!(replay["differences"].as_i64().unwrap_or(0) == 0, "{replay}");
        Ok(())
    })
    .await
}
