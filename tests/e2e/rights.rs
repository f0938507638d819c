//! Rights of both services' roles.

use anyhow::ensure;
use passbook_shared::store_error::is_forbidden;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::environment::Environment;

/// Builder of statements on a table and one of its columns.
type Statements = fn(&str, &str) -> Vec<String>;

fn writing(table: &str, column: &str) -> Vec<String> {
    vec![
        format!("INSERT INTO {table} SELECT * FROM {table} LIMIT 0"),
        format!("UPDATE {table} SET {column} = {column}"),
        format!("DELETE FROM {table}"),
    ]
}

fn changing(table: &str, column: &str) -> Vec<String> {
    vec![
        format!("TRUNCATE {table}"),
        format!("DROP TABLE {table}"),
        format!("ALTER TABLE {table} DROP COLUMN {column}"),
        format!("ALTER TABLE {table} ALTER COLUMN {column} TYPE text USING 'x'"),
        format!("ALTER TABLE {table} DISABLE TRIGGER ALL"),
        format!("ALTER TABLE {table} OWNER TO CURRENT_USER"),
        format!(
            "CREATE TRIGGER mine BEFORE INSERT ON {table}
             EXECUTE FUNCTION passbook.refuse_to_change_history()"
        ),
    ]
}

async fn are_refused(
    owner: &str,
    role: &str,
    schemas: &str,
    statements: &[Statements],
) -> anyhow::Result<()> {
    let mut owner = PgConnection::connect(owner).await?;
    let mut role = PgConnection::connect(role).await?;
    let tables: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.relnamespace::regnamespace || '.' || c.relname, a.attname::text
           FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = 1
          WHERE c.relnamespace::regnamespace::text ~ $1 AND c.relkind = 'r'",
    )
    .bind(schemas)
    .fetch_all(&mut owner)
    .await?;
    ensure!(tables.len() > 8, "{tables:?}");
    for (table, column) in tables {
        for sql in statements.iter().flat_map(|statements| statements(&table, &column)) {
            let done = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut role).await;
            let refused = done.as_ref().is_err_and(is_forbidden);
            // The trigger function exists in the log's database only.
            let missing = sql.contains("passbook.refuse") && !schemas.contains("passbook");
            ensure!(refused || missing && done.is_err(), "{sql}: {done:?}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn service_roles_change_no_table_and_the_logs_role_writes_none() -> anyhow::Result<()> {
    let environment = Environment::new("rights").await?;
    are_refused(
        &environment.database_url,
        &environment.command_role_url,
        "^passbook$",
        &[writing, changing],
    )
    .await?;
    let (owner, role) = (&environment.projection_database_url, &environment.projection_role_url);
    are_refused(owner, role, "^(projection|views_1)$", &[changing]).await
}
