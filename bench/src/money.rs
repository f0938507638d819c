//! `transfers`, `bulk` and `holds`: both services as processes, under other commands than deposits.

use std::time::Duration;

use serde_json::Value;

use crate::Name;
use crate::load::{BULK, Work};
use crate::pair::Pair;
use crate::report::Report;
use crate::servers::Servers;

const ACCOUNTS: usize = 1_000;
/// Initial balance of each account in minor units, more than a run can spend.
const ENOUGH: i64 = 1_000_000_000_000;
const CONNECTIONS: usize = 64;
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
    let (pair, accounts) = Pair::start(servers, ACCOUNTS, ENOUGH).await?;
    if names.contains(&Name::Transfers) {
        let mut rows = Vec::new();
        for some in [&accounts[..], &accounts[..2]] {
            let mut row = pair.measure(CONNECTIONS, &Work::Transfers(some.into()), time).await?;
            row["accounts"] = some.len().into();
            report.line(&format!("transfers, {} accounts", some.len()), Some(&row));
            rows.push(row);
        }
        report.put("transfers", Value::Array(rows));
    }
    if names.contains(&Name::Bulk) {
        let work = Work::Bulk(accounts.clone(), BULK);
        let row = pair.measure(BULK_CONNECTIONS, &work, time).await?;
        report.line("bulk", Some(&row));
        report.put("bulk", row);
    }
    if names.contains(&Name::Holds) {
        let row = pair.measure(CONNECTIONS, &Work::Holds(accounts.clone()), time).await?;
        report.line("holds", Some(&row));
        report.put("holds", row);
    }
    pair.end().await
}
