//! The job that owns the log's schema: migrations, the store, and the rights of the service's role.

use anyhow::Context;
use clap::Args;
use passbook_shared::config::{Secret, Unrepeated, database_url, with_password};
use passbook_shared::partition::Partition;
use passbook_shared::schema::Standing;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::log::store::{self, SCHEMA, Store};

/// Settings of the job.
#[derive(Debug, Clone, Args)]
pub struct MigrateOptions {
    /// Database of the log as the owner of its tables; the role in DATABASE_URL gets the rights that the service needs,
    /// and no others. If it is not given, DATABASE_URL's role is the owner.
    #[arg(long, env, hide_env_values = true, value_parser = Unrepeated(database_url))]
    pub migration_database_url: Option<PgConnectOptions>,
    /// The password of MIGRATION_DATABASE_URL's role, instead of one in the URL: any characters, none escaped.
    #[arg(long, env, hide_env_values = true, value_parser = Unrepeated(Secret::of_text))]
    pub migration_database_password: Option<Secret>,
    /// A file with that password.
    #[arg(long, env, value_parser = Unrepeated(Secret::of_file), conflicts_with = "migration_database_password")]
    pub migration_database_password_file: Option<Secret>,
    /// Partitions of the log, for a store that is yet to be made (12 if not given); fixed from then on.
    #[arg(long, env, value_parser = clap::value_parser!(i16).range(1..=1000))]
    pub partitions: Option<Partition>,
}

/// Brings the schema up to date, makes the store if there is none, and grants `database`'s role its rights.
///
/// # Errors
/// Postgres can't be reached or refuses, a newer build changed the schema, or the store has another number of partitions.
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
            Some(store) if partitions.is_none_or(|asked| asked == store.partitions) => Ok(store),
            _ => {
                let prepared = store::prepare(database, database.get_username(), *partitions).await;
                prepared.context(
                    "MIGRATION_DATABASE_URL is not given, so DATABASE_URL's role owns the tables",
                )
            }
        },
    }
}

/// Returns the store, if a role without further rights finds nothing left to do.
async fn made(database: &PgConnectOptions) -> Option<Store> {
    let mut connection = database.connect().await.ok()?;
    let store = match SCHEMA.standing(&mut connection).await.ok()? {
        Standing::Usable => store::find(&mut connection).await.ok()?,
        Standing::Waiting(_) | Standing::TooNew(_) => None,
    };
    connection.close().await.ok()?;
    store
}
