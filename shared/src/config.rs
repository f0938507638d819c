//! The settings both services have. Each is an option and an environment variable; read once, at start-up.

use std::ffi::OsStr;
use std::str::FromStr;

use clap::builder::{NonEmptyStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Args, Command, ValueEnum};
use sqlx::postgres::PgConnectOptions;

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

/// Where Kafka is, and which topic mirrors the log.
#[derive(Debug, Clone, Args)]
pub struct KafkaConfig {
    /// Kafka's bootstrap servers, as `host:port`, separated by commas.
    #[arg(long, env, default_value = "127.0.0.1:9092", value_parser = NonEmptyStringValueParser::new())]
    pub kafka_brokers: String,
    /// The topic that mirrors the log.
    #[arg(long, env, default_value = "passbook.events", value_parser = NonEmptyStringValueParser::new())]
    pub kafka_topic: String,
    /// Further settings of librdkafka as `name=value`, separated by commas (`security.protocol=SASL_SSL`, …).
    #[arg(long, env, value_delimiter = ',', value_parser = name_and_value, hide_env_values = true)]
    pub kafka_options: Vec<(String, String)>,
}

/// Has Postgres end a session whose host vanished without a word, and let go of its locks, within half a minute.
const KEEPALIVE: [(&str, &str); 3] =
    [("tcp_keepalives_idle", "10"), ("tcp_keepalives_interval", "5"), ("tcp_keepalives_count", "4")];

/// Reads a database's URL. Unlike clap's own parsers it does not repeat what it can't read, which holds a password.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseUrl;

impl TypedValueParser for DatabaseUrl {
    type Value = PgConnectOptions;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Self::Value, clap::Error> {
        let url = value.to_str().filter(|url| url.starts_with("postgres://") || url.starts_with("postgresql://"));
        url.and_then(|url| PgConnectOptions::from_str(url).ok()).map(|url| url.options(KEEPALIVE)).ok_or_else(|| {
            let option = arg.map(ToString::to_string).unwrap_or_default();
            let detail = format!("{option} can't be read as postgres://user:password@host:port/database\n");
            clap::Error::raw(ErrorKind::ValueValidation, detail).with_cmd(command)
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_repeated() {
        let command = Command::new("test").arg(Arg::new("database-url").long("database-url").value_parser(DatabaseUrl));
        let read = |url: &str| command.clone().try_get_matches_from(["test", "--database-url", url]);
        assert!(read("postgres://ada:secret@localhost:5432/log").is_ok());
        for bad in ["postgres://ada:secret@localhost:port/log", "ada:secret@localhost", "mysql://ada:secret@localhost"]
        {
            let said = read(bad).unwrap_err().to_string();
            assert!(said.contains("--database-url") && !said.contains("secret"), "{said}");
        }
    }
}
