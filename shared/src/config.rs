//! Settings that both services have. Each is an option and an environment variable, read once at
//! start-up.

mod access;
mod address;
mod database;
mod jwt;
mod kafka;
mod keys;
mod secret;
#[cfg(test)]
mod tests;
mod tls;

use clap::{Args, ValueEnum};

pub use access::{AccessConfig, Auth};
pub use address::address;
pub use database::{database_url, with_password};
pub use jwt::JwtConfig;
pub use kafka::{BrokerErrors, KafkaConfig, KafkaOptions, Tokens};
pub use keys::Keys;
pub(crate) use secret::read as secret_file;
pub use secret::{Secret, Unrepeated};
pub use tls::TlsConfig;

/// Format of the process's log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text lines.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Settings of the process's log, which is not the log of events.
#[derive(Debug, Clone, Args)]
pub struct LogConfig {
    /// Format of log lines.
    #[arg(long, env, value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// Level of the log, or levels by module as in `info,command_service::relay=debug`. Messages of
    /// the Kafka client are omitted, since readiness reports its state, unless it is named as in
    /// `info,librdkafka=info`.
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    pub log_level: String,
}
