//! Both services in this process.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use command_service::log::store::Store;
use passbook_shared::config::{KafkaConfig, Keys, TlsConfig};
use passbook_shared::http::healthcheck::healthcheck;
use passbook_shared::partition::PartitionCount;
use passbook_shared::shutdown::{Service, Stop};
use tokio::task::JoinHandle;

mod config;
mod settings;

pub use config::{check_settings, drain, need_local_keys};
use config::{command_config, config, projection_config};
pub use settings::{Embedded, Settings};

/// Timeout until both services are ready.
const READY: Duration = Duration::from_secs(60);

/// URLs for the owners of the tables, where they differ from the services' roles.
#[derive(Debug, Clone, Default)]
pub struct Owners {
    /// URL of the log's database.
    pub migration_database_url: Option<String>,
    /// URL of the views' database.
    pub projection_migration_database_url: Option<String>,
    /// Databases in the embedded Postgres.
    pub embedded: Embedded,
}

/// Both services, running in this process.
#[derive(Debug)]
pub struct Services {
    /// Reachable address of the command-service.
    pub command_addr: SocketAddr,
    /// Reachable address of the projection-service.
    pub projection_addr: SocketAddr,
    /// Reachable address of health and metrics of the command-service.
    pub command_ops_addr: SocketAddr,
    /// Reachable address of health and metrics of the projection-service.
    pub projection_ops_addr: SocketAddr,
    /// Encryption of both services.
    pub tls: TlsConfig,
    services: [(&'static str, JoinHandle<anyhow::Result<()>>); 2],
}

impl Services {
    /// Starts both services. Each ends at `stop`, and cancels its shutdown if it ends by itself.
    ///
    /// # Errors
    /// A service does not start.
    pub async fn start(settings: &Settings, stop: &Stop) -> anyhow::Result<Self> {
        let command = command(settings, stop).await.context("the command-service did not start")?;
        // Known only now, if the operating system has chosen the port.
        let command_addr = reachable(command.local_addr);
        let projection = projection(settings, command_addr, stop)
            .await
            .context("the projection-service did not start")?;
        Ok(Self {
            command_addr,
            projection_addr: reachable(projection.local_addr),
            command_ops_addr: reachable(command.ops_addr),
            projection_ops_addr: reachable(projection.ops_addr),
            tls: config(&[])?,
            services: [
                ("command-service", tokio::spawn(command.tasks.wait())),
                ("projection-service", tokio::spawn(projection.tasks.wait())),
            ],
        })
    }

    /// Waits until both services are ready.
    ///
    /// # Errors
    /// A service is not ready in time; the message has its reasons.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + READY;
        let addrs = [self.command_ops_addr, self.projection_ops_addr];
        for ((name, _), addr) in self.services.iter().zip(addrs) {
            while let Err(error) = healthcheck(addr).await {
                if tokio::time::Instant::now() > deadline {
                    return Err(error.context(format!("the {name} was not ready within {READY:?}")));
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    /// Waits until both services have ended.
    ///
    /// # Errors
    /// The error of the first service that failed.
    pub async fn ended(self) -> anyhow::Result<()> {
        let mut first = Ok(());
        for (name, service) in self.services {
            let ended = service.await.context("its task panicked").and_then(|ended| ended);
            first = first.and(ended.with_context(|| format!("the {name} ended")));
        }
        first
    }
}

/// Migrates the tables of both services and returns the store. `partitions` applies to a new log
/// only.
///
/// # Errors
/// A database is unreachable or refuses the migration.
pub async fn migrate(
    database_url: &str,
    projection_database_url: &str,
    owners: Owners,
    partitions: Option<PartitionCount>,
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
    let store = migrated.context("cannot migrate the log's tables")?;

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
    migrated.context("cannot migrate the views' tables")?;
    Ok(store)
}

async fn command(settings: &Settings, stop: &Stop) -> anyhow::Result<Service> {
    let given = [
        ("--command-addr", settings.command_addr.to_string()),
        ("--command-ops-addr", settings.command_ops_addr.to_string()),
        ("--database-url", settings.database_url.clone()),
        ("--kafka-brokers", settings.kafka_brokers.clone()),
        ("--kafka-topic", settings.kafka_topic.clone()),
    ];
    let mut config = command_config(&given, settings.embedded)?;
    // A random key would make the snapshots of earlier runs useless.
    if config.snapshot_key()?.is_none() {
        config.snapshot_key_file = keys_in(&settings.snapshot_key_file)?;
    }
    if let Some(keys) = &settings.keys {
        config.access.keys_file = Some(keys.keys_file.clone());
    }
    authenticate(&mut config.kafka, settings)?;
    command_service::start(config, stop.clone()).await
}

async fn projection(
    settings: &Settings,
    command_addr: SocketAddr,
    stop: &Stop,
) -> anyhow::Result<Service> {
    let given = [
        ("--projection-addr", settings.projection_addr.to_string()),
        ("--projection-ops-addr", settings.projection_ops_addr.to_string()),
        ("--projection-database-url", settings.projection_database_url.clone()),
        ("--kafka-brokers", settings.kafka_brokers.clone()),
        ("--kafka-topic", settings.kafka_topic.clone()),
    ];
    let mut config = projection_config(&given, settings.embedded)?;
    config.command_service_url = format!("{}://{command_addr}", config.tls.scheme());
    if let Some(keys) = &settings.keys {
        config.access.keys_file = Some(keys.keys_file.clone());
        config.command_service_key_file = Some(keys.projection_key()?);
    }
    authenticate(&mut config.kafka, settings)?;
    if settings.in_process_broker {
        // The broker answers a fetch only after the whole wait, even if records arrive earlier.
        config.kafka.set_unless_given("fetch.wait.max.ms", "20");
    }
    projection_service::start(config, stop.clone()).await
}

/// Authenticates the topic with the launcher's key, unless the environment has a key.
fn authenticate(kafka: &mut KafkaConfig, settings: &Settings) -> anyhow::Result<()> {
    if kafka.topic_keys().is_empty() {
        kafka.topic_key_file = keys_in(&settings.topic_key_file)?;
    }
    Ok(())
}

fn keys_in(path: &Path) -> anyhow::Result<Keys> {
    let path = path.to_string_lossy();
    Keys::of_file(&path).map_err(|error| anyhow::anyhow!("{path}: {error}"))
}

/// Returns the address at which this machine reaches a listener on `addr`.
fn reachable(addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, addr.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, addr.port()).into(),
        IpAddr::V4(_) | IpAddr::V6(_) => addr,
    }
}

#[cfg(test)]
mod tests;
