//! The command-service: validates commands against accounts folded from the log, appends their
//! events, answers, and mirrors the log to Kafka.

/// Settings.
pub mod config;
mod decision;
/// Rules of accounts.
pub mod domain;
/// HTTP API.
pub mod http;
/// Tasks that decide and append batches of commands.
pub mod lanes;
/// Log in Postgres.
pub mod log;
mod metrics;
/// Migration job.
pub mod migrate;
/// Subcommands that call a running service.
pub mod operate;
/// Outcomes of commands.
pub mod outcome;
/// Quotas of tenants.
pub mod quotas;
/// Mirror of the log in Kafka.
pub mod relay;
/// Requests to run a command.
pub mod request;
/// Restores of the log from a backup.
pub mod restore;
/// Startup.
pub mod startup;
/// Background maintenance: hold expiry, idempotency-key retention.
pub mod upkeep;
mod verify;
/// Health of writing to the log.
pub mod writes;

pub use config::{Cli, Config};
pub use migrate::migrate;
pub use startup::{run, start};
