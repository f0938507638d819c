//! `relay`, `replay`, `rebuild` and `verify`: a long log into an empty topic, a full topic into empty views and into new
//! ones beside them, and those views compared with the log.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::Name;
use crate::ground::{Ground, Site};
use crate::http::latency;
use crate::library::Library;
use crate::load::Connection;
use crate::processes::Process;
use crate::report::{Report, rounded};
use crate::verify;

/// How long the relay may take.
const PATIENCE: Duration = Duration::from_secs(120);
const ACCOUNTS: usize = 10_000;
/// Commands a second beside a replay.
const LIVE_LOAD: f64 = 1_000.0;
const RELAYED: usize = 500_000;
const REPLAYED: usize = 1_000_000;

/// Events per second of each that was asked for. Whether the views equal the log, if they were made.
pub(crate) async fn mirror(
    ground: &Ground,
    names: &[Name],
    time: Duration,
    report: &mut Report,
) -> anyhow::Result<Option<bool>> {
    let site = ground.site().await?;
    let (mut events, accounts) = write(&site, RELAYED).await?;
    let started = Instant::now();
    let mut command = Process::command(&site).await?;
    published(&command, events).await?;
    let value =
        json!({"events": events, "events_per_second": per_second(events, started.elapsed())});
    report.line("relay", Some(&value));
    report.put("relay", value);
    let mut verified = None;
    if [Name::Replay, Name::Rebuild, Name::Verify].iter().any(|name| names.contains(name)) {
        command.stop().await?;
        events += write(&site, REPLAYED - RELAYED).await?.0;
        command = Process::command(&site).await?;
        published(&command, events - RELAYED).await?;
        let started = Instant::now();
        let projection = Process::projection(&site, &command).await?;
        verify::caught_up(command.addr, projection.addr).await?;
        let value =
            json!({"events": events, "events_per_second": per_second(events, started.elapsed())});
        report.line("replay", Some(&value));
        report.put("replay", value);
        if names.contains(&Name::Rebuild) {
            let value = rebuild(&command, &projection, &accounts, time).await?;
            report.line("rebuild", Some(&value));
            report.put("rebuild", value);
        }
        let started = Instant::now();
        verified = Some(verify::equal(command.addr, projection.addr).await?);
        if names.contains(&Name::Verify) {
            let took = started.elapsed();
            let seconds = (took.as_secs_f64() * 10.0).round() / 10.0;
            let value = json!({"events": events, "events_per_second": per_second(events, took), "seconds": seconds});
            report.line("verify", Some(&value));
            report.put("verify", value);
        }
        projection.stop().await?;
    }
    command.stop().await?;
    site.clear().await?;
    Ok(verified)
}

/// A full replay alone; and another while commands come in, and what that does to those who wait for the views.
async fn rebuild(
    command: &Process,
    projection: &Process,
    accounts: &Arc<[Uuid]>,
    time: Duration,
) -> anyhow::Result<Value> {
    let (events, alone) = full_replay(projection).await?;
    let load = latency(command.addr, projection.addr, accounts, time + alone, LIVE_LOAD);
    let (beside, load) = tokio::join!(full_replay(projection), load);
    let ((_, beside), load) = (beside?, load?);
    Ok(json!({"events": events, "events_per_second": per_second(events, alone),
        "beside_load_per_second": per_second(events, beside), "load_per_second": load["per_second"],
        "view_p50_ms": load["p50_ms"], "view_p99_ms": load["p99_ms"], "peak_mib": projection.peak_mib()?}))
}

/// How many events it passed, and how long it took from the request to the new views being live.
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
                "a replay ended badly: {replay}"
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

/// Writes so many events to the log, without a relay; gives how many, and whose they are.
async fn write(site: &Site, events: usize) -> anyhow::Result<(usize, Arc<[Uuid]>)> {
    let library = Library::start(site).await?;
    let accounts = library.open(ACCOUNTS).await?;
    let deposits = (events - ACCOUNTS) / 256;
    library.each(256, deposits, &accounts).await?;
    library.end().await?;
    Ok((ACCOUNTS + deposits * 256, accounts))
}

/// Waits until the command-service has had so many events acknowledged.
async fn published(command: &Process, events: usize) -> anyhow::Result<()> {
    let mut connection = Connection::open(command.addr).await?;
    let deadline = Instant::now() + PATIENCE;
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
    bail!("the relay did not publish {events} events in {PATIENCE:?}")
}
