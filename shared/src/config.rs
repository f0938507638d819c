//! The settings both services have. Each is an option and an environment variable; read once, at start-up.

use clap::{Args, ValueEnum};

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
    /// What is logged: a level, or levels by module as in `info,command_service::relay=debug`.
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    pub log_level: String,
}

/// Where Kafka is, and which topic mirrors the log.
#[derive(Debug, Clone, Args)]
pub struct KafkaConfig {
    /// Kafka's bootstrap servers, as `host:port`, separated by commas.
    #[arg(long, env, default_value = "127.0.0.1:9092")]
    pub kafka_brokers: String,
    /// The topic that mirrors the log.
    #[arg(long, env, default_value = "passbook.events")]
    pub kafka_topic: String,
    /// Further settings of librdkafka as `name=value`, separated by commas (`security.protocol=SASL_SSL`, …).
    #[arg(long, env, value_delimiter = ',', value_parser = name_and_value, hide_env_values = true)]
    pub kafka_options: Vec<(String, String)>,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("`{text}` is not name=value"))
}

impl KafkaConfig {
    /// A client configuration with these settings, for the client to complete.
    pub fn client(&self, client_id: &str) -> rdkafka::ClientConfig {
        let mut config = rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", &self.kafka_brokers).set("client.id", client_id);
        for (name, value) in &self.kafka_options {
            config.set(name, value);
        }
        config
    }
}
