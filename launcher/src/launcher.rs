//! Everything together: Postgres and a broker where none are given, then both services, until told to stop.

mod greeting;
mod steps;

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, bail};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use embedded_postgres::{Cluster, ClusterOptions, secrets};
use in_process_broker::Broker;
use passbook_shared::config::{LogConfig, LogFormat, Unrepeated, address, database_url};
use passbook_shared::http::server;
use passbook_shared::shutdown::{self, CancellationToken};
use passbook_shared::telemetry;

use crate::services::{self, Embedded, Owners, Services};
use steps::Steps;

/// What `passbook` is run with.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Of the embedded Postgres.
    #[command(flatten)]
    pub cluster: ClusterOptions,
    /// Where commands are taken, as host:port.
    #[arg(long, env, default_value = "127.0.0.1:8080", value_parser = address)]
    pub command_addr: SocketAddr,
    /// Where queries are answered, as host:port.
    #[arg(long, env, default_value = "127.0.0.1:8081", value_parser = address)]
    pub projection_addr: SocketAddr,
    /// The log's database, as postgres://role:password@host/database; in the embedded Postgres if not given.
    #[arg(long, env, hide_env_values = true, value_parser = Unrepeated(url))]
    pub database_url: Option<String>,
    /// The log's database as the owner of its tables, if DATABASE_URL's role is not that.
    #[arg(long, env, hide_env_values = true, value_parser = Unrepeated(url))]
    pub migration_database_url: Option<String>,
    /// The views' database; in the embedded Postgres if not given.
    #[arg(long, env, hide_env_values = true, value_parser = Unrepeated(url))]
    pub projection_database_url: Option<String>,
    /// The views' database as the owner of its tables, if PROJECTION_DATABASE_URL's role is not that.
    #[arg(long, env, hide_env_values = true, value_parser = Unrepeated(url))]
    pub projection_migration_database_url: Option<String>,
    /// Kafka's bootstrap servers, as host:port, separated by commas; an in-process broker if not given.
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub kafka_brokers: Option<String>,
    /// The in-process broker's port on 127.0.0.1, for other programs that read the topic; one that the system chooses if
    /// not given.
    #[arg(long, env)]
    pub broker_port: Option<u16>,
    /// The topic that mirrors the log.
    #[arg(long, env, default_value = "passbook.events", value_parser = NonEmptyStringValueParser::new())]
    pub kafka_topic: String,
    /// The partitions of a log that is made now (12 if not given), the same in Postgres as in Kafka.
    #[arg(long, env, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub partitions: Option<u16>,
    /// What is logged to standard error: a level, or levels by module as in `info,command_service::relay=debug`.
    #[arg(long, env = "RUST_LOG", default_value = "warn")]
    pub log_level: String,
    /// How log lines are written.
    #[arg(long, env, value_enum, default_value = "text")]
    pub log_format: LogFormat,
}

/// A database's URL as it was given, if it is one.
fn url(text: &str) -> Result<String, String> {
    database_url(text).map(|_| text.to_owned())
}

/// Runs everything until SIGINT or SIGTERM.
///
/// # Errors
/// A part does not start, or ends by itself; with the remedy where there is one.
pub async fn run(options: Options) -> anyhow::Result<()> {
    telemetry::start_log(&LogConfig {
        log_format: options.log_format,
        log_level: options.log_level.clone(),
    })?;
    let shutdown = shutdown::on_signal()?;
    // Said now, not after Postgres has started.
    refuse_if_taken(options.command_addr, "--command-addr")?;
    refuse_if_taken(options.projection_addr, "--projection-addr")?;
    services::check_settings()?;

    let mut steps = Steps::begin();
    let mut postgres = start_postgres(&options).await?;
    if let Some(postgres) = &postgres {
        steps.done(&format!("database (embedded Postgres, port {})", postgres.port()));
    }
    let ended = serve(&options, postgres.as_mut(), &mut steps, &shutdown).await;
    if let Some(postgres) = postgres {
        postgres.stop().await?;
    }
    ended
}

fn refuse_if_taken(addr: SocketAddr, option: &str) -> anyhow::Result<()> {
    TcpListener::bind(addr).map(drop).with_context(|| server::cannot_listen(addr, option))
}

