//! Comparison of the views with the fold of the log.

use anyhow::{Context, ensure};
use serde_json::Value;
use uuid::Uuid;

use super::Log;
use super::fold::fold;
use crate::client::Client;
use crate::process::eventually;

/// Waits until the views have applied the log, and compares every account and every entry with the
/// fold of the log.
pub(super) async fn views_equal(log: &Log, projection: &Client) -> anyhow::Result<()> {
    caught_up(log, projection).await?;
    let expected = fold(log)?;
    let mut seen = 0;
    for view in pages(projection, "/v1/accounts?limit=200").await? {
        let id: Uuid = view["account_id"].as_str().context("no account_id")?.parse()?;
        let account =
            expected.get(&id).with_context(|| format!("the views have {id}, the log does not"))?;
        same(&view, &account.view).with_context(|| format!("account {id}"))?;
        let entries = pages(projection, &format!("/v1/accounts/{id}/entries?limit=200")).await?;
        ensure!(
            entries.len() == account.entries.len(),
            "{id}: {} entries, not {}",
            entries.len(),
            account.entries.len()
        );
        for (entry, expected) in entries.iter().zip(account.entries.iter().rev()) {
            same(entry, expected).with_context(|| format!("an entry of {id}"))?;
        }
        seen += 1;
    }
    ensure!(seen == expected.len(), "the views have {seen} accounts, the log {}", expected.len());
    Ok(())
}

/// Waits until the views have applied the whole log.
pub(crate) async fn caught_up(log: &Log, projection: &Client) -> anyhow::Result<()> {
    let heads: Vec<i64> =
        log.iter().map(|events| i64::try_from(events.len())).collect::<Result<_, _>>()?;
    eventually("the views have applied the log", async || {
        let state = projection.json("/admin/projection").await?;
        let partitions = state["partitions"].as_array().context("no partitions")?;
        let mut at = vec![0; heads.len()];
        for partition in partitions {
            let number = partition["partition"].as_u64().context("no number")?;
            at[usize::try_from(number)?] = partition["position"].as_i64().context("no position")?;
        }
        ensure!(at == heads, "the views are at {at:?}, the log at {heads:?}: {state}");
        Ok(())
    })
    .await
}

/// Reads all pages of a list.
async fn pages(client: &Client, path: &str) -> anyhow::Result<Vec<Value>> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let mut page = client.json(&format!("{path}{cursor}")).await?;
        let data = page["data"].take();
        all.extend(data.as_array().context("no data")?.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(all),
        }
    }
}

/// Checks that `actual` has every field of `expected`. It may have more.
fn same(actual: &Value, expected: &Value) -> anyhow::Result<()> {
    for (name, value) in expected.as_object().context("not an object")? {
        ensure!(&actual[name] == value, "{name} is {}, not {value}: {actual}", actual[name]);
    }
    Ok(())
}
