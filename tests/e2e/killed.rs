//! Services that are killed at random moments and started again.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use crate::client::{Client, created};
use crate::environment::{Environment, Pair};
use crate::load::{Acknowledged, Load};
use crate::process::eventually;

const KILLS: usize = 20;
const CLIENTS: usize = 8;
const ACCOUNTS: usize = 40;

/// Returns a random time of up to 255 ms.
fn random_time() -> Duration {
    Duration::from_millis(u64::from(Uuid::new_v4().as_bytes()[0]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_service_killed_at_random_loses_nothing_acknowledged() -> anyhow::Result<()> {
    command_killed("command_killed_1", 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn command_services_killed_at_random_lose_nothing_acknowledged_with_two_of_each()
-> anyhow::Result<()> {
    command_killed("command_killed_2", 2).await
}

async fn command_killed(name: &'static str, instances: usize) -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new(name).await?, instances).await?;
    let load = Load::start(&pair.command()?, CLIENTS, ACCOUNTS).await?;
    for turn in 0..KILLS {
        // The service works before it is killed again.
        load.further(30).await?;
        sleep(random_time()).await;
        pair.commands[turn % instances].kill_and_start().await?;
    }
    let acknowledged = load.stop().await?;
    ensure!(acknowledged.len() >= 30 * KILLS, "only {} commands", acknowledged.len());
    pair.assert_consistent(&acknowledged).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_killed_at_random_shows_the_fold_of_the_log() -> anyhow::Result<()> {
    projection_killed("projection_killed_1", 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn projections_killed_at_random_show_the_fold_of_the_log_with_two_of_each()
-> anyhow::Result<()> {
    projection_killed("projection_killed_2", 2).await
}

async fn projection_killed(name: &'static str, instances: usize) -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new(name).await?, instances).await?;
    let load = Load::start(&pair.command()?, CLIENTS, ACCOUNTS).await?;
    for turn in 0..KILLS {
        let killed = turn % instances;
        let client = pair.projections[killed].client()?;
        eventually("the projection applies events before it is killed", async || {
            ensure!(applied(&client).await? > 0, "no event so far");
            Ok(())
        })
        .await?;
        sleep(random_time()).await;
        pair.projections[killed].kill_and_start().await?;
    }
    let acknowledged = load.stop().await?;
    pair.assert_consistent(&acknowledged).await.map(drop)
}

/// Returns the number of events that this process has applied.
async fn applied(projection: &Client) -> anyhow::Result<u64> {
    let metrics = projection.metrics().await?;
    let counter =
        metrics.lines().find_map(|line| line.strip_prefix("passbook_projection_events_total "));
    Ok(counter.map_or(Ok(0), str::parse)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_killed_after_publishing_repeats_nothing_in_the_views() -> anyhow::Result<()> {
    relay_killed("relay_killed_1", 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_killed_after_publishing_repeat_nothing_in_the_views_with_two_of_each()
-> anyhow::Result<()> {
    relay_killed("relay_killed_2", 2).await
}

/// Kills services right after bursts. The relay publishes right after the commit and records
/// nothing, so it, or that of the other instance, publishes the last events again.
async fn relay_killed(name: &'static str, instances: usize) -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new(name).await?, instances).await?;
    let client = pair.command()?;
    let account = client.open().await?;
    let mut acknowledged = Vec::new();
    for turn in 0..10 {
        let mut burst = JoinSet::new();
        for _ in 0..50 {
            let client = client.clone();
            burst.spawn(async move {
                let key = Uuid::new_v4().to_string();
                let path = format!("/v1/accounts/{account}/deposits");
                // 409: the command lost the race against the other instance too often.
                let answer = eventually("a deposit is accepted", async || {
                    created(client.post(&path, Some(&key), &json!({"amount": 1})).await?).await
                });
                let answer = answer.await?;
                anyhow::Ok((key, serde_json::from_str::<serde_json::Value>(&answer)?))
            });
        }
        while let Some(answer) = burst.join_next().await {
            let (key, answer) = answer??;
            let position = answer["position"].as_str().context("no position")?.to_owned();
            acknowledged.push(Acknowledged {
                account,
                key,
                position,
                version: answer["version"].as_i64().context("no version")?,
            });
        }
        let killed = &mut pair.commands[turn % instances];
        killed.kill_and_start().await?;
        killed.ready().await?;
    }
    pair.assert_consistent(&acknowledged).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn services_stopped_in_order_under_load_lose_nothing() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("stopped").await?, 1).await?;
    let load = Load::start(&pair.command()?, CLIENTS, ACCOUNTS).await?;
    for _ in 0..3 {
        load.further(50).await?;
        pair.commands[0].stop().await?;
        pair.commands[0].start()?;
        pair.commands[0].ready().await?;
        load.further(50).await?;
        pair.projections[0].stop().await?;
        pair.projections[0].start()?;
    }
    let acknowledged = load.stop().await?;
    pair.assert_consistent(&acknowledged).await.map(drop)
}
