//! Limit of a rebuild on this machine: the rows of the live views by binary COPY into tables
//! without indexes, then the indexes.

use std::time::Duration;

use anyhow::ensure;
use axum::body::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tokio::time::Instant;

/// Number of connections that copy at the same time: one for each processor of a small machine.
const CONNECTIONS: usize = 2;
const TABLES: [&str; 2] = ["accounts", "history"];

/// Copies the live views' tables, and returns the duration of the copy with its indexes. Reading
/// the rows is not part of it.
pub(crate) async fn limit(database_url: &str) -> anyhow::Result<Duration> {
    let mut connection = PgConnection::connect(database_url).await?;
    let live: i32 = sqlx::query_scalar("SELECT generation FROM projection.generations WHERE live")
        .fetch_one(&mut connection)
        .await?;
    let live = format!("views_{live}");
    run(&mut connection, "CREATE SCHEMA copied").await?;
    let (mut rows, mut indexes) = (Vec::new(), Vec::new());
    for table in TABLES {
        run(
            &mut connection,
            &format!("CREATE TABLE copied.{table} (LIKE {live}.{table} INCLUDING STORAGE)"),
        )
        .await?;
        for part in 0..CONNECTIONS {
            let sql = format!(
                "COPY (SELECT * FROM {live}.{table} \
                 WHERE uuid_hash(account_id) & {mask} = {part}) TO STDOUT (FORMAT binary)",
                mask = CONNECTIONS - 1
            );
            let copied: Vec<Bytes> = connection.copy_out_raw(&sql).await?.try_collect().await?;
            rows.push((table, copied));
        }
        let defined = "SELECT indexdef FROM pg_indexes WHERE schemaname = $1 AND tablename = $2";
        let defined =
            sqlx::query(defined).bind(&live).bind(table).fetch_all(&mut connection).await?;
        for index in defined {
            let index: String = index.try_get(0)?;
            let on_copy = index.replace(&format!(" ON {live}."), " ON copied.");
            ensure!(on_copy != index, "an index of another table: {index}");
            indexes.push(on_copy);
        }
    }
    let started = Instant::now();
    let copies = futures_util::stream::iter(rows)
        .map(async |(table, rows)| {
            let mut connection = PgConnection::connect(database_url).await?;
            let sql = format!("COPY copied.{table} FROM STDIN (FORMAT binary)");
            let mut copy = connection.copy_in_raw(&sql).await?;
            for chunk in rows {
                copy.send(chunk).await?;
            }
            copy.finish().await?;
            anyhow::Ok(())
        })
        .buffer_unordered(CONNECTIONS);
    copies.try_collect::<()>().await?;
    for index in indexes {
        run(&mut connection, &index).await?;
    }
    let took = started.elapsed();
    run(&mut connection, "DROP SCHEMA copied CASCADE").await?;
    Ok(took)
}

async fn run(connection: &mut PgConnection, sql: &str) -> sqlx::Result<()> {
    sqlx::query(AssertSqlSafe(sql)).execute(connection).await.map(drop)
}
