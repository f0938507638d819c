//! A database and a role for each service. Run at every start: what a crash left half-made is completed.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::Cluster;

/// Database and role of the command-service.
pub(super) const COMMAND: &str = "passbook_command";
/// Database and role of the projection-service.
pub(super) const PROJECTION: &str = "passbook_projection";

pub(super) async fn prepare(cluster: &Cluster) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(&cluster.admin_url("postgres")).await?;
    let secrets = &cluster.secrets;
    for (name, password) in [(COMMAND, &secrets.command), (PROJECTION, &secrets.projection)] {
        if !exists(&mut connection, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", name).await? {
            run(&mut connection, format!("CREATE ROLE {name} LOGIN PASSWORD '{password}'")).await?;
        }
        if !exists(&mut connection, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).await? {
            run(&mut connection, format!("CREATE DATABASE {name} OWNER {name} TEMPLATE template0")).await?;
            run(&mut connection, format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC")).await?;
        }
    }
    connection.close().await?;
    Ok(())
}

async fn exists(connection: &mut PgConnection, query: &'static str, name: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar(query).bind(name).fetch_one(connection).await
}

/// Statements that take no parameters; what is put into them are our own constants and random hex digits.
async fn run(connection: &mut PgConnection, statement: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.map(|_| ())
}
