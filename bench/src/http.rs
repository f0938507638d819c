//! `http` and `latency`: both services as processes, under load over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::Load;
use crate::load::{Connection, Work, load};
use crate::pair::Pair;
use crate::report::{Report, rounded};
use crate::samples::Samples;
use crate::servers::Servers;
use crate::verify;

const CONNECTIONS: [usize; 5] = [1, 8, 16, 64, 256];
/// Clients that wait for their deposits in the view.
const WATCHERS: usize = 4;

/// Measures commands per second, one a request, with relay and projection; then, with
/// `latency_too`, the latency from commit to view. Returns whether the views equal the log.
pub(crate) async fn http(
    servers: &Servers,
    Load { time, accounts }: Load,
    latency_too: bool,
    report: &mut Report,
) -> anyhow::Result<bool> {
    let (pair, accounts) = Pair::start(servers, accounts, 0).await?;
    let deposits = Work::Deposits(Arc::clone(&accounts));
    let mut rows = Vec::new();
    let mut at_64 = 0.0;
    for connections in CONNECTIONS {
        let row = pair.measure(connections, &deposits, time).await?;
        if connections == 64 {
            at_64 = row["per_second"].as_f64().unwrap_or_default();
        }
        report.line(&format!("http, {connections} connections"), Some(&row));
        rows.push(row);
    }
    report.put("http", Value::Array(rows));
    if latency_too {
        let before = pair.cpu()?;
        let (command, projection) = (pair.command.addr, pair.projection.addr);
        let mut value = latency(command, projection, &accounts, time, at_64 / 2.0).await?;
        verify::caught_up(command, projection).await?;
        let commands = value["commands"].as_u64().unwrap_or_default();
        value["cpu_us"] = before.per_command(&pair.cpu()?, commands.try_into()?);
        report.line("latency", Some(&value));
        report.put("latency", value);
    }
    pair.end().await
}

/// Measures, at `rate` commands a second, the latency of responses and from a response to the view.
pub(crate) async fn latency(
    command: SocketAddr,
    projection: SocketAddr,
    accounts: &Arc<[Uuid]>,
    time: Duration,
    rate: f64,
) -> anyhow::Result<Value> {
    let stop = Arc::new(AtomicBool::new(false));
    let watchers: Vec<_> = (0..WATCHERS)
        .map(|number| {
            let (stop, account) = (Arc::clone(&stop), accounts[number]);
            tokio::spawn(async move { watch(command, projection, account, &stop).await })
        })
        .collect();
    let (mut answers, seconds) =
        load(command, 64, &Work::Deposits(Arc::clone(accounts)), time, Some(rate)).await?;
    stop.store(true, Ordering::Relaxed);
    let mut views = Samples::default();
    for watcher in watchers {
        views.merge(watcher.await??);
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let reached = answers.len() as f64 / seconds;
    Ok(json!({
        "commands": answers.len() + views.len(),
        "per_second": rounded(reached),
        "p50_ms": views.quantile(0.5),
        "p99_ms": views.quantile(0.99),
        "answer_p50_ms": answers.quantile(0.5),
        "answer_p99_ms": answers.quantile(0.99),
    }))
}

/// Deposits repeatedly and measures the time until the view shows each deposit.
async fn watch(
    command: SocketAddr,
    projection: SocketAddr,
    account: Uuid,
    stop: &AtomicBool,
) -> anyhow::Result<Samples> {
    let mut commands = Connection::open(command).await?;
    let mut queries = Connection::open(projection).await?;
    let mut samples = Samples::default();
    while !stop.load(Ordering::Relaxed) {
        let answer: Value = serde_json::from_slice(&commands.deposit(account).await?)?;
        let committed = Instant::now();
        queries.get(&format!("/v1/accounts/{account}?min_version={}", answer["version"])).await?;
        samples.add(committed.elapsed());
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    Ok(samples)
}
