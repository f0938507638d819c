//! The projection-service: consumes the topic, which mirrors the log, and builds the account views that people query.
//! In the order in which data flows:

mod agreement;
/// Records of the topic: read, put in order without holes, folded, applied.
pub mod consumer;
/// The log itself, where the topic has a hole.
pub mod feed;
/// What is queried.
pub mod http;
/// What an event makes of an account's view: pure.
pub mod projection;
/// What was set aside, tried again or thrown away.
pub mod quarantine;
/// Past events, read again.
pub mod replay;
/// The views in Postgres.
pub mod store;
/// Whether the views are what the log says.
pub mod verify;
/// Queries that wait for what they ask for.
pub mod waiters;

/// The settings.
pub mod config;
mod metrics;
/// The job that makes the tables.
pub mod migrate;
/// What operators ask of a running service from the command line.
pub mod operate;
/// Starting and stopping it all.
pub mod startup;

pub use config::{Cli, Config};
pub use migrate::migrate;
pub use startup::{run, start};
