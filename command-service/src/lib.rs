//! The command-service: validates commands against accounts rebuilt from the log, appends their events, answers,
//! and mirrors the log to Kafka. In the order in which a command flows:

/// Settings.
pub mod config;
mod decision;
/// The rules.
pub mod domain;
/// Requests and answers.
pub mod http;
/// Batches, and one append each.
pub mod lanes;
/// The tables.
pub mod log;
mod metrics;
/// The job that makes the tables.
pub mod migrate;
/// Subcommands that ask a running service.
pub mod operate;
/// Outcomes of commands.
pub mod outcome;
/// From the log to the topic.
pub mod relay;
/// Requests to run a command.
pub mod request;
/// A log that was restored from a backup.
pub mod restore;
/// From settings to running tasks.
pub mod startup;
/// What happens without anybody asking for it.
pub mod upkeep;
mod verify;
/// How writing to the log goes.
pub mod writes;

pub use config::{Cli, Config};
pub use migrate::migrate;
pub use startup::{run, start};
