//! Settings of the command-service.

/// Settings of lanes.
pub mod lanes;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::bail;
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Parser, Subcommand};
use passbook_setup::SetupOptions;
use passbook_shared::access::commands::KeysOptions;
use passbook_shared::config::{
    AccessConfig, KafkaConfig, Keys, LogConfig, Secret, TlsConfig, Unrepeated, address,
    database_url, with_password,
};
use passbook_shared::http::limits::HttpConfig;
use sqlx::postgres::PgConnectOptions;

use crate::log::snapshot_key::SnapshotKey;
use crate::migrate::MigrateOptions;
use crate::operate::AcceptOptions;

/// Validates account commands, appends their events to the log and mirrors it to Kafka.
#[derive(Debug, Parser)]
#[command(name = "command-service", version)]
pub struct Cli {
    /// Action to run instead of the service.
    #[command(subcommand)]
    pub action: Option<Action>,
    /// Settings of the service.
    #[command(flatten)]
    pub config: Config,
    /// Settings of logging.
    #[command(flatten)]
    pub log: LogConfig,
}

/// Actions other than running the service.
#[derive(Debug, Clone, Subcommand)]
pub enum Action {
    /// Checks whether the service on COMMAND_OPS_ADDR is ready; exit code 0 if so.
    Healthcheck,
    /// Creates or migrates the tables of the log and grants DATABASE_URL's role its privileges. The
    /// service waits for this.
    Migrate(Box<MigrateOptions>),
    /// Checks the log against its rules and the derived tables against the log; exit code 0 if
    /// there are no differences.
    Verify,
    /// Changes the file of API keys.
    Keys(KeysOptions),
    /// Creates the secrets of an installation in a directory: certificates, passwords and keys.
    Setup(SetupOptions),
    /// Handles a log that was restored from a backup.
    #[command(subcommand)]
    Restore(RestoreAction),
}

/// Actions on a restored log.
#[derive(Debug, Clone, Subcommand)]
pub enum RestoreAction {
    /// Shows what the restore gives up and, after a confirmation, accepts the log on the service at
    /// COMMAND_ADDR.
    Accept(AcceptOptions),
}

/// Settings of the service.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Address of the HTTP server, as host:port.
    #[arg(long, env, default_value = "127.0.0.1:8080", value_parser = address)]
    pub command_addr: SocketAddr,
    /// Address of health and metrics for operators, as host:port. It needs no key and has its own
    /// connections.
    #[arg(long, env, default_value = "127.0.0.1:9080", value_parser = address)]
    pub command_ops_addr: SocketAddr,
    /// Clients that may send requests.
    #[command(flatten)]
    pub access: AccessConfig,
    /// Limits on clients.
    #[command(flatten)]
    pub http: HttpConfig,
    /// Encryption of the HTTP server.
    #[command(flatten)]
    pub tls: TlsConfig,
    /// Database of the log: `postgres://user:password@host:port/database`. `command-service
    /// migrate` creates its tables; the user needs only the privileges that it grants.
    #[arg(long, env, hide_env_values = true, value_parser = Unrepeated(database_url))]
    pub database_url: PgConnectOptions,
    /// Password of DATABASE_URL's role, if the URL has none. Any characters, without escaping.
    #[arg(long, env, hide_env_values = true, value_parser = Unrepeated(Secret::of_text))]
    pub database_password: Option<Secret>,
    /// File that contains this password.
    #[arg(long, env, value_parser = Unrepeated(Secret::of_file),
        conflicts_with = "database_password")]
    pub database_password_file: Option<Secret>,
    /// Settings of Kafka.
    #[command(flatten)]
    pub kafka: KafkaConfig,
    /// Longest pause between two publications to Kafka, in milliseconds. Below 12,000 events per
    /// second the pause is half of it; from 24,000 on, all of it. An event after a pause is
    /// published at once.
    #[arg(long, env, default_value_t = 4)]
    pub relay_linger_ms: u32,
    /// Refuses changes without an Idempotency-Key.
    #[arg(long, env, action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    pub require_idempotency_key: bool,
    /// Retention of idempotency keys, in days.
    #[arg(long, env, default_value_t = 7,
        value_parser = clap::value_parser!(u32).range(7..=36_500))]
    pub idempotency_days: u32,
    /// Number of tasks that decide and append, each with its own connection to Postgres.
    #[arg(long, env, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub lanes: u16,
    /// Maximum number of commands that wait for a lane; further ones get 503. A principal has at
    /// most half of them.
    #[arg(long, env, default_value_t = 4096,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub lane_queue: u32,
    /// Maximum number of commands in one append.
    #[arg(long, env, default_value_t = 1024,
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub lane_batch: u32,
    /// Memory for cached account states of each lane, in MiB.
    #[arg(long, env, default_value_t = 64,
        value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub lane_cache_mib: u64,
    /// Maximum time a command waits for Postgres before it gets 503, in milliseconds.
    #[arg(long, env, default_value_t = 1800,
        value_parser = clap::value_parser!(u64).range(100..=60_000))]
    pub store_patience_ms: u64,
    /// Number of events of an account between two snapshots.
    #[arg(long, env, default_value_t = 200,
        value_parser = clap::value_parser!(i64).range(10..=1_000_000))]
    pub snapshot_every: i64,
    /// Secret that authenticates snapshots, at least 32 characters, the same for all instances.
    /// Without it, each process generates its own secret and ignores the snapshots of the others.
    #[arg(long, env, default_value = "", hide_default_value = true, hide_env_values = true,
        value_parser = Unrepeated(Keys::of_text))]
    pub snapshot_key: Keys,
    /// File that contains the secret.
    #[arg(long, env, default_value = "", hide_default_value = true,
        value_parser = Unrepeated(Keys::of_file))]
    pub snapshot_key_file: Keys,
    /// Maximum number of open holds of an account; a further one is refused with `too_many_holds`.
    #[arg(long, env, default_value_t = 10_000,
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_open_holds: u32,
    /// Number of Postgres connections for reading the log.
    #[arg(long, env, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub read_connections: u32,
}

impl Config {
    /// Returns the settings with the separate password inserted into the database URL.
    #[must_use]
    pub fn with_passwords(mut self) -> Self {
        let password = self.database_password.as_ref().or(self.database_password_file.as_ref());
        self.database_url = with_password(self.database_url, password);
        self
    }

    /// Returns the retention of idempotency keys.
    pub fn keep_keys(&self) -> Duration {
        Duration::from_secs(u64::from(self.idempotency_days) * 24 * 60 * 60)
    }

    /// Returns the key that authenticates snapshots, if one is configured.
    ///
    /// # Errors
    /// There is more than one key; the message names the variable.
    pub fn snapshot_key(&self) -> anyhow::Result<Option<SnapshotKey>> {
        let keys = Keys::either("SNAPSHOT_KEY", &self.snapshot_key, &self.snapshot_key_file)?;
        match keys.as_slice() {
            [] => Ok(None),
            [secret] => Ok(Some(SnapshotKey::new(secret.as_bytes()))),
            _ => bail!("SNAPSHOT_KEY or SNAPSHOT_KEY_FILE has more than one key"),
        }
    }

    /// Returns the maximum time a command waits for Postgres.
    pub fn store_patience(&self) -> Duration {
        Duration::from_millis(self.store_patience_ms)
    }
}
