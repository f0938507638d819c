//! Throughput and latency on this machine, followed by a check that the views equal the log.

mod accounts;
mod append;
mod compare;
mod copy;
mod http;
mod keys;
mod library;
mod load;
mod mirror;
mod money;
mod pair;
mod processes;
mod report;
mod samples;
mod servers;
mod tls;
mod verify;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};

use embedded_postgres::ClusterOptions;
use passbook_shared::config::{Auth, TlsConfig};
use passbook_shared::partition::PartitionCount;
use passbook_shared::shutdown::on_signal;
use report::Report;
use servers::Servers;

/// Options of the benchmark.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Options {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    measuring: Measuring,
}

/// Other actions than measuring.
#[derive(Debug, Subcommand)]
enum Action {
    /// Compares two builds, by running their benchmarks in turn
    Compare(compare::Options),
}

/// Options of the measurements.
#[derive(Debug, Args)]
struct Measuring {
    /// Benchmarks to run; by default all.
    #[arg(value_enum)]
    names: Vec<Name>,
    /// Duration of each measurement, in seconds.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Number of accounts of `append` and `http`.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    accounts: u64,
    /// Number of partitions of the log and the topic.
    #[arg(long, env, default_value_t = PartitionCount::DEFAULT)]
    partitions: PartitionCount,
    /// Authentication of the measured services.
    #[arg(long, value_enum, default_value = "keys")]
    auth: Auth,
    /// Encryption of the measured services.
    #[command(flatten)]
    tls: TlsConfig,
    /// File for the figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// URL of a Postgres, for a role that may create databases; by default the embedded one.
    #[arg(long, env, hide_env_values = true)]
    database_url: Option<String>,
    /// Kafka's bootstrap servers; by default the in-process broker.
    #[arg(long, env)]
    kafka_brokers: Option<String>,
    /// Options of the embedded Postgres.
    #[command(flatten)]
    cluster: ClusterOptions,
}

/// Benchmarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Appends without HTTP by 1, 8, 16, 64 and 256 clients, and the size of the stored rows
    Append,
    /// Size of an event and an idempotency key in Postgres (runs `append`)
    Size,
    /// Load of an account of 100,000 events, compared with one of 10
    Long,
    /// Commands over HTTP by 1, 8, 16, 64 and 256 connections, with relay and projection
    Http,
    /// Latency from commit to view at half the load (runs `http`)
    Latency,
    /// Transfers over HTTP by 64 connections, among 1,000 accounts and between 2
    Transfers,
    /// Deposits over HTTP in batches of 100
    Bulk,
    /// Placed and captured holds over HTTP by 64 connections
    Holds,
    /// Relay of 500,000 events of the log into an empty topic
    Relay,
    /// Replay of 1,000,000 events of the topic into empty views (runs `relay`)
    Replay,
    /// Rebuild of the same views as a new generation: alone, and during 1,000 commands a second;
    /// and the limit that Postgres sets, by COPY of the same rows (runs `replay`)
    Rebuild,
    /// Comparison of the same views with the log (runs `replay`)
    Verify,
}

/// Duration and breadth of a load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) time: Duration,
    pub(crate) accounts: usize,
}

/// Runs the benchmarks, or compares two builds.
///
/// # Errors
/// A part does not start, a command fails, the views differ from the log, or SIGINT or SIGTERM
/// interrupts.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let interrupted = on_signal(Duration::ZERO)?.shutdown;
    let run = async {
        match options.action {
            Some(Action::Compare(options)) => compare::compare(&options).await,
            None => measure(options.measuring).await,
        }
    };
    // Dropping the run ends its services and servers.
    tokio::select! {
        result = run => result,
        () = interrupted.cancelled() => anyhow::bail!("interrupted"),
    }
}

async fn measure(options: Measuring) -> anyhow::Result<()> {
    let names = if options.names.is_empty() { Name::value_variants() } else { &options.names };
    let time = Duration::from_secs(options.seconds);
    let load = Load { time, accounts: options.accounts.try_into()? };
    let _keys = keys::create(options.auth)?;
    tls::set(&options.tls)?;
    let servers = Servers::prepare(&options).await?;
    tracing::info!("measuring on {}", servers.describe().await?);
    let mut report = Report::default();
    if names.contains(&Name::Append) || names.contains(&Name::Size) {
        append::append(&servers, load, &mut report).await?;
    }
    if names.contains(&Name::Long) {
        append::long(&servers, time, &mut report).await?;
    }
    // `None` if no benchmark made views.
    let mut verified = None;
    if names.contains(&Name::Http) || names.contains(&Name::Latency) {
        verified =
            Some(http::http(&servers, load, names.contains(&Name::Latency), &mut report).await?);
    }
    if [Name::Transfers, Name::Bulk, Name::Holds].iter().any(|name| names.contains(name)) {
        verified = both(verified, Some(money::money(&servers, names, time, &mut report).await?));
    }
    if [Name::Relay, Name::Replay, Name::Rebuild, Name::Verify]
        .iter()
        .any(|name| names.contains(name))
    {
        verified = both(verified, mirror::mirror(&servers, names, time, &mut report).await?);
    }
    if let Some(verified) = verified {
        report.put("verified", verified.into());
    }
    servers.end().await?;
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(&report.into_json())?;
        std::fs::write(path, json)
            .with_context(|| format!("--json: cannot write {}", path.display()))?;
    }
    anyhow::ensure!(verified != Some(false), "the views differ from the log");
    Ok(())
}

/// Combines two results, `None` being no result.
fn both(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    one.zip(other).map_or(one.or(other), |(one, other)| Some(one && other))
}

#[cfg(test)]
mod tests;
