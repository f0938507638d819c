//! `relay`, `replay`, `rebuild` and `verify`: a long log into an empty topic, the topic into empty
//! views and into a new generation, and the comparison of the views with the log.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::http::latency;
use crate::library::Library;
use crate::load::Connection;
use crate::processes::Process;
use crate::report::{Report, rounded};
use crate::servers::{Environment, Servers};
use crate::{Name, copy, verify};

/// Timeout of the relay.
const RELAY_TIMEOUT: Duration = Duration::from_secs(120);
const ACCOUNTS: usize = 10_000;
/// Commands per second during a rebuild.
const LIVE_LOAD: f64 = 1_000.0;
const RELAYED: usize = 500_000;
const REPLAYED: usize = 1_000_000;

/// Measures events per second of each benchmark in `names`. Returns whether the views equal the
/// log, if a benchmark built them.
pub(crate) async fn mirror(
    servers: &Servers,
    names: &[Name],
    time: Duration,
    report: &mut Report,
) -> anyhow::Result<Option<bool>> {
    let environment = servers.environment().await?;
    let (mut events, accounts) = write(&environment, RELAYED).await?;
    let started = Instant::now();
    let mut command = Process::command(&environment).await?;
    published(&command, events).await?;
    let value =
        json!({"events": events, "events_per_second": per_second(events, started.elapsed())});
    report.line("relay", Some(&value));
    report.put("relay", value);
    let mut verified = None;
    if [Name::Replay, Name::Rebuild, Name::Verify].iter().any(|name| names.contains(name)) {
        command.stop().await?;
        events += write(&environment, REPLAYED - RELAYED).await?.0;
        command = Process::command(&environment).await?;
        // The counter of a new process starts at 0.
        published(&command, events - RELAYED).await?;
        let started = Instant::now();
        let projection = Process::projection(&environment, &command).await?;
        verify::caught_up(command.addr, projection.addr).await?;
        let value =
            json!({"events": events, "events_per_second": per_second(events, started.elapsed())});
        report.line("replay", Some(&value));
        report.put("replay", value);
        if names.contains(&Name::Rebuild) {
            let value = rebuild(&environment, &command, &projection, &accounts, time).await?;
            report.line("rebuild", Some(&value));
            report.put("rebuild", value);
        }
        let started = Instant::now();
        verified = Some(verify::equal(command.addr, projection.addr).await?);
        if names.contains(&Name::Verify) {
            let took = started.elapsed();
            let seconds = (took.as_secs_f64() * 10.0).round() / 10.0;
            let rate = per_second(events, took);
            let value = json!({"events": events, "events_per_second": rate, "seconds": seconds});
            report.line("verify", Some(&value));
            report.put("verify", value);
        }
        projection.stop().await?;
    }
    command.stop().await?;
    environment.drop_databases().await?;
    Ok(verified)
}

/// Measures a rebuild alone, another one under load with its effect on the latency of views, and
/// the limit that Postgres sets.
async fn rebuild(
    environment: &Environment,
    command: &Process,
    projection: &Process,
    accounts: &Arc<[Uuid]>,
    time: Duration,
) -> anyhow::Result<Value> {
    let (events, alone) = full_replay(projection).await?;
    let load = latency(command.addr, projection.addr, accounts, time + alone, LIVE_LOAD);
    let (under_load, load) = tokio::join!(full_replay(projection), load);
    let ((_, under_load), load) = (under_load?, load?);
    let (copied, limit) = copy::limit(&environment.projection_database_url).await?;
    Ok(json!({
        "events": events,
        "events_per_second": per_second(events, alone),
        "limit_per_second": per_second(copied, limit),
        "during_load_per_second": per_second(events, under_load),
        "load_per_second": load["per_second"],
        "view_p50_ms": load["p50_ms"],
        "view_p99_ms": load["p99_ms"],
        "peak_mib": projection.peak_mib()?,
    }))
}

/// Rebuilds the views. Returns the number of events, and the time until the new views are live.
async fn full_replay(projection: &Process) -> anyhow::Result<(usize, Duration)> {
    let started = Instant::now();
    let mut connection = Connection::open(projection.addr).await?;
    let from = Some(r#"{"from":"beginning"}"#.to_owned());
    let (status, answer) =
        connection.send(hyper::Method::POST, "/admin/replays", from, None).await?;
    let asked: Value = serde_json::from_slice(&answer)?;
    let path = format!(
        "/admin/replays/{}",
        asked["id"].as_str().with_context(|| format!("{status}: {asked}"))?
    );
    loop {
        let replay = connection.get(&path).await?;
        if replay["ended_at"].is_string() {
            anyhow::ensure!(
                replay["state"] == "done" && replay["differences"] == 0,
                "a replay failed: {replay}"
            );
            let events =
                replay["events_done"].as_u64().and_then(|events| usize::try_from(events).ok());
            return Ok((events.context("no events")?, started.elapsed()));
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn per_second(events: usize, took: Duration) -> serde_json::Value {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    rounded(events as f64 / took.as_secs_f64())
}

/// Appends about `events` events without a relay. Returns the exact number, and the accounts.
async fn write(environment: &Environment, events: usize) -> anyhow::Result<(usize, Arc<[Uuid]>)> {
    let library = Library::start(environment).await?;
    let accounts = library.open(ACCOUNTS).await?;
    let deposits = (events - ACCOUNTS) / 256;
    library.each(256, deposits, &accounts).await?;
    library.end().await?;
    Ok((ACCOUNTS + deposits * 256, accounts))
}

/// Waits until Kafka has acknowledged `events` events.
async fn published(command: &Process, events: usize) -> anyhow::Result<()> {
    let mut connection = Connection::open(command.addr).await?;
    let deadline = Instant::now() + RELAY_TIMEOUT;
    while Instant::now() < deadline {
        let (_, metrics) = connection.send(hyper::Method::GET, "/metrics", None, None).await?;
        let metrics = String::from_utf8_lossy(&metrics);
        let counter =
            metrics.lines().find_map(|line| line.strip_prefix("passbook_relay_published_total "));
        if counter
            .and_then(|count| count.parse::<f64>().ok())
            .is_some_and(|count| count >= events as f64)
        {
            return Ok(());
        }
        sleep(Duration::from_millis(20)).await;
    }
    bail!("the relay did not publish {events} events within {RELAY_TIMEOUT:?}")
}
