//! `replay` subcommand: starts a replay and follows it to its end.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::bail;
use clap::Args;
use passbook_shared::access::client_key::ClientOptions;
use passbook_shared::config::TlsConfig;
use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::{ASK_EVERY, Service, bar};
use crate::http::replays::request::ReplayRequest;
use crate::store::replay_target::ReplayTarget;

/// Number of consecutive polls that may fail: those of one minute.
const PATIENCE: u32 = 120;

/// Options of a replay.
#[derive(Debug, Clone, Args)]
pub struct ReplayOptions {
    /// Start of the replay.
    #[command(flatten)]
    pub from: Place,
    /// Keep generations of the views that are not live. By default, a new generation drops them.
    #[arg(long)]
    pub keep: bool,
    /// Caller of the service.
    #[command(flatten)]
    pub client: ClientOptions,
}

/// Start of a replay.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct Place {
    /// Apply all events to new views, which become live when they are complete.
    #[arg(long)]
    pub from_beginning: bool,
    /// Apply the events recorded at this time or later, as 2026-11-24T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub to_time: Option<Timestamp>,
    /// Apply the events from an offset of a partition of the topic, as 3=1000; can be repeated for
    /// several partitions.
    #[arg(long, value_name = "PARTITION=OFFSET", value_parser = partition_offset)]
    pub to_offset: Vec<(Partition, i64)>,
    /// Apply all events of one account.
    #[arg(long, value_name = "ACCOUNT_ID")]
    pub account: Option<Uuid>,
    /// Bring a kept generation of the views up to date, and make it live again.
    #[arg(long, value_name = "GENERATION")]
    pub to_generation: Option<i32>,
}

fn partition_offset(text: &str) -> Result<(Partition, i64), String> {
    text.split_once('=')
        .and_then(|(partition, offset)| Some((partition.parse().ok()?, offset.parse().ok()?)))
        .ok_or_else(|| "must be PARTITION=OFFSET, as 3=1000".to_owned())
}

impl Place {
    fn from(&self) -> anyhow::Result<ReplayTarget> {
        if self.from_beginning {
            return Ok(ReplayTarget::Beginning);
        }
        if !self.to_offset.is_empty() {
            let offsets: BTreeMap<Partition, i64> = self.to_offset.iter().copied().collect();
            return Ok(ReplayTarget::PartitionOffsets(offsets));
        }
        // The argument group allows only one of these options.
        let given = (self.to_time.map(ReplayTarget::Time))
            .or(self.account.map(ReplayTarget::AccountId))
            .or(self.to_generation.map(ReplayTarget::Generation));
        match given {
            Some(from) => Ok(from),
            None => bail!(
                "one of these options is required: --from-beginning, --to-time, --to-offset, \
                 --account, --to-generation"
            ),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Replay {
    id: Uuid,
    state: String,
    generation: Option<i32>,
    events_done: u64,
    events_total: Option<u64>,
    events_from_log: u64,
    events_per_second: Option<f64>,
    differences: Option<u64>,
    samples: Vec<Value>,
    error: Option<String>,
    ended_at: Option<Timestamp>,
}

/// Starts a replay in the service with these settings, and waits for its end.
///
/// # Errors
/// The service does not answer or refuses, or the replay fails or is cancelled.
#[expect(clippy::print_stdout, reason = "prints its result")]
pub async fn replay(
    addr: SocketAddr,
    tls: &TlsConfig,
    options: &ReplayOptions,
) -> anyhow::Result<()> {
    let service = Service::at(addr, tls, &options.client)?;
    let asked = ReplayRequest::of(options.from.from()?, options.keep);
    let mut replay: Replay =
        service.send(service.client.post(service.url("/admin/replays")).json(&asked)).await?;
    let path = format!("/admin/replays/{}", replay.id);
    println!("replay {}; cancel it with DELETE {}", replay.id, service.url(&path));
    let bar = bar()?;
    let mut silent = 0;
    while replay.ended_at.is_none() {
        if let Some(total) = replay.events_total {
            bar.set_length(total);
        }
        bar.set_position(replay.events_done);
        bar.set_message(replay.error.clone().unwrap_or_else(|| replay.state.clone()));
        tokio::time::sleep(ASK_EVERY).await;
        // The replay continues while the service cannot be polled, even across a restart.
        match service.send(service.client.get(service.url(&path))).await {
            Ok(now) => (replay, silent) = (now, 0),
            Err(error) if silent == PATIENCE => return Err(error),
            Err(_) => silent += 1,
        }
    }
    bar.finish_and_clear();
    tell(&replay)
}

#[expect(clippy::print_stdout, reason = "prints its result")]
fn tell(replay: &Replay) -> anyhow::Result<()> {
    let Replay { state, events_done, events_from_log, events_per_second, .. } = replay;
    println!("{state}: {events_done} events, {:.0}/s", events_per_second.unwrap_or_default());
    if *events_from_log > 0 {
        println!("{events_from_log} of them came from the log, because the topic lacks them");
    }
    if let (Some(generation), Some(differences), "done") =
        (replay.generation, replay.differences, state.as_str())
    {
        println!(
            "generation {generation} is live; {differences} of its rows differ from the last one"
        );
    }
    for sample in &replay.samples {
        println!("  {sample}");
    }
    match (state.as_str(), &replay.error) {
        ("done", _) => Ok(()),
        (_, Some(error)) => bail!("the replay {state}: {error}"),
        (_, None) => bail!("the replay was {state}; the views are unchanged"),
    }
}
