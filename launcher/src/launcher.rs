//! Everything in one process: Postgres and a broker unless given, then both services, until a
//! signal.

mod greeting;
mod steps;

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, bail};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use embedded_postgres::{Cluster, ClusterOptions, secrets};
use in_process_broker::Broker;
use passbook_shared::access::local_keys::LocalKeys;
use passbook_shared::config::{LogConfig, LogFormat, Unrepeated, address, database_url};
use passbook_shared::http::server;
use passbook_shared::partition::PartitionCount;
use passbook_shared::shutdown::{self, CancellationToken, Stop};
use passbook_shared::telemetry;

use crate::services::{self, Embedded, Owners, Services};
use steps::Steps;

/// Options of `passbook` without a subcommand.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Options of the embedded Postgres.
    #[command(flatten)]
    pub cluster: ClusterOptions,
    /// Address of the command-service, as host:port.
    #[arg(long, env, default_value = "127.0.0.1:8080", value_parser = address)]
    pub command_addr: SocketAddr,
    /// Address of the projection-service, as host:port.
    #[arg(long, env, default_value = "127.0.0.1:8081", value_parser = address)]
    pub projection_addr: SocketAddr,
    /// URL of the log's database, as postgres://role:password@host/database; by default in the
    /// embedded Postgres.
    #[arg(long, env, hide_env_values = true, value_parser = Unrepeated(url))]
    pub database_url: Option<String>,
    /// URL of the log's database for the owner of its tables, if other than DATABASE_URL's role.
    #[arg(long, env, hide_env_values = true, value_parser = Unrepeated(url))]
    pub migration_database_url: Option<String>,
    /// URL of the views' database; by default in the embedded Postgres.
    #[arg(long, env, hide_env_values = true, value_parser = Unrepeated(url))]
    pub projection_database_url: Option<String>,
    /// URL of the views' database for the owner of its tables, if other than
    /// PROJECTION_DATABASE_URL's role.
    #[arg(long, env, hide_env_values = true, value_parser = Unrepeated(url))]
    pub projection_migration_database_url: Option<String>,
    /// Kafka's bootstrap servers, as comma-separated host:port; by default the in-process broker.
    #[arg(long, env, value_parser = NonEmptyStringValueParser::new())]
    pub kafka_brokers: Option<String>,
    /// Port of the in-process broker on 127.0.0.1, for other programs that read the topic; by
    /// default the operating system chooses one.
    #[arg(long, env)]
    pub broker_port: Option<u16>,
    /// Topic that mirrors the log.
    #[arg(long, env, default_value = "passbook.events",
          value_parser = NonEmptyStringValueParser::new())]
    pub kafka_topic: String,
    /// Number of partitions of a new log, in Postgres and in Kafka (4 if not given).
    #[arg(long, env)]
    pub partitions: Option<PartitionCount>,
    /// Level of the log on standard error, or levels by module:
    /// `info,command_service::relay=debug`.
    #[arg(long, env = "RUST_LOG", default_value = "warn")]
    pub log_level: String,
    /// Format of log lines.
    #[arg(long, env, value_enum, default_value = "text")]
    pub log_format: LogFormat,
}

/// Validates a database URL.
fn url(text: &str) -> Result<String, String> {
    database_url(text).map(|_| text.to_owned())
}

/// Runs everything until SIGINT or SIGTERM.
///
/// # Errors
/// A part does not start or ends by itself. The message names the remedy, if one exists.
pub async fn run(options: Options) -> anyhow::Result<()> {
    telemetry::start_log(&LogConfig {
        log_format: options.log_format,
        log_level: options.log_level.clone(),
    })?;
    let stop = shutdown::on_signal(services::drain()?)?;
    // Fails before the slow start of Postgres.
    refuse_if_taken(options.command_addr, "--command-addr")?;
    refuse_if_taken(options.projection_addr, "--projection-addr")?;
    services::check_settings()?;

    let mut steps = Steps::begin();
    let mut postgres = start_postgres(&options).await?;
    if let Some(postgres) = &postgres {
        steps.done(&format!("database (embedded Postgres, port {})", postgres.port()));
    }
    // Not returned at once: the server must be stopped after a failure, too.
    let ended = serve(&options, postgres.as_mut(), &mut steps, &stop).await;
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
    stop: &Stop,
) -> anyhow::Result<()> {
    let Stop { draining, shutdown } = stop;
    let mut settings = settings(options, postgres.as_deref())?;
    let owners = owners(options, postgres.as_deref());
    let migrating = services::migrate(
        &settings.database_url,
        &settings.projection_database_url,
        owners,
        options.partitions,
    );
    // On a signal the migration stops half-way; the next start completes it.
    let Some(store) = draining.run_until_cancelled(migrating).await else { return Ok(()) };
    let partitions = store?.partitions;
    steps.done("tables");
    let broker = match options.kafka_brokers {
        Some(_) => None,
        None => Some(Broker::start(
            std::slice::from_ref(&options.kafka_topic),
            partitions.get(),
            options.broker_port,
        )?),
    };
    if let Some(broker) = &broker {
        broker.address().clone_into(&mut settings.kafka_brokers);
        steps.done("broker (in this process)");
    }
    // On a signal during the start, dropping the future cancels it.
    let Some(services) = draining.run_until_cancelled(Services::start(&settings, stop)).await
    else {
        return Ok(());
    };
    let services = services?;

    let outcome = tokio::select! {
        outcome = run_services(options, &settings, &services, steps, shutdown) => outcome,
        outcome = postgres_ended(postgres) => outcome,
    };
    shutdown.cancel();
    // The error of a service explains more than the fact that a part ended.
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
    greeting::print(options, settings, services)?;
    shutdown.cancelled().await;
    Ok(())
}

async fn postgres_ended(postgres: Option<&mut Cluster>) -> anyhow::Result<()> {
    let Some(postgres) = postgres else { return std::future::pending().await };
    let status = postgres.ended().await?;
    bail!("the embedded Postgres ended ({status}); {}", postgres.log_tail())
}

fn settings(options: &Options, postgres: Option<&Cluster>) -> anyhow::Result<services::Settings> {
    let given_or = |given: &Option<String>, own: Option<String>| {
        given.clone().or(own).context("neither a URL nor an embedded Postgres")
    };
    let key_file = |name| secrets::key_file(&options.cluster.data_dir, name);
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
        snapshot_key_file: key_file(secrets::SNAPSHOT_KEY)?,
        topic_key_file: key_file(secrets::TOPIC_KEY)?,
        keys: services::need_local_keys()?
            .then(|| LocalKeys::open_or_create(&options.cluster.data_dir))
            .transpose()?,
    })
}

fn embedded(options: &Options) -> Embedded {
    Embedded {
        log: options.database_url.is_none(),
        views: options.projection_database_url.is_none(),
    }
}

/// Returns the owners of the tables; the embedded Postgres has its own.
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

#[cfg(test)]
mod tests;
