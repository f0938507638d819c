//! The command line of `passbook`.

use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand};
use command_service::operate::AcceptOptions;
use embedded_postgres::ClusterOptions;
use passbook_shared::config::address;
use projection_service::operate::ReplayOptions;

use crate::launcher;

/// Passbook: accounts as events. Without a subcommand it runs everything on this machine: an embedded Postgres, an
/// in-process Kafka broker, the command-service and the projection-service.
#[derive(Debug, Parser)]
#[command(name = "passbook", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// One part alone.
    #[command(subcommand)]
    pub part: Option<Part>,
    /// What everything together is run with.
    #[command(flatten)]
    pub launcher: launcher::Options,
}

/// The parts that can be run on their own.
#[derive(Debug, Subcommand)]
pub enum Part {
    /// The command-service alone: takes commands, appends to the log, mirrors it to Kafka
    CommandService(Box<command_service::Cli>),
    /// The projection-service alone: builds the views from the topic and answers queries
    ProjectionService(Box<projection_service::Cli>),
    /// The embedded Postgres alone; prints five URLs, one a line: for DATABASE_URL, MIGRATION_DATABASE_URL,
    /// PROJECTION_DATABASE_URL and PROJECTION_MIGRATION_DATABASE_URL, and the administrator's
    Postgres(PostgresOptions),
    /// The in-process Kafka broker alone; prints its address
    Broker(BrokerOptions),
    /// Has the running Passbook read past events again, and follows it to its end
    Replay(ReplayPart),
    /// Has the running Passbook compare its views with the log; exit code 0 if they are what it says
    Verify(Running),
    /// Decides on a log that was restored from a backup
    #[command(subcommand)]
    Restore(RestorePart),
    /// Measures what Passbook can do on this machine
    Bench(Box<passbook_bench::Options>),
}

/// Of `passbook postgres`.
#[derive(Debug, Args)]
pub struct PostgresOptions {
    /// Where it keeps its data, and its programs.
    #[command(flatten)]
    pub cluster: ClusterOptions,
    /// The port on 127.0.0.1; a free one if not given.
    #[arg(long)]
    pub port: Option<u16>,
    /// When it ends.
    #[command(flatten)]
    pub end: End,
}

/// Of `passbook broker`.
#[derive(Debug, Args)]
pub struct BrokerOptions {
    /// A topic it has from the start; can be given several times.
    #[arg(long = "topic", default_value = "passbook.events")]
    pub topics: Vec<String>,
    /// The partitions of each topic.
    #[arg(long, env, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub partitions: u16,
    /// The port on 127.0.0.1; one that the system chooses if not given.
    #[arg(long, env = "BROKER_PORT")]
    pub port: Option<u16>,
    /// When it ends.
    #[command(flatten)]
    pub end: End,
}

/// What can be done about a restored log.
#[derive(Debug, Subcommand)]
pub enum RestorePart {
    /// Shows what the restore gives up, and has the running Passbook go on with the log as it is
    Accept {
        /// Where its commands are taken.
        #[arg(long, env, default_value = "127.0.0.1:8080")]
        command_addr: SocketAddr,
        /// How.
        #[command(flatten)]
        options: AcceptOptions,
    },
}

/// A Passbook that runs.
#[derive(Debug, Args)]
pub struct Running {
    /// Where its queries are answered.
    #[arg(long, env, default_value = "127.0.0.1:8081", value_parser = address)]
    pub projection_addr: SocketAddr,
}

/// Of `passbook replay`.
#[derive(Debug, Args)]
pub struct ReplayPart {
    /// Whose views.
    #[command(flatten)]
    pub running: Running,
    /// What to read again.
    #[command(flatten)]
    pub replay: ReplayOptions,
}

/// When a part ends, beside at SIGINT and SIGTERM.
#[derive(Debug, Clone, Args)]
pub struct End {
    /// End when standard input is closed: so it does not outlive the program that started it, however that ends.
    #[arg(long)]
    pub until_stdin_closes: bool,
}
