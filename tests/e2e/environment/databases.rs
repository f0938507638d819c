//! Databases of a test.

use anyhow::Context;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Creates a database and a role of the same name that owns nothing.
pub(super) async fn create_database(postgres: &str, database: &str) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(&format!("{postgres}/postgres")).await?;
    for statement in [
        format!("CREATE DATABASE {database}"),
        format!("CREATE ROLE {database} LOGIN PASSWORD '{database}'"),
        format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC"),
        format!("GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {database}"),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    }
    connection.close().await?;
    let mut connection = PgConnection::connect(&format!("{postgres}/{database}")).await?;
    let revoke = "REVOKE EXECUTE ON FUNCTION lo_create(oid), lo_creat(integer),
                  lo_from_bytea(oid, bytea) FROM PUBLIC";
    sqlx::raw_sql(revoke).execute(&mut connection).await?;
    Ok(connection.close().await?)
}

/// Returns the URLs of a database as a superuser and as its role.
pub(super) fn urls(postgres: &str, database: &str) -> anyhow::Result<[String; 2]> {
    let (_, host) = postgres.rsplit_once('@').context("no host")?;
    let role = format!("postgres://{database}:{database}@{host}/{database}");
    Ok([format!("{postgres}/{database}"), role])
}
