//! Contract between Passbook's services (events and their transport), and the process plumbing that
//! both use. Modules in the order in which data flows:

/// Event as a CloudEvents document, as the topic carries it.
pub mod cloud_event;
/// Differences that `verify` finds.
pub mod difference;
/// Epoch of a store, raised by each accepted restore.
pub mod epoch;
/// Events of accounts.
pub mod event;
/// Result of a check of the log.
pub mod log_check;
/// Amounts in minor units, and ISO 4217 currencies.
pub mod money;
/// Partition of an account, by Kafka's default partitioner.
pub mod partition;
/// Position of an event in the log.
pub mod position;
/// Event with its position, as the log's feed returns it.
pub mod recorded_event;
/// Answer of `GET /v1/store`: identity, epoch, restores and forks.
pub mod store_description;
/// Tenants of a store.
pub mod tenant;
/// Text of limited length without NUL, and metadata.
pub mod text;
/// Times in UTC with microseconds.
pub mod timestamp;
/// Headers, timestamp and authentication of a record in the topic.
pub mod topic_record;
/// Traces of sampled requests.
pub mod trace;
/// Conversion of stored payloads to their newest schema version.
pub mod upcast;

/// API keys, tokens, principals and scopes.
pub mod access;
/// Audit trail of the calls of operators.
pub mod audit;
mod composite_type;
/// Settings that both services have.
pub mod config;
mod environment;
/// Recurring faults, logged at growing intervals.
pub mod fault;
/// Readiness checks of a service.
pub mod health;
mod hex;
/// HTTP server, extractors, problems and API documentation.
pub mod http;
/// Pauses between batches that follow the rate of events.
pub mod pace;
/// Files with secrets.
pub mod private_file;
/// Process from its runtime to its exit code.
pub mod process;
/// Migration, check and grants of a database schema.
pub mod schema;
/// Shares of a resource, one per principal.
pub mod shares;
/// Signals, named tasks and their orderly end.
pub mod shutdown;
/// Classification of Postgres errors.
pub mod store_error;
/// Logs and metrics.
pub mod telemetry;
/// Certificates, keys and authorities of HTTP connections.
pub mod tls;
mod watched_files;
