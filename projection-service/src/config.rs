//! Settings of the service. Each is an option and an environment variable, read once at start-up.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand};
use passbook_shared::access::client_key::{ClientKey, ClientOptions};
use passbook_shared::config::{
    AccessConfig, KafkaConfig, LogConfig, Secret, TlsConfig, Unrepeated, address, database_url,
    with_password,
};
use passbook_shared::http::limits::HttpConfig;
use sqlx::postgres::PgConnectOptions;

use crate::migrate::MigrateOptions;
use crate::operate::ReplayOptions;

/// Builds the account views from the log and answers queries from them.
#[derive(Debug, Clone, Parser)]
#[command(name = "projection-service", version)]
pub struct Cli {
    /// Settings of the process log.
    #[command(flatten)]
    pub log: LogConfig,
    /// Subcommand to run instead of serving.
    #[command(subcommand)]
    pub action: Option<Action>,
    /// Settings of the service.
    #[command(flatten)]
    pub config: Config,
}

/// Subcommands of the program.
#[derive(Debug, Clone, Subcommand)]
pub enum Action {
    /// Check whether the service on PROJECTION_OPS_ADDR is ready; the exit code is 0 if it is.
    Healthcheck,
    /// Create or upgrade the tables of the views, and grant the role of PROJECTION_DATABASE_URL its
    /// rights. The service waits for this job.
    Migrate(Box<MigrateOptions>),
    /// Replay past events in the service on PROJECTION_ADDR, and follow the replay to its end.
    Replay(ReplayOptions),
    /// Compare the views of the service on PROJECTION_ADDR with the log; the exit code is 0 if
    /// there is no difference.
    Verify(ClientOptions),
}

/// Settings of the service.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Address of the HTTP server, as host:port.
    #[arg(long, env, default_value = "127.0.0.1:8081", value_parser = address)]
    pub projection_addr: SocketAddr,
    /// Address of health and metrics for operators, as host:port. It needs no key and has its own
    /// connections.
    #[arg(long, env, default_value = "127.0.0.1:9081", value_parser = address)]
    pub projection_ops_addr: SocketAddr,
    /// Clients that may send requests.
    #[command(flatten)]
    pub access: AccessConfig,
    /// Limits of the HTTP server.
    #[command(flatten)]
    pub http: HttpConfig,
    /// Encryption of the HTTP server.
    #[command(flatten)]
    pub tls: TlsConfig,
    /// Database of the views: `postgres://user:password@host:port/database`. `projection-service
    /// migrate` creates its tables and grants this user the rights that it needs.
    #[arg(long, env, hide_env_values = true, value_parser = Unrepeated(database_url))]
    pub projection_database_url: PgConnectOptions,
    /// Password of PROJECTION_DATABASE_URL's role, if the URL has none. Any characters, without
    /// escapes.
    #[arg(long, env, hide_env_values = true, value_parser = Unrepeated(Secret::of_text))]
    pub projection_database_password: Option<Secret>,
    /// File with the password of PROJECTION_DATABASE_URL's role.
    #[arg(
        long,
        env,
        value_parser = Unrepeated(Secret::of_file),
        conflicts_with = "projection_database_password"
    )]
    pub projection_database_password_file: Option<Secret>,
    /// URL of the command-service, which has the events that the topic lacks.
    #[arg(long, env, default_value = "http://127.0.0.1:8080")]
    pub command_service_url: String,
    /// File with the API key for the command-service, which needs the scope `log:read`.
    #[arg(long, env, value_parser = Unrepeated(ClientKey::of_file))]
    pub command_service_key_file: Option<ClientKey>,
    /// PEM file with the authorities that the command-service's certificate can come from; by
    /// default the public ones. A command-service that requires a certificate gets TLS_CERT_FILE's.
    #[arg(long, env)]
    pub command_service_ca_file: Option<PathBuf>,
    /// Settings of the Kafka client.
    #[command(flatten)]
    pub kafka: KafkaConfig,
    /// Consumer group. The instances of one group share the partitions.
    #[arg(
        long,
        env,
        default_value = "passbook-projection",
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub kafka_group: String,
    /// Static member id of this instance in the group, so that a restart keeps its partitions. Two
    /// instances must not use the same id.
    #[arg(long, env)]
    pub kafka_group_instance: Option<String>,
    /// Number of connections to Postgres for queries, of which a principal uses at most half. One
    /// more applies events.
    #[arg(long, env, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub projection_connections: u32,
    /// Maximum number of events applied in one transaction.
    #[arg(
        long,
        env,
        default_value_t = 10_000,
        value_parser = clap::value_parser!(u32).range(1..=50_000)
    )]
    pub apply_batch: u32,
    /// Longest time between the starts of two transactions, in milliseconds, unless a full batch
    /// is waiting. Below 12,000 events per second the time is half of it; from 24,000 on, all of
    /// it. A single event is applied at once.
    #[arg(long, env, default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=1000))]
    pub apply_pace_ms: u64,
    /// Maximum share of a partition's recent events that may be quarantined, in percent. If more
    /// fail, and at least 50, the partition stops and readiness reports the reason. 100 disables
    /// the limit.
    #[arg(long, env, default_value_t = 10, value_parser = clap::value_parser!(i64).range(0..=100))]
    pub quarantine_limit_percent: i64,
    /// Number of events of a partition that count as recent for the quarantine limit.
    #[arg(
        long,
        env,
        default_value_t = 1_000,
        value_parser = clap::value_parser!(i64).range(50..=1_000_000)
    )]
    pub quarantine_window: i64,
    /// Time after which a partition counts as stalled, in seconds: it has events that are not
    /// applied, and its position does not move. Readiness then fails and reports the reason.
    #[arg(
        long,
        env,
        default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub view_stall_seconds: u64,
}

impl Config {
    /// Merges the separately configured password into the database URL.
    #[must_use]
    pub fn with_passwords(mut self) -> Self {
        let apart = self
            .projection_database_password
            .as_ref()
            .or(self.projection_database_password_file.as_ref());
        self.projection_database_url = with_password(self.projection_database_url, apart);
        self
    }

    /// Returns the base URL of the command-service.
    ///
    /// # Errors
    /// The setting is not an http or https URL; the message names the variable.
    pub fn command_service(&self) -> anyhow::Result<reqwest::Url> {
        let url: reqwest::Url = self.command_service_url.parse().with_context(|| {
            format!(
                "COMMAND_SERVICE_URL (--command-service-url) is not a URL: `{}`",
                self.command_service_url
            )
        })?;
        if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
            bail!(
                "COMMAND_SERVICE_URL (--command-service-url) must be http://… or https://…, not \
                 `{url}`"
            );
        }
        Ok(url)
    }
}
