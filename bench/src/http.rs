//! `http` and `latency`: both services as processes, under load over HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::load::{Connection, Work, load, open_accounts};
use crate::processes::{Process, cpu_seconds};
use crate::report::{Report, rounded};
use crate::samples::Samples;
use crate::servers::Servers;
use crate::verify;

const ACCOUNTS: usize = 10_000;
const CONNECTIONS: [usize; 4] = [1, 16, 64, 256];
/// Load before the first measurement. A fresh Kafka compiles its code meanwhile, which takes half
/// of a small machine.
pub(crate) const WARM_UP: Duration = Duration::from_secs(10);
/// Clients that wait for their deposits in the view.
const WATCHERS: usize = 4;

/// Measures commands per second, one a request, with relay and projection; then, with
/// `latency_too`, the latency from commit to view.
pub(crate) async fn http(
    servers: &Servers,
    time: Duration,
    latency_too: bool,
    report: &mut Report,
) -> anyhow::Result<bool> {
    let environment = servers.environment().await?;
    let command = Process::command(&environment).await?;
    let projection = Process::projection(&environment, &command).await?;
    let accounts = open_accounts(command.addr, ACCOUNTS, 0).await?;
    let deposits = Work::Deposits(Arc::clone(&accounts));
    load(command.addr, 64, &deposits, WARM_UP, None).await?;
    let mut rows = Vec::new();
    let mut at_64 = 0.0;
    for connections in CONNECTIONS {
        // Not measured: the warm-up for this number of connections.
        load(command.addr, connections, &deposits, Duration::from_secs(1), None).await?;
        let before = cpu_seconds(&command, &projection)?;
        let (mut samples, seconds) = load(command.addr, connections, &deposits, time, None).await?;
        let cpu = taken(&before, &cpu_seconds(&command, &projection)?);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let per_second = samples.len() as f64 / seconds;
        if connections == 64 {
            at_64 = per_second;
        }
        rows.push(json!({
            "connections": connections,
            "per_second": rounded(per_second),
            "p50_ms": samples.quantile(0.5),
            "p99_ms": samples.quantile(0.99),
            "cpu_seconds": cpu,
        }));
        report.line(&format!("http, {connections} connections"), rows.last());
        verify::caught_up(command.addr, projection.addr).await?;
    }
    report.put("http", Value::Array(rows));
    if latency_too {
        let before = cpu_seconds(&command, &projection)?;
        let mut value =
            latency(command.addr, projection.addr, &accounts, time, at_64 / 2.0).await?;
        value["cpu_seconds"] = taken(&before, &cpu_seconds(&command, &projection)?);
        report.line("latency", Some(&value));
        report.put("latency", value);
    }
    let verified = verify::equal(command.addr, projection.addr).await?;
    projection.stop().await?;
    command.stop().await?;
    environment.drop_databases().await?;
    Ok(verified)
}

/// Returns the processor seconds of each program between two readings.
pub(crate) fn taken(
    before: &BTreeMap<&'static str, f64>,
    after: &BTreeMap<&'static str, f64>,
) -> Value {
    let taken = after.iter().map(|(program, seconds)| {
        let tenths = (seconds - before.get(program).copied().unwrap_or_default()) * 10.0;
        ((*program).to_owned(), Value::from(tenths.round() / 10.0))
    });
    Value::Object(taken.collect::<Map<_, _>>())
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
