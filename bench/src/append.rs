//! `append`, `size` and `long`: the append without HTTP.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::Load;
use crate::library::Library;
use crate::processes::Cpu;
use crate::report::{Report, rounded};
use crate::servers::Servers;

const CLIENTS: [usize; 5] = [1, 8, 16, 64, 256];

/// Measures deposits per second, each with an idempotency key.
pub(crate) async fn append(
    servers: &Servers,
    Load { time, accounts }: Load,
    report: &mut Report,
) -> anyhow::Result<()> {
    let environment = servers.environment().await?;
    let library = Library::start(&environment).await?;
    let accounts = library.open(accounts).await?;
    let mut rows = Vec::new();
    for clients in CLIENTS {
        // Not measured: lanes connect, and states get into the caches.
        library.deposits(clients, &accounts, Duration::from_secs(1)).await?;
        let before = Cpu::read(&[])?;
        let (mut samples, seconds) = library.deposits(clients, &accounts, time).await?;
        let cpu = before.per_command(&Cpu::read(&[])?, samples.len());
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let per_second = samples.len() as f64 / seconds;
        rows.push(json!({"clients": clients, "per_second": rounded(per_second),
            "p50_ms": samples.quantile(0.5), "p99_ms": samples.quantile(0.99), "cpu_us": cpu}));
        report.line(&format!("append, {clients} clients"), rows.last());
    }
    report.put("append", Value::Array(rows));
    report.put("size", size(&library.pool).await?);
    report.line("size", report.get("size").cloned().as_ref());
    library.end().await?;
    environment.drop_databases().await
}

/// Returns the bytes of an event and of an idempotency key in Postgres, including indexes.
async fn size(pool: &PgPool) -> anyhow::Result<Value> {
    let per_row = async |table: &'static str| -> anyhow::Result<f64> {
        let sql = format!(
            "SELECT pg_total_relation_size('passbook.{table}')::float8 / greatest(count(*), 1)
             FROM passbook.{table}"
        );
        Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(pool).await?)
    };
    Ok(json!({
        "bytes_per_event": rounded(per_row("events").await?),
        "bytes_per_key": rounded(per_row("commands").await?),
    }))
}

const LONG: usize = 100_000;
/// Events after the newest snapshot: half the distance of two snapshots.
const SINCE_SNAPSHOT: usize = 100;
const SHORT: usize = 10;

/// Compares the first command after a start on an account of 100,000 events with one of 10.
pub(crate) async fn long(
    servers: &Servers,
    time: Duration,
    report: &mut Report,
) -> anyhow::Result<()> {
    let environment = servers.environment().await?;
    let library = Library::start(&environment).await?;
    let mut accounts: Vec<Uuid> = library.open(2).await?.to_vec();
    let short: Vec<Uuid> = accounts.split_off(1);
    let long = accounts;
    for (account, events) in [(&long, LONG), (&short, SHORT)] {
        library.fill(account, events).await?;
    }
    // One at a time, because a batch ends with a snapshot.
    for _ in 0..SINCE_SNAPSHOT {
        library.deposit(&long).await?;
    }
    library.end().await?;

    let mut medians = Vec::new();
    for account in [&short, &long] {
        let mut samples = crate::samples::Samples::default();
        let until = std::time::Instant::now() + time / 2;
        // A fresh instance has an empty cache and must load the account.
        while std::time::Instant::now() < until {
            let library = Library::start(&environment).await?;
            library.warm().await?;
            let sent = std::time::Instant::now();
            library.deposit(account).await?;
            samples.add(sent.elapsed());
            library.end().await?;
        }
        medians.push(samples.quantile(0.5));
    }
    let value =
        json!({"ratio": medians[1] / medians[0], "short_ms": medians[0], "long_ms": medians[1]});
    report.line("long", Some(&value));
    report.put("long", value);
    environment.drop_databases().await
}
