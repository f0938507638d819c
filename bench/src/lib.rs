//! The benchmark: what the core can do on this machine, and a check afterwards that the views equal the log.

mod append;
mod ground;
mod http;
mod library;
mod load;
mod mirror;
mod money;
mod processes;
mod report;
mod samples;
mod verify;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};

use embedded_postgres::ClusterOptions;
use ground::Ground;
use report::Report;

/// What to measure, and on what.
#[derive(Debug, Args)]
pub struct Options {
    /// What to measure; everything if not given.
    #[arg(value_enum)]
    names: Vec<Name>,
    /// How long each measurement goes on.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Where to write the figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// A Postgres to measure on, by a role that may make databases; its own if not given.
    #[arg(long, env, hide_env_values = true)]
    database_url: Option<String>,
    /// A Kafka to measure with; the in-process broker if not given.
    #[arg(long, env)]
    kafka_brokers: Option<String>,
    /// Of its own Postgres.
    #[command(flatten)]
    cluster: ClusterOptions,
}

/// The benchmarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Appends at library level by 1, 8, 64 and 256 clients, and the size of what is stored
    Append,
    /// The size of an event and a key in Postgres (measured after the appends)
    Size,
    /// An account of 100,000 events against one of 10
    Long,
    /// Commands over HTTP by 1, 16, 64 and 256 connections, with relay and projection
    Http,
    /// From commit to view at half the load (measured after `http`)
    Latency,
    /// Transfers over HTTP by 64 connections, among 1,000 accounts and between 2
    Transfers,
    /// Deposits over HTTP in batches of 100
    Bulk,
    /// Holds placed and captured over HTTP by 64 connections
    Holds,
    /// 500,000 events of the log into an empty topic
    Relay,
    /// 1,000,000 events of the topic into empty views (measured after `relay`)
    Replay,
    /// The same events into a new generation of the views: alone, and beside 1,000 commands a second (measured after
    /// `replay`)
    Rebuild,
    /// The same views compared with the log (measured after `replay`)
    Verify,
}

/// Runs the benchmarks.
///
/// # Errors
/// Something can't be started, or a command is not answered as it should be.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let names = if options.names.is_empty() { Name::value_variants() } else { &options.names };
    let time = Duration::from_secs(options.seconds);
    let ground = Ground::prepare(&options).await?;
    tracing::info!("measuring on {}", ground.describe().await?);
    let mut report = Report::default();
    if names.contains(&Name::Append) || names.contains(&Name::Size) {
        append::append(&ground, time, &mut report).await?;
    }
    if names.contains(&Name::Long) {
        append::long(&ground, time, &mut report).await?;
    }
    // Not said where nothing was.
    let mut verified = None;
    if names.contains(&Name::Http) || names.contains(&Name::Latency) {
        verified =
            Some(http::http(&ground, time, names.contains(&Name::Latency), &mut report).await?);
    }
    if [Name::Transfers, Name::Bulk, Name::Holds].iter().any(|name| names.contains(name)) {
        verified = both(verified, Some(money::money(&ground, names, time, &mut report).await?));
    }
    if [Name::Relay, Name::Replay, Name::Rebuild, Name::Verify]
        .iter()
        .any(|name| names.contains(name))
    {
        verified = both(verified, mirror::mirror(&ground, names, time, &mut report).await?);
    }
    if let Some(verified) = verified {
        report.put("verified", verified.into());
    }
    ground.end().await?;
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(&report.into_json())?;
        std::fs::write(path, json)
            .with_context(|| format!("--json: {} can't be written", path.display()))?;
    }
    anyhow::ensure!(verified != Some(false), "the views do not equal the log");
    Ok(())
}

/// Nothing was wrong in either, as far as they have looked.
fn both(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    one.zip(other).map_or(one.or(other), |(one, other)| Some(one && other))
}
