//! The settings: each is an option and an environment variable, read once, at start-up.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand};
use passbook_shared::config::{
    KafkaConfig, LogConfig, Secret, Unrepeated, address, database_url, with_password,
};
use passbook_shared::http::limits::HttpConfig;
use sqlx::postgres::PgConnectOptions;

use crate::migrate::MigrateOptions;
use crate::operate::ReplayOptions;

/// Builds the account views from the log, and answers queries from them.
#[derive(Debug, Clone, Parser)]
#[command(name = "projection-service", version)]
pub struct Cli {
    /// The log of the process.
    #[command(flatten)]
    pub log: LogConfig,
    /// What to do instead of serving.
    #[command(subcommand)]
    pub action: Option<Action>,
    /// The service.
    #[command(flatten)]
    pub config: Config,
}

/// What the program can do beside serving.
#[derive(Debug, Clone, Subcommand)]
pub enum Action {
    /// Ask the service on PROJECTION_ADDR whether it is ready; exit code 0 if so.
    Healthcheck,
    /// Make the views' tables or bring them up to date, and grant PROJECTION_DATABASE_URL's role its rights; the service
    /// waits for it.
    Migrate(Box<MigrateOptions>),
    /// Have the service on PROJECTION_ADDR read past events again, and follow it to its end.
    Replay(ReplayOptions),
    /// Have the service on PROJECTION_ADDR compare its views with the log; exit code 0 if they are what it says.
    Verify,
}

/// The settings of the service.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Where to answer HTTP, as host:port.
    #[arg(long, env, default_value = "127.0.0.1:8081", value_parser = address)]
    pub projection_addr: SocketAddr,
    /// What clients may take up.
    #[command(flatten)]
    pub http: HttpConfig,
    /// The database of the views: `postgres://user:password@host:port/database`. `projection-service migrate` makes its
    /// tables; the user needs no rights but those that it grants.
    #[arg(long, env, hide_env_values = true, value_parser = Unrepeated(database_url))]
    pub projection_database_url: PgConnectOptions,
    /// The password of PROJECTION_DATABASE_URL's role, instead of one in the URL: any characters, none escaped.
    #[arg(long, env, hide_env_values = true, value_parser = Unrepeated(Secret::of_text))]
    pub projection_database_password: Option<Secret>,
    /// A file with that password.
    #[arg(long, env, value_parser = Unrepeated(Secret::of_file), conflicts_with = "projection_database_password")]
    pub projection_database_password_file: Option<Secret>,
    /// The command-service, for events that the topic does not have.
    #[arg(long, env, default_value = "http://127.0.0.1:8080")]
    pub command_service_url: String,
    /// Where Kafka is.
    #[command(flatten)]
    pub kafka: KafkaConfig,
    /// The consumer group: instances of one group share the partitions.
    #[arg(long, env, default_value = "passbook-projection", value_parser = NonEmptyStringValueParser::new())]
    pub kafka_group: String,
    /// Names this instance in the group for good, so that it takes its partitions back at once after a restart. Two
    /// instances must not have the same.
    #[arg(long, env)]
    pub kafka_group_instance: Option<String>,
    /// Connections to Postgres for queries; one more is for applying events.
    #[arg(long, env, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub projection_connections: u32,
    /// The most events applied in one transaction.
    #[arg(long, env, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub apply_batch: u32,
    /// The least time from the start of one transaction to that of the next, in milliseconds, unless a full batch is
    /// waiting. An event that comes alone is applied at once; under load this is what makes batches.
    #[arg(long, env, default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=1000))]
    pub apply_pace_ms: u64,
    /// The largest share of the recent events of a partition that may be set aside because they can't be applied, in
    /// percent. If more fail (and 50 at least), the partition stops and readiness says why. 100: never.
    #[arg(long, env, default_value_t = 10, value_parser = clap::value_parser!(i64).range(0..=100))]
    pub quarantine_limit_percent: i64,
    /// How many events of a partition are the recent ones.
    #[arg(long, env, default_value_t = 1_000, value_parser = clap::value_parser!(i64).range(50..=1_000_000))]
    pub quarantine_window: i64,
    /// Seconds for which an event may exist that is not applied, while its partition does not move: then readiness fails
    /// and says why.
    #[arg(long, env, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub view_stall_seconds: u64,
}

impl Config {
    /// The same, with a password that is given apart from the URL in it.
    #[must_use]
    pub fn with_passwords(mut self) -> Self {
        let apart = self
            .projection_database_password
            .as_ref()
            .or(self.projection_database_password_file.as_ref());
        self.projection_database_url = with_password(self.projection_database_url, apart);
        self
    }

    /// The command-service's base URL.
    ///
    /// # Errors
    /// It is not an http(s) URL; the message names the variable.
    pub fn command_service(&self) -> anyhow::Result<reqwest::Url> {
        let url: reqwest::Url = self.command_service_url.parse().with_context(|| {
            format!(
                "COMMAND_SERVICE_URL (--command-service-url) can't be read: `{}`",
                self.command_service_url
            )
        })?;
        if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
            bail!(
                "COMMAND_SERVICE_URL (--command-service-url) must be http://… or https://…, not `{url}`"
            );
        }
        Ok(url)
    }
}
