//! The contract between Passbook's services (what is in the log and how it travels), and the plumbing of a
//! process that both of them need. In the order in which data flows:

/// The same as a CloudEvents document, as the topic carries it.
pub mod cloud_event;
/// What `verify` can find.
pub mod difference;
/// Raised by each accepted restore of the log.
pub mod epoch;
/// What can have happened to an account.
pub mod event;
/// What a check of the log has found.
pub mod log_check;
/// Amounts in minor units, and ISO 4217 currencies.
pub mod money;
/// Which partition an account lives in: Kafka's own default.
pub mod partition;
/// A place in the log.
pub mod position;
/// An event with its place in the log, as the feed gives it.
pub mod recorded_event;
/// Which store it is, its epoch and its forks, as `GET /v1/store` tells.
pub mod store_description;
/// Checked text: lengths in characters, no NUL.
pub mod text;
/// Moments in UTC with microseconds.
pub mod timestamp;
/// Headers and timestamp of a record of the topic.
pub mod topic_record;
/// Old shapes of events, turned into the newest on reading.
pub mod upcast;

/// The settings both services have.
pub mod config;
mod environment;
/// Faults that recur, logged without filling the log.
pub mod fault;
/// What a service says of its own condition.
pub mod health;
/// The HTTP server, its extractors, errors and documentation.
pub mod http;
/// A process, from its runtime to its exit code.
pub mod process;
/// The schema of a service's database.
pub mod schema;
/// Signals, named tasks, and their orderly end.
pub mod shutdown;
/// Errors of Postgres, told apart.
pub mod store_error;
/// Logs and metrics.
pub mod telemetry;
