//! Replays whose service is killed, and replays while clients read and write.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use super::{ended, generation, pair_with_history, replays, request};
use crate::process::eventually;
use crate::verify;

/// Kills the service up to three times during each of 20 replays.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_whose_service_is_killed_at_random_completes() -> anyhow::Result<()> {
    const REPLAYS: usize = 20;
    let mut pair = pair_with_history("killed_replay", 1_000).await?;
    let views = pair.projection()?;
    for round in 0..REPLAYS {
        let requested = eventually("a replay is requested", async || {
            request(&views, json!({"from": "beginning"})).await
        })
        .await?;
        let mut kills = 0;
        while !replays(&views)
            .await
            .is_ok_and(|all| all[0]["id"] == requested["id"] && all[0]["ended_at"].is_string())
        {
            sleep(Duration::from_millis(u64::from(Uuid::new_v4().as_bytes()[0]) * 2)).await;
            if kills < 3 {
                pair.projections[0].kill_and_start().await?;
                kills += 1;
            }
        }
        let replay = ended(&views).await?;
        let done = replay["state"] == "done" && replay["differences"] == 0;
        ensure!(done, "round {round}, {kills} kills: {replay}");
        verify::finds_nothing(&views).await?;
    }
    pair.assert_consistent(&[]).await?;
    let mut connection = PgConnection::connect(&pair.environment.projection_database_url).await?;
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'views\\__%'")
            .fetch_one(&mut connection)
            .await?;
    ensure!(left == 2, "{left} generations are left, not the live one and its predecessor");
    Ok(())
}

/// Runs replays while 64 clients write, and read their own writes.
#[tokio::test(flavor = "multi_thread")]
async fn no_reader_sees_a_view_go_back_while_replays_run() -> anyhow::Result<()> {
    const CLIENTS: usize = 64;
    let mut pair = pair_with_history("rolling_replay", 300).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let (stop, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let seen: Arc<Mutex<HashMap<Uuid, i64>>> = Arc::default();
    let mut accounts = Vec::new();
    for _ in 0..CLIENTS / 4 {
        accounts.push(commands.open().await?);
    }
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (commands, views, account) =
            (commands.clone(), views.clone(), accounts[number % accounts.len()]);
        let (stop, reads, seen) = (Arc::clone(&stop), Arc::clone(&reads), Arc::clone(&seen));
        clients.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let written = commands.deposit(account, None, 1).await?["version"]
                    .as_i64()
                    .context("no version")?;
                let known =
                    seen.lock().unwrap_or_else(PoisonError::into_inner).get(&account).copied();
                let view =
                    views.json(&format!("/v1/accounts/{account}?min_version={written}")).await?;
                let version = view["version"].as_i64().context("no version")?;
                if version < written || known.is_some_and(|known| version < known) {
                    bail!("{account} went back to {version} from {known:?} or {written}");
                }
                seen.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .entry(account)
                    .and_modify(|newest| *newest = version.max(*newest))
                    .or_insert(version);
                reads.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(20)).await;
            }
            anyhow::Ok(())
        });
    }
    let state = views.json("/admin/projection").await?;
    let partitions = state["partitions"].as_array().context("no list")?;
    let halved = |p: &Value| Some((p["partition"].to_string(), json!(p["offset"].as_i64()? / 2)));
    let halfway: serde_json::Map<String, Value> =
        partitions.iter().filter_map(halved).take(3).collect();
    let beginning = json!({"from": "beginning"});
    for from in [
        &beginning,
        &json!({"from": "partition_offsets", "partition_offsets": halfway}),
        &beginning,
    ] {
        request(&views, from.clone()).await?;
        let replay = ended(&views).await?;
        ensure!(replay["state"] == "done", "{from}: {replay}");
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    let reads = reads.load(Ordering::Relaxed);
    ensure!(reads > CLIENTS && generation(&views).await? == 3, "{reads} reads");
    pair.assert_consistent(&[]).await.map(drop)
}
