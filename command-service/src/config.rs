//! The command-service's settings.

/// Settings of lanes.
pub mod lanes;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Parser, Subcommand};
use passbook_shared::config::{
    KafkaConfig, LogConfig, Secret, Unrepeated, address, database_url, with_password,
};
use passbook_shared::http::limits::HttpConfig;
use sqlx::postgres::PgConnectOptions;

use crate::log::snapshot_key::SnapshotKey;
use crate::migrate::MigrateOptions;
use crate::operate::AcceptOptions;

/// Characters that a secret must have.
const SHORTEST_SECRET: usize = 32;

/// Validates account commands, appends their events to the log and mirrors it to Kafka.
#[derive(Debug, Parser)]
#[command(name = "command-service", version)]
pub struct Cli {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub action: Option<Action>,
    /// How to serve.
    #[command(flatten)]
    pub config: Config,
    /// What to log.
    #[command(flatten)]
    pub log: LogConfig,
}

/// What the program can do beside serving.
#[derive(Debug, Clone, Subcommand)]
pub enum Action {
    /// Ask the service on COMMAND_ADDR whether it is ready; exit code 0 if so.
    Healthcheck,
    /// Make the log's tables or bring them up to date, and grant DATABASE_URL's role its rights; the service waits for it.
    Migrate(Box<MigrateOptions>),
    /// Check that the log obeys its rules, and that what is kept beside it is what its events give; exit code 0 if so.
    Verify,
    /// What to do about a log that was restored from a backup.
    #[command(subcommand)]
    Restore(RestoreAction),
}

/// What can be done about a restored log.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum RestoreAction {
    /// Shows what the restore gives up, and has the service on COMMAND_ADDR go on with the log as it is.
    Accept(AcceptOptions),
}

/// How the service runs.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Where to answer HTTP, as host:port.
    #[arg(long, env, default_value = "127.0.0.1:8080", value_parser = address)]
    pub command_addr: SocketAddr,
    /// What clients may take up.
    #[command(flatten)]
    pub http: HttpConfig,
    /// The database of the log: `postgres://user:password@host:port/database`. `command-service migrate` makes its tables;
    /// the user needs no rights but those that it grants.
    #[arg(long, env, hide_env_values = true, value_parser = Unrepeated(database_url))]
    pub database_url: PgConnectOptions,
    /// The password of DATABASE_URL's role, instead of one in the URL: any characters, none escaped.
    #[arg(long, env, hide_env_values = true, value_parser = Unrepeated(Secret::of_text))]
    pub database_password: Option<Secret>,
    /// A file with that password.
    #[arg(long, env, value_parser = Unrepeated(Secret::of_file), conflicts_with = "database_password")]
    pub database_password_file: Option<Secret>,
    /// Kafka.
    #[command(flatten)]
    pub kafka: KafkaConfig,
    /// How long the relay's producer waits for a batch to fill, in milliseconds.
    #[arg(long, env, default_value_t = 4)]
    pub relay_linger_ms: u32,
    /// Refuse changes that come without an Idempotency-Key.
    #[arg(long, env, action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    pub require_idempotency_key: bool,
    /// Days for which idempotency keys are kept.
    #[arg(long, env, default_value_t = 7, value_parser = clap::value_parser!(u32).range(7..=36_500))]
    pub idempotency_days: u32,
    /// Tasks that decide and append, each with its own connection to Postgres.
    #[arg(long, env, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub lanes: u16,
    /// Commands that may wait for a lane; more get 503.
    #[arg(long, env, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub lane_queue: u32,
    /// The most commands in one append.
    #[arg(long, env, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub lane_batch: u32,
    /// Account states each lane keeps in memory, in MiB.
    #[arg(long, env, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub lane_cache_mib: u64,
    /// How long a command may wait for Postgres before it gets 503, in milliseconds.
    #[arg(long, env, default_value_t = 1800, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    pub store_patience_ms: u64,
    /// Events of an account between two of its snapshots.
    #[arg(long, env, default_value_t = 500, value_parser = clap::value_parser!(i64).range(10..=1_000_000))]
    pub snapshot_every: i64,
    /// Secret under which snapshots are authenticated, at least 32 characters; the same for all instances. Without it each
    /// process has a secret of its own, and passes over the snapshots of all others.
    #[arg(long, env, hide_env_values = true)]
    pub snapshot_key: Option<String>,
    /// File that holds the secret instead.
    #[arg(long, env)]
    pub snapshot_key_file: Option<PathBuf>,
    /// Open holds that an account may have; a further one is refused with `too_many_holds`.
    #[arg(long, env, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_open_holds: u32,
    /// Connections to Postgres for reading the log.
    #[arg(long, env, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub read_connections: u32,
}

impl Config {
    /// The same, with a password that is given apart from the URL in it.
    #[must_use]
    pub fn with_passwords(mut self) -> Self {
        let password = self.database_password.as_ref().or(self.database_password_file.as_ref());
        self.database_url = with_password(self.database_url, password);
        self
    }

    /// How long idempotency keys are kept.
    pub fn keep_keys(&self) -> Duration {
        Duration::from_secs(u64::from(self.idempotency_days) * 24 * 60 * 60)
    }

    /// Returns the key that authenticates snapshots, if one is given.
    ///
    /// # Errors
    /// The secret can't be read, or is too short; the message names the variable.
    pub fn snapshot_key(&self) -> anyhow::Result<Option<SnapshotKey>> {
        let file = self.snapshot_key_file.as_ref().filter(|path| !path.as_os_str().is_empty());
        let secret = self.snapshot_key.clone().filter(|secret| !secret.is_empty());
        let (name, secret) = match (file, secret) {
            (None, None) => return Ok(None),
            (None, Some(secret)) => ("SNAPSHOT_KEY (--snapshot-key)".to_owned(), secret),
            (Some(path), None) => {
                let name = format!("SNAPSHOT_KEY_FILE (--snapshot-key-file): {}", path.display());
                let secret = std::fs::read_to_string(path).with_context(|| name.clone())?;
                (name, secret)
            }
            (Some(_), Some(_)) => {
                bail!("SNAPSHOT_KEY and SNAPSHOT_KEY_FILE are both given: leave one out")
            }
        };
        let secret = secret.trim();
        ensure!(
            secret.len() >= SHORTEST_SECRET,
            "{name}: the secret has less than {SHORTEST_SECRET} characters"
        );
        Ok(Some(SnapshotKey::new(secret.as_bytes())))
    }

    /// How long a command may wait for Postgres.
    pub fn store_patience(&self) -> Duration {
        Duration::from_millis(self.store_patience_ms)
    }
}
