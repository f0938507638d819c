//! Settings of the services, from the launcher's options and its own parts.

use anyhow::Context;
use embedded_postgres::{Cluster, secrets};
use passbook_shared::access::local_keys::LocalKeys;

use super::Options;
use crate::services::{self, Embedded, Owners};

/// Returns the settings of both services.
pub(super) fn settings(
    options: &Options,
    postgres: Option<&Cluster>,
) -> anyhow::Result<services::Settings> {
    let given_or = |given: &Option<String>, own: Option<String>| {
        given.clone().or(own).context("neither a URL nor an embedded Postgres")
    };
    let key_file = |name| secrets::key_file(&options.cluster.data_dir, name);
    Ok(services::Settings {
        command_addr: options.command_addr,
        projection_addr: options.projection_addr,
        command_ops_addr: options.command_ops_addr,
        projection_ops_addr: options.projection_ops_addr,
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

pub(super) fn embedded(options: &Options) -> Embedded {
    Embedded {
        log: options.database_url.is_none(),
        views: options.projection_database_url.is_none(),
    }
}

/// Returns the owners of the tables; the embedded Postgres has its own.
pub(super) fn owners(options: &Options, postgres: Option<&Cluster>) -> Owners {
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
