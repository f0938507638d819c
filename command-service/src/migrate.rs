//! Migration job, which owns the log's schema: migrations, the store, and the privileges of the
//! service's role.

use anyhow::Context;
use clap::Args;
use passbook_shared::config::{Secret, Unrepeated, database_url, with_password};
use passbook_shared::partition::PartitionCount;
use passbook_shared::schema::Standing;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::log::store::{self, SCHEMA, Store};

/// Settings of the migration job.
#[derive(Debug, Clone, Args)]
pub struct MigrateOptions {
    /// Database of the log, as the owner of its tables. The role in DATABASE_URL is granted only
    /// the privileges that the service needs. If not set, DATABASE_URL's role is the owner.
    #[arg(long, env, hide_env_values = true, value_parser = Unrepeated(database_url))]
    pub migration_database_url: Option<PgConnectOptions>,
    /// Password of MIGRATION_DATABASE_URL's role, if the URL has none. Any characters, without
    /// escaping.
    #[arg(long, env, hide_env_values = true, value_parser = Unrepeated(Secret::of_text))]
    pub migration_database_password: Option<Secret>,
    /// File that contains this password.
    #[arg(long, env, value_parser = Unrepeated(Secret::of_file),
        conflicts_with = "migration_database_password")]
    pub migration_database_password_file: Option<Secret>,
    /// Number of partitions of a new store (4 if not set); fixed once the store exists.
    #[arg(long, env)]
    pub partitions: Option<PartitionCount>,
}

/// Migrates the schema, creates the store if there is none, and grants `database`'s role its
/// privileges.
///
/// # Errors
/// Postgres fails, a newer build has changed the schema, or the store has a different number of
/// partitions.
pub async fn migrate(
    database: &PgConnectOptions,
    options: &MigrateOptions,
) -> anyhow::Result<Store> {
    let MigrateOptions { migration_database_url, partitions, .. } = options;
    match migration_database_url {
        Some(owner) => {
            let apart = options.migration_database_password.as_ref();
            let apart = apart.or(options.migration_database_password_file.as_ref());
            let owner = with_password(owner.clone(), apart);
            let prepared = store::prepare(&owner, database.get_username(), *partitions).await;
            prepared.context("MIGRATION_DATABASE_URL (--migration-database-url)")
        }
        None => match made(database).await {
            // Without a change, so that the job also succeeds for a role that owns nothing.
            Some(store) if partitions.is_none_or(|asked| asked == store.partitions) => Ok(store),
            _ => {
                let prepared = store::prepare(database, database.get_username(), *partitions).await;
                prepared.context(
                    "MIGRATION_DATABASE_URL is not set, so DATABASE_URL's role owns the tables",
                )
            }
        },
    }
}

/// Returns the store if nothing is left to migrate.
async fn made(database: &PgConnectOptions) -> Option<Store> {
    let mut connection = database.connect().await.ok()?;
    let store = match SCHEMA.standing(&mut connection).await.ok()? {
        Standing::Usable => store::find(&mut connection).await.ok()?,
        Standing::Waiting(_) | Standing::TooNew(_) => None,
    };
    connection.close().await.ok()?;
    store
}
