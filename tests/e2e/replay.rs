//! Replays. Whatever interrupts one, the views equal a fold of the log afterwards, and no reader
//! sees a view go back.

mod faults;
mod requested;
mod resets;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::client::Client;
use crate::environment::{Environment, Pair};
use crate::load::Load;
use crate::process::eventually;

/// Starts a pair with some history. Its projection leaves the consumer group as soon as it is
/// stopped.
async fn pair_with_history(name: &'static str, commands: usize) -> anyhow::Result<Pair> {
    let mut pair = Pair::start(Environment::new(name).await?, 1).await?;
    let projection = &mut pair.projections[0];
    projection.stop().await?;
    projection.unset("kafka-group-instance");
    projection.start()?;
    more(&pair, commands).await?;
    pair.assert_consistent(&[]).await?;
    Ok(pair)
}

/// Executes `commands` further commands on new accounts.
async fn more(pair: &Pair, commands: usize) -> anyhow::Result<()> {
    let load = Load::start(&pair.command()?, 16, 20).await?;
    load.further(commands).await?;
    load.stop().await.map(drop)
}

async fn replays(projection: &Client) -> anyhow::Result<Vec<Value>> {
    let mut list = projection.json("/admin/replays").await?;
    list["data"].as_array_mut().map(std::mem::take).context("no list")
}

async fn generation(projection: &Client) -> anyhow::Result<i64> {
    projection.json("/admin/projection").await?["generation"].as_i64().context("no generation")
}

/// Waits until the newest replay has ended, and returns it.
pub(crate) async fn ended(projection: &Client) -> anyhow::Result<Value> {
    eventually("the replay has ended", async || {
        let newest = replays(projection).await?.into_iter().next().context("no replay")?;
        ensure!(newest["ended_at"].is_string(), "{newest}");
        Ok(newest)
    })
    .await
}

/// Requests a replay and returns the answer.
pub(crate) async fn request(projection: &Client, from: Value) -> anyhow::Result<Value> {
    let response = projection.post("/admin/replays", None, &from).await?;
    let status = response.status();
    let text = response.text().await?;
    ensure!(status == 202, "{status}: {text}");
    Ok(serde_json::from_str(&text)?)
}
