//! The command line of `passbook`.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::anyhow;
use clap::{Args, Parser, Subcommand};
use command_service::operate::AcceptOptions;
use embedded_postgres::ClusterOptions;
use passbook_setup::SetupOptions;
use passbook_shared::access::client_key::{ClientKey, ClientOptions};
use passbook_shared::access::commands::KeysOptions;
use passbook_shared::config::{TlsConfig, address};
use passbook_shared::partition::PartitionCount;
use projection_service::operate::ReplayOptions;

use crate::launcher;

/// Passbook, an event-sourced account service. Without a subcommand, runs everything on this
/// machine: an embedded Postgres, an in-process Kafka broker, the command-service and the
/// projection-service.
#[derive(Debug, Parser)]
#[command(name = "passbook", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// Part to run alone.
    #[command(subcommand)]
    pub part: Option<Part>,
    /// Options of the launcher.
    #[command(flatten)]
    pub launcher: launcher::Options,
}

/// Parts that run on their own.
#[derive(Debug, Subcommand)]
pub enum Part {
    /// Run the command-service: validates commands, appends to the log, mirrors it to Kafka
    CommandService(Box<command_service::Cli>),
    /// Run the projection-service: builds the views from the topic and answers queries
    ProjectionService(Box<projection_service::Cli>),
    /// Run the embedded Postgres and print five URLs, one a line: DATABASE_URL,
    /// MIGRATION_DATABASE_URL, PROJECTION_DATABASE_URL, PROJECTION_MIGRATION_DATABASE_URL, and the
    /// administrator's
    Postgres(PostgresOptions),
    /// Run the in-process Kafka broker and print its address
    Broker(BrokerOptions),
    /// Replay past events in the running Passbook, and follow the progress
    Replay(ReplayPart),
    /// Compare the views of the running Passbook with the log; exits with 0 if they are equal
    Verify {
        /// Passbook that owns the views.
        #[command(flatten)]
        running: Running,
        /// Caller of the service.
        #[command(flatten)]
        client: ClientOptions,
    },
    /// Decide on a log that was restored from a backup
    #[command(subcommand)]
    Restore(RestorePart),
    /// Add, list, rotate and revoke API keys
    Keys(KeysOptions),
    /// Create the secrets of an installation in a directory: certificates, passwords and keys
    Setup(SetupOptions),
    /// Measure throughput and latency on this machine
    Bench(Box<passbook_bench::Options>),
}

/// Options of `passbook postgres`.
#[derive(Debug, Args)]
pub struct PostgresOptions {
    /// Options of the cluster.
    #[command(flatten)]
    pub cluster: ClusterOptions,
    /// Port on 127.0.0.1; by default a free one.
    #[arg(long)]
    pub port: Option<u16>,
    /// Condition of the end.
    #[command(flatten)]
    pub end: End,
}

/// Options of `passbook broker`.
#[derive(Debug, Args)]
pub struct BrokerOptions {
    /// Topic to create; repeatable.
    #[arg(long = "topic", default_value = "passbook.events")]
    pub topics: Vec<String>,
    /// Number of partitions of each topic.
    #[arg(long, env, default_value_t = PartitionCount::DEFAULT)]
    pub partitions: PartitionCount,
    /// Port on 127.0.0.1; by default the operating system chooses one.
    #[arg(long, env = "BROKER_PORT")]
    pub port: Option<u16>,
    /// Condition of the end.
    #[command(flatten)]
    pub end: End,
}

/// Decisions on a restored log.
#[derive(Debug, Subcommand)]
pub enum RestorePart {
    /// Show what the restore gives up, and make the running Passbook continue with the log as it is
    Accept {
        /// Address of the command-service.
        #[arg(long, env, default_value = "127.0.0.1:8080")]
        command_addr: SocketAddr,
        /// Encryption of the command-service.
        #[command(flatten)]
        tls: TlsConfig,
        /// Options of the decision.
        #[command(flatten)]
        options: AcceptOptions,
    },
}

/// The running Passbook.
#[derive(Debug, Args)]
pub struct Running {
    /// Address of the projection-service.
    #[arg(long, env, default_value = "127.0.0.1:8081", value_parser = address)]
    pub projection_addr: SocketAddr,
    /// Encryption of the projection-service.
    #[command(flatten)]
    pub tls: TlsConfig,
}

/// File with the operator's key, which the launcher creates in its default directory.
const OPERATOR: &str = ".passbook/auth";

/// Returns the options with the key of this directory's Passbook, unless another one is given or
/// `addr` is of another machine.
///
/// # Errors
/// The file of the key cannot be read.
pub fn with_operator_key(client: ClientOptions, addr: SocketAddr) -> anyhow::Result<ClientOptions> {
    with_key_of(OPERATOR, client, addr)
}

fn with_key_of(
    path: &str,
    client: ClientOptions,
    addr: SocketAddr,
) -> anyhow::Result<ClientOptions> {
    let is_local = addr.ip().is_loopback() || addr.ip().is_unspecified();
    // Without authentication there is no such file.
    if client.key_file.is_some() || !is_local || !Path::new(path).try_exists()? {
        return Ok(client);
    }
    let key = ClientKey::of_file(path).map_err(|reason| anyhow!("{path} {reason}"))?;
    Ok(ClientOptions { key_file: Some(key) })
}

/// Options of `passbook replay`.
#[derive(Debug, Args)]
pub struct ReplayPart {
    /// Passbook that owns the views.
    #[command(flatten)]
    pub running: Running,
    /// Events to replay.
    #[command(flatten)]
    pub replay: ReplayOptions,
}

/// Conditions of a part's end, besides SIGINT and SIGTERM.
#[derive(Debug, Clone, Args)]
pub struct End {
    /// End when standard input closes, so that the part never outlives the program that started it.
    #[arg(long)]
    pub until_stdin_closes: bool,
}

#[cfg(test)]
mod tests;
