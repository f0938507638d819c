//! The projection-service consumes the topic, which mirrors the log, and builds the account views
//! that clients query.
//!
//! Modules, in the order in which data flows:

mod agreement;
/// Progress of the views in one partition.
pub mod checkpoint;
/// Reads records of the topic, puts them in order without gaps, folds them and applies them.
pub mod consumer;
/// Client of the command-service's log, for events that the topic lacks.
pub mod feed;
/// HTTP API of the views.
pub mod http;
/// Projection of an event onto its account's view, as a pure function.
pub mod projection;
/// Retry and discard of quarantined events.
pub mod quarantine;
/// Replays of past events.
pub mod replay;
/// Storage of the views in Postgres.
pub mod store;
/// Comparison of the views with the log.
pub mod verify;
/// Queries that wait for an event to be applied.
pub mod waiters;

/// Settings of the service.
pub mod config;
mod metrics;
/// Migration job of the views' schema.
pub mod migrate;
/// Subcommands that call a running service.
pub mod operate;
/// Start-up and shutdown.
pub mod startup;

pub use config::{Cli, Config};
pub use migrate::migrate;
pub use startup::{run, start};
