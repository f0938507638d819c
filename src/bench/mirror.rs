//! `relay`, `replay` and `verify`: a long log into an empty topic, a full topic into empty views, and those views
//! compared with the log.

use std::time::Duration;

use anyhow::bail;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::Name;
use super::ground::{Ground, Site};
use super::library::Library;
use super::load::Connection;
use super::processes::Process;
use super::report::{Report, rounded};
use super::verify;

/// How long the relay may take.
const PATIENCE: Duration = Duration::from_secs(120);
const ACCOUNTS: usize = 10_000;
const RELAYED: usize = 500_000;
const REPLAYED: usize = 1_000_000;

/// Events per second of each, as far as the last one asked for. Whether the views equal the log, if they were made.
pub(super) async fn mirror(ground: &Ground, last: Name, report: &mut Report) -> anyhow::Result<Option<bool>> {
    let site = ground.site().await?;
    let mut events = write(&site, RELAYED).await?;
    let started = Instant::now();
    let mut command = Process::command(&site).await?;
    published(&command, events).await?;
    let value = json!({"events": events, "events_per_second": per_second(events, started.elapsed())});
    report.line("relay", Some(&value));
    report.put("relay", value);
    let mut verified = None;
    if last != Name::Relay {
        command.stop().await?;
        events += write(&site, REPLAYED - RELAYED).await?;
        command = Process::command(&site).await?;
        published(&command, events - RELAYED).await?;
        let started = Instant::now();
        let projection = Process::projection(&site, &command).await?;
        verify::caught_up(command.addr, projection.addr).await?;
        let value = json!({"events": events, "events_per_second": per_second(events, started.elapsed())});
        report.line("replay", Some(&value));
        report.put("replay", value);
        let started = Instant::now();
        verified = Some(verify::equal(command.addr, projection.addr).await?);
        if last == Name::Verify {
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

fn per_second(events: usize, took: Duration) -> serde_json::Value {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    rounded(events as f64 / took.as_secs_f64())
}

/// Writes so many events to the log, without a relay.
async fn write(site: &Site, events: usize) -> anyhow::Result<usize> {
    let library = Library::start(site).await?;
    let accounts = library.open(ACCOUNTS).await?;
    let deposits = (events - ACCOUNTS) / 256;
    library.each(256, deposits, &accounts).await?;
    library.end().await?;
    Ok(ACCOUNTS + deposits * 256)
}

/// Waits until the command-service has had so many events acknowledged.
async fn published(command: &Process, events: usize) -> anyhow::Result<()> {
    let mut connection = Connection::open(command.addr).await?;
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let (_, metrics) = connection.send(hyper::Method::GET, "/metrics", None).await?;
        let metrics = String::from_utf8_lossy(&metrics);
        let counter = metrics.lines().find_map(|line| line.strip_prefix("passbook_relay_published_total "));
        if counter.and_then(|count| count.parse::<f64>().ok()).is_some_and(|count| count >= events as f64) {
            return Ok(());
        }
        sleep(Duration::from_millis(20)).await;
    }
    bail!("the relay did not publish {events} events in {PATIENCE:?}")
}
