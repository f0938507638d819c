//! The schema of the views, and the rights of the service's role on it.

use passbook_shared::schema::Schema;
use sqlx::Connection;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;

/// The schema of the views.
pub const SCHEMA: Schema = Schema {
    name: "projection",
    migrations,
    applied: "projection.migrations",
    job: "projection-service migrate",
    internal: &["create_generation", "index_generation", "make_live", "grant_generation"],
};

fn migrations() -> Migrator {
    let mut migrator: Migrator = sqlx::migrate!();
    // A table of our own: the log may be in the same database, with migrations of its own.
    migrator.create_schema("projection");
    migrator.dangerous_set_table_name("projection.migrations");
    migrator
}

/// Brings the schema up to date as its owner, and grants the service's role its rights.
///
/// # Errors
/// Postgres refuses, or a newer program has been here.
pub async fn prepare(owner: &PgConnectOptions, role: &str) -> anyhow::Result<()> {
    let mut connection = SCHEMA.own(owner).await?;
    SCHEMA.migrate(&mut connection).await?;
    SCHEMA.grant(&mut connection, role, rights).await?;
    Ok(connection.close().await?)
}

/// What the service needs beside reading and calling functions: it writes what it applies, and what it was asked for.
fn rights(role: &str) -> String {
    format!(
        "GRANT INSERT, UPDATE, DELETE ON projection.replays, projection.verifications TO {role};
         GRANT INSERT ON projection.discarded TO {role};
         GRANT INSERT, UPDATE ON projection.source, projection.confirmed, projection.restores TO {role};
         GRANT USAGE ON SEQUENCE projection.quarantine_ids TO {role};
         SELECT projection.grant_generation(generation) FROM projection.generations;"
    )
}
