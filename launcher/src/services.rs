//! Both services in this process.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser};
use command_service::log::store::Store;
use passbook_shared::config::KafkaConfig;
use passbook_shared::http::healthcheck::healthcheck;
use passbook_shared::shutdown::{CancellationToken, Service};
use tokio::task::JoinHandle;

/// How long both may take to be ready.
const READY: Duration = Duration::from_secs(60);

/// What the pair needs to be told; the rest is as each service's environment and defaults say.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the command-service listens.
    pub command_addr: SocketAddr,
    /// Where the projection-service listens.
    pub projection_addr: SocketAddr,
    /// The log's database.
    pub database_url: String,
    /// The views' database.
    pub projection_database_url: String,
    /// Kafka's bootstrap servers.
    pub kafka_brokers: String,
    /// Whether that is the in-process broker.
    pub in_process_broker: bool,
    /// The topic that mirrors the log.
    pub kafka_topic: String,
    /// The secret of snapshots, unless the environment has one.
    pub snapshot_key_file: PathBuf,
    /// Databases in the embedded Postgres.
    pub embedded: Embedded,
}

/// Databases in the embedded Postgres, which has passwords of its own: those in variables are for others.
#[derive(Debug, Clone, Copy, Default)]
pub struct Embedded {
    /// The log's.
    pub log: bool,
    /// The views'.
    pub views: bool,
}

/// The owners of the databases' tables, where they are others than the services' own roles.
#[derive(Debug, Clone, Default)]
pub struct Owners {
    /// The log's database.
    pub migration_database_url: Option<String>,
    /// The views' database.
    pub projection_migration_database_url: Option<String>,
    /// Databases in the embedded Postgres.
    pub embedded: Embedded,
}

/// Checks what both services take from their environment alone, before anything is started for them.
///
/// # Errors
/// A variable can't be used.
pub fn check_settings() -> anyhow::Result<()> {
    config::<KafkaConfig>(&[])?.check()
}

