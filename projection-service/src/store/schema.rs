//! Schema of the views, and the rights of the service's role on it.

use passbook_shared::schema::Schema;
use sqlx::Connection;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;

/// Schema of the views.
pub const SCHEMA: Schema = Schema {
    name: "projection",
    migrations,
    applied: "projection.migrations",
    job: "projection-service migrate",
    internal: &[
        "create_generation",
        "index_generation",
        "make_live",
        "grant_generation",
        "add_owners",
        "add_tenants",
    ],
};

fn migrations() -> Migrator {
    let mut migrator: Migrator = sqlx::migrate!();
    // A separate table: the log may share the database, with migrations of its own.
    migrator.create_schema("projection");
    migrator.dangerous_set_table_name("projection.migrations");
    migrator
}

/// Upgrades the schema as its owner, and grants the service's role its rights.
///
/// # Errors
/// Postgres refuses, or a newer build has changed the schema.
pub async fn prepare(owner: &PgConnectOptions, role: &str) -> anyhow::Result<()> {
    let mut connection = SCHEMA.own(owner).await?;
    SCHEMA.migrate(&mut connection).await?;
    SCHEMA.grant(&mut connection, role, rights).await?;
    Ok(connection.close().await?)
}

/// Returns the grants that the service needs in addition to reads and function calls.
fn rights(role: &str) -> String {
    format!(
        // Changes of tables are functions of the owner, so the role needs no rights to them.
        "GRANT INSERT, UPDATE, DELETE ON projection.replays, projection.verifications TO {role};
         GRANT INSERT ON projection.discarded TO {role};
         GRANT INSERT, UPDATE ON projection.source, projection.confirmed,
             projection.restores TO {role};
         GRANT USAGE ON SEQUENCE projection.quarantine_ids TO {role};
         SELECT projection.grant_generation(generation) FROM projection.generations;"
    )
}