async fn start_postgres(options: &Options) -> anyhow::Result<Option<Cluster>> {
    if options.database_url.is_some() && options.projection_database_url.is_some() {
        return Ok(None);
    }
    let ClusterOptions { data_dir, postgres_bin } = options.cluster.clone();
    Cluster::start(&embedded_postgres::Settings { data_dir, binaries: postgres_bin, port: None })
        .await
        .map(Some)
}

async fn serve(
    options: &Options,
    postgres: Option<&mut Cluster>,
    steps: &mut Steps,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let mut settings = settings(options, postgres.as_deref())?;
    let owners = owners(options, postgres.as_deref());
    let migrating = services::migrate(
        &settings.database_url,
        &settings.projection_database_url,
        owners,
        options.partitions,
    );
    // Told to stop meanwhile: the next start goes on.
    let Some(store) = shutdown.run_until_cancelled(migrating).await else { return Ok(()) };
    let partitions = u16::try_from(store?.partitions)?;
    steps.done("tables");
    let broker = match options.kafka_brokers {
        Some(_) => None,
        None => Some(Broker::start(
            std::slice::from_ref(&options.kafka_topic),
            partitions,
            options.broker_port,
        )?),
    };
    if let Some(broker) = &broker {
        broker.address().clone_into(&mut settings.kafka_brokers);
        steps.done("broker (in this process)");
    }
    // Told to stop while starting: what has begun is dropped.
    let Some(services) = shutdown.run_until_cancelled(Services::start(&settings, shutdown)).await
    else {
        return Ok(());
    };
    let services = services?;

    let outcome = tokio::select! {
        outcome = run_services(options, &settings, &services, steps, shutdown) => outcome,
        outcome = postgres_ended(postgres) => outcome,
    };
    shutdown.cancel();
    // Why a service ended tells more than that it did.
    services.ended().await.and(outcome)
}

async fn run_services(
    options: &Options,
    settings: &services::Settings,
    services: &Services,
    steps: &mut Steps,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    tokio::select! {
        ready = services.ready() => ready?,
        () = shutdown.cancelled() => return Ok(()),
    }
    steps.done("services");
    greeting::say(options, settings, services)?;
    shutdown.cancelled().await;
    Ok(())
}

async fn postgres_ended(postgres: Option<&mut Cluster>) -> anyhow::Result<()> {
    let Some(postgres) = postgres else { return std::future::pending().await };
    let status = postgres.ended().await?;
    bail!("the embedded Postgres ended ({status}); {}", postgres.last_words())
}

fn settings(options: &Options, postgres: Option<&Cluster>) -> anyhow::Result<services::Settings> {
    let given_or = |given: &Option<String>, own: Option<String>| {
        given.clone().or(own).context("a part is missing")
    };
    Ok(services::Settings {
        command_addr: options.command_addr,
        projection_addr: options.projection_addr,
        database_url: given_or(&options.database_url, postgres.map(Cluster::command_url))?,
        projection_database_url: given_or(
            &options.projection_database_url,
            postgres.map(Cluster::projection_url),
        )?,
        kafka_brokers: options.kafka_brokers.clone().unwrap_or_default(),
        in_process_broker: options.kafka_brokers.is_none(),
        kafka_topic: options.kafka_topic.clone(),
        embedded: embedded(options),
        snapshot_key_file: secrets::snapshot_key_file(&options.cluster.data_dir)?,
    })
}

fn embedded(options: &Options) -> Embedded {
    Embedded {
        log: options.database_url.is_none(),
        views: options.projection_database_url.is_none(),
    }
}

/// The owners of the tables: of a database in the embedded Postgres its own.
fn owners(options: &Options, postgres: Option<&Cluster>) -> Owners {
    let own = |given: &Option<String>, owner: fn(&Cluster) -> String| {
        given.is_none().then(|| postgres.map(owner))
    };
    let (log, views) =
        (&options.migration_database_url, &options.projection_migration_database_url);
    Owners {
        migration_database_url: log
            .clone()
            .or(own(&options.database_url, Cluster::owner_url).flatten()),
        projection_migration_database_url: views.clone().or(own(
            &options.projection_database_url,
            Cluster::projection_owner_url,
        )
        .flatten()),
        embedded: embedded(options),
    }
}
