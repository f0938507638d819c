//! `transfers`, `bulk` and `holds`: both services as processes, under other commands than deposits.

use std::time::Duration;

use serde_json::{Value, json};

use crate::Name;
use crate::http::{WARM_UP, taken};
use crate::load::{Work, load, open_accounts};
use crate::processes::{Process, cpu_seconds};
use crate::report::{Report, rounded};
use crate::samples::Samples;
use crate::servers::Servers;
use crate::verify;

const ACCOUNTS: usize = 1_000;
/// Initial balance of each account in minor units, more than a run can spend.
const ENOUGH: i64 = 1_000_000_000_000;
const CONNECTIONS: usize = 64;
/// Commands in a bulk request.
const BULK: usize = 100;
/// Concurrent bulk requests.
const BULK_CONNECTIONS: usize = 16;

/// Measures commands per second of each benchmark in `names`. Returns whether the views equal the
/// log.
pub(crate) async fn money(
    servers: &Servers,
    names: &[Name],
    time: Duration,
    report: &mut Report,
) -> anyhow::Result<bool> {
    let environment = servers.environment().await?;
    let command = Process::command(&environment).await?;
    let projection = Process::projection(&environment, &command).await?;
    let accounts = open_accounts(command.addr, ACCOUNTS, ENOUGH).await?;
    load(command.addr, CONNECTIONS, &Work::Deposits(accounts.clone()), WARM_UP, None).await?;
    let measure = async |connections, work: &Work| {
        load(command.addr, connections, work, Duration::from_secs(1), None).await?;
        let before = cpu_seconds(&command, &projection)?;
        let (samples, seconds) = load(command.addr, connections, work, time, None).await?;
        let cpu = taken(&before, &cpu_seconds(&command, &projection)?);
        verify::caught_up(command.addr, projection.addr).await?;
        anyhow::Ok(Measured { samples, seconds, cpu })
    };
    if names.contains(&Name::Transfers) {
        let mut rows = Vec::new();
        for some in [&accounts[..], &accounts[..2]] {
            let measured = measure(CONNECTIONS, &Work::Transfers(some.into())).await?;
            let mut row = figures("per_second", 1, measured);
            row["accounts"] = some.len().into();
            report.line(&format!("transfers, {} accounts", some.len()), Some(&row));
            rows.push(row);
        }
        report.put("transfers", Value::Array(rows));
    }
    if names.contains(&Name::Bulk) {
        let measured = measure(BULK_CONNECTIONS, &Work::Bulk(accounts.clone(), BULK)).await?;
        let row = figures("commands_per_second", BULK, measured);
        report.line("bulk", Some(&row));
        report.put("bulk", row);
    }
    if names.contains(&Name::Holds) {
        let row =
            figures("per_second", 2, measure(CONNECTIONS, &Work::Holds(accounts.clone())).await?);
        report.line("holds", Some(&row));
        report.put("holds", row);
    }
    let verified = verify::equal(command.addr, projection.addr).await?;
    projection.stop().await?;
    command.stop().await?;
    environment.drop_databases().await?;
    Ok(verified)
}

struct Measured {
    samples: Samples,
    seconds: f64,
    cpu: Value,
}

/// Returns the figures of a measurement whose samples are `commands` commands each.
fn figures(name: &str, commands: usize, measured: Measured) -> Value {
    let Measured { mut samples, seconds, cpu } = measured;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let per_second = (samples.len() * commands) as f64 / seconds;
    let (p50, p99) = (samples.quantile(0.5), samples.quantile(0.99));
    json!({ name: rounded(per_second), "p50_ms": p50, "p99_ms": p99, "cpu_seconds": cpu })
}
