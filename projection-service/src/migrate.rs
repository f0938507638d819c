//! Migration job of the views' schema: applies migrations and grants the rights of the service's
//! role.

use anyhow::Context;
use clap::Args;
use passbook_shared::config::{Secret, Unrepeated, database_url, with_password};
use passbook_shared::schema::Standing;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::store::schema::{SCHEMA, prepare};

/// Settings of the migration job.
#[derive(Debug, Clone, Args)]
pub struct MigrateOptions {
    /// Database of the views, as the owner of its tables. The role of PROJECTION_DATABASE_URL is
    /// granted the rights that the service needs. Without this setting, that role owns the tables.
    #[arg(long, env, hide_env_values = true, value_parser = Unrepeated(database_url))]
    pub projection_migration_database_url: Option<PgConnectOptions>,
    /// Password of PROJECTION_MIGRATION_DATABASE_URL's role, if the URL has none. Any characters,
    /// without escapes.
    #[arg(long, env, hide_env_values = true, value_parser = Unrepeated(Secret::of_text))]
    pub projection_migration_database_password: Option<Secret>,
    /// File with the password of PROJECTION_MIGRATION_DATABASE_URL's role.
    #[arg(long, env, value_parser = Unrepeated(Secret::of_file),
          conflicts_with = "projection_migration_database_password")]
    pub projection_migration_database_password_file: Option<Secret>,
}

/// Upgrades the schema and grants the role of `database` its rights.
///
/// # Errors
/// Postgres cannot be reached or refuses, or a newer build has changed the schema.
pub async fn migrate(database: &PgConnectOptions, options: &MigrateOptions) -> anyhow::Result<()> {
    match &options.projection_migration_database_url {
        Some(owner) => {
            let apart = options.projection_migration_database_password.as_ref();
            let apart = apart.or(options.projection_migration_database_password_file.as_ref());
            let owner = with_password(owner.clone(), apart);
            let prepared = prepare(&owner, database.get_username()).await;
            prepared
                .context("PROJECTION_MIGRATION_DATABASE_URL (--projection-migration-database-url)")
        }
        // A role that cannot change the tables can still run the job on a current schema.
        None if is_usable(database).await => Ok(()),
        None => prepare(database, database.get_username()).await.context(
            "PROJECTION_MIGRATION_DATABASE_URL is not set, so PROJECTION_DATABASE_URL's role owns \
             the tables",
        ),
    }
}

/// Returns whether the schema is up to date already, as seen by a role that cannot change it.
async fn is_usable(database: &PgConnectOptions) -> bool {
    let Ok(mut connection) = database.connect().await else { return false };
    let standing = SCHEMA.standing(&mut connection).await;
    // The state is known already, and the connection is not used again.
    let _ = connection.close().await;
    matches!(standing, Ok(Standing::Usable))
}