/// Both services, running.
#[derive(Debug)]
pub struct Services {
    /// Where the command-service answers.
    pub command_addr: SocketAddr,
    /// Where the projection-service answers.
    pub projection_addr: SocketAddr,
    services: [(&'static str, JoinHandle<anyhow::Result<()>>); 2],
}

impl Services {
    /// Starts both; each ends when `shutdown` is cancelled, and cancels it if it ends by itself.
    ///
    /// # Errors
    /// A service's own, from its start.
    pub async fn start(settings: &Settings, shutdown: &CancellationToken) -> anyhow::Result<Self> {
        let command =
            command(settings, shutdown).await.context("the command-service did not start")?;
        let command_addr = reachable(command.local_addr);
        let projection = projection(settings, command_addr, shutdown)
            .await
            .context("the projection-service did not start")?;
        Ok(Self {
            command_addr,
            projection_addr: reachable(projection.local_addr),
            services: [
                ("command-service", tokio::spawn(command.tasks.wait())),
                ("projection-service", tokio::spawn(projection.tasks.wait())),
            ],
        })
    }

    /// Waits until both say they are ready.
    ///
    /// # Errors
    /// One does not in time; with its reasons.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + READY;
        for ((name, _), addr) in self.services.iter().zip([self.command_addr, self.projection_addr])
        {
            while let Err(error) = healthcheck(addr).await {
                if tokio::time::Instant::now() > deadline {
                    return Err(error.context(format!("the {name} was not ready in {READY:?}")));
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    /// Waits until both have ended.
    ///
    /// # Errors
    /// Why the first that failed did.
    pub async fn ended(self) -> anyhow::Result<()> {
        let mut first = Ok(());
        for (name, service) in self.services {
            let ended = service.await.context("its task panicked").and_then(|ended| ended);
            first = first.and(ended.with_context(|| format!("the {name} ended")));
        }
        first
    }
}

/// Makes the tables of both services, or brings them up to date; returns the store. `partitions` are those of a log that
/// is yet to be made, if they are to be others than usual.
///
/// # Errors
/// A database can't be reached, or refuses.
pub async fn migrate(
    database_url: &str,
    projection_database_url: &str,
    owners: Owners,
    partitions: Option<u16>,
) -> anyhow::Result<Store> {
    let embedded = owners.embedded;
    let service =
        command_config(&[("--database-url", database_url.to_owned())], embedded)?.with_passwords();
    let mut given = Vec::new();
    given.extend(partitions.map(|partitions| ("--partitions", partitions.to_string())));
    given.extend(owners.migration_database_url.map(|url| ("--migration-database-url", url)));
    let mut options: command_service::migrate::MigrateOptions = config(&given)?;
    if embedded.log {
        (options.migration_database_password, options.migration_database_password_file) =
            (None, None);
    }
    let migrated = command_service::migrate(&service.database_url, &options).await;
    let store = migrated.context("the log's tables could not be prepared")?;

    let database = ("--projection-database-url", projection_database_url.to_owned());
    let service = projection_config(&[database], embedded)?.with_passwords();
    let owner = owners.projection_migration_database_url;
    let given: Vec<_> =
        owner.into_iter().map(|url| ("--projection-migration-database-url", url)).collect();
    let mut options: projection_service::migrate::MigrateOptions = config(&given)?;
    if embedded.views {
        options.projection_migration_database_password = None;
        options.projection_migration_database_password_file = None;
    }
    let migrated = projection_service::migrate(&service.projection_database_url, &options).await;
    migrated.context("the views' tables could not be prepared")?;
    Ok(store)
}

async fn command(settings: &Settings, shutdown: &CancellationToken) -> anyhow::Result<Service> {
    let given = [
        ("--command-addr", settings.command_addr.to_string()),
        ("--database-url", settings.database_url.clone()),
        ("--kafka-brokers", settings.kafka_brokers.clone()),
        ("--kafka-topic", settings.kafka_topic.clone()),
    ];
    let mut config = command_config(&given, settings.embedded)?;
    if config.snapshot_key()?.is_none() {
        config.snapshot_key_file = Some(settings.snapshot_key_file.clone());
    }
    command_service::start(config, shutdown.clone()).await
}

fn command_config(
    given: &[(&str, String)],
    embedded: Embedded,
) -> anyhow::Result<command_service::Config> {
    let mut config: command_service::Config = config(given)?;
    if embedded.log {
        (config.database_password, config.database_password_file) = (None, None);
    }
    Ok(config)
}

fn projection_config(
    given: &[(&str, String)],
    embedded: Embedded,
) -> anyhow::Result<projection_service::Config> {
    let mut config: projection_service::Config = config(given)?;
    if embedded.views {
        (config.projection_database_password, config.projection_database_password_file) =
            (None, None);
    }
    Ok(config)
}

async fn projection(
    settings: &Settings,
    command_addr: SocketAddr,
    shutdown: &CancellationToken,
) -> anyhow::Result<Service> {
    let given = [
        ("--projection-addr", settings.projection_addr.to_string()),
        ("--projection-database-url", settings.projection_database_url.clone()),
        ("--command-service-url", format!("http://{command_addr}")),
        ("--kafka-brokers", settings.kafka_brokers.clone()),
        ("--kafka-topic", settings.kafka_topic.clone()),
    ];
    let mut config = projection_config(&given, settings.embedded)?;
    if settings.in_process_broker {
        // It answers who waits for events only when that has waited for so long, and not when they come.
        config.kafka.set_unless_given("fetch.wait.max.ms", "10");
    }
    projection_service::start(config, shutdown.clone()).await
}

#[derive(Parser)]
#[command(no_binary_name = true)]
struct Settable<C: Args> {
    #[command(flatten)]
    config: C,
}

/// A service's configuration: `given`, and for all else its environment and defaults, as in a process of its own.
fn config<C: Args>(given: &[(&str, String)]) -> anyhow::Result<C> {
    let given = given.iter().map(|(name, value)| OsString::from(format!("{name}={value}")));
    // Clap's own words end with a hint at --help, which is another program's here.
    let first_line = |error: clap::Error| {
        anyhow::anyhow!(error.to_string().lines().next().unwrap_or_default().to_owned())
    };
    Ok(Settable::try_parse_from(given).map_err(first_line)?.config)
}

/// An address under which what listens on `addr` can be reached from here.
fn reachable(addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, addr.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, addr.port()).into(),
        IpAddr::V4(_) | IpAddr::V6(_) => addr,
    }
}
