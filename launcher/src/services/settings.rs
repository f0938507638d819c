//! Settings that the launcher gives to both services.

use std::net::SocketAddr;
use std::path::PathBuf;

use passbook_shared::access::local_keys::LocalKeys;

/// Settings of both services. All others come from each service's environment and defaults.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address of the command-service.
    pub command_addr: SocketAddr,
    /// Address of the projection-service.
    pub projection_addr: SocketAddr,
    /// Address of the command-service's health and metrics.
    pub command_ops_addr: SocketAddr,
    /// Address of the projection-service's health and metrics.
    pub projection_ops_addr: SocketAddr,
    /// URL of the log's database.
    pub database_url: String,
    /// URL of the views' database.
    pub projection_database_url: String,
    /// Kafka's bootstrap servers.
    pub kafka_brokers: String,
    /// Set if `kafka_brokers` is the in-process broker.
    pub in_process_broker: bool,
    /// Topic that mirrors the log.
    pub kafka_topic: String,
    /// File of the snapshot key, used unless the environment has a key.
    pub snapshot_key_file: PathBuf,
    /// API keys of the pair, used unless the environment has a file of keys.
    pub keys: Option<LocalKeys>,
    /// File of the topic's key, used unless the environment has a key.
    pub topic_key_file: PathBuf,
    /// Databases in the embedded Postgres.
    pub embedded: Embedded,
}

/// Databases in the embedded Postgres, which has its own passwords and ignores those in variables.
#[derive(Debug, Clone, Copy, Default)]
pub struct Embedded {
    /// Set for the log's database.
    pub log: bool,
    /// Set for the views' database.
    pub views: bool,
}
