//! The settings both services have. Each is an option and an environment variable; read once, at start-up.

mod address;
mod kafka;
mod secret;

use clap::{Args, ValueEnum};

pub use address::address;
pub use kafka::{KafkaConfig, KafkaOptions};
pub use secret::{Secret, Unrepeated, database_url, with_password};

/// How to write the log of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// The log of the process (not the log of events).
#[derive(Debug, Clone, Args)]
pub struct LogConfig {
    /// How log lines are written.
    #[arg(long, env, value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// What is logged: a level, or levels by module as in `info,command_service::relay=debug`. The Kafka client's own
    /// words are left out (readiness tells how it is) unless named, as in `info,librdkafka=info`.
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    pub log_level: String,
}
