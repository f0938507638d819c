//! Limit of a rebuild on this machine: the rows of the live views by binary COPY into tables
//! without indexes, then the indexes.

use std::time::Duration;

use anyhow::ensure;
use axum::body::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::Instant;

/// Number of connections that copy at the same time: one for each processor of a small machine.
const CONNECTIONS: usize = 2;
const TABLES: [&str; 2] = ["accounts", "history"];

/// Copies the live views' tables. Returns the number of events, and the duration of the copy with
/// its indexes. Reading the rows is not part of it.
pub(crate) async fn limit(database_url: &str) -> anyhow::Result<(usize, Duration)> {
    let mut connection = PgConnection::connect(database_url).await?;
    let live: i32 = sqlx::query_scalar("SELECT generation FROM projection.generations WHERE live")
        .fetch_one(&mut connection)
        .await?;
    let live = format!("views_{live}");
    run(&mut connection, "CREATE SCHEMA copied").await?;
    let (mut parts, mut indexes) = (Vec::new(), Vec::new());
    for table in TABLES {
        let copied = format!("CREATE TABLE copied.{table} (LIKE {live}.{table} INCLUDING STORAGE)");
        run(&mut connection, &copied).await?;
        for part in 0..CONNECTIONS {
            parts.push((table, unload(&mut connection, &live, table, part).await?));
        }
        indexes.extend(indexes_of_copy(&mut connection, &live, table).await?);
    }
    let started = Instant::now();
    let loads = parts.into_iter().map(|(table, rows)| load(database_url, table, rows));
    futures_util::stream::iter(loads).buffer_unordered(CONNECTIONS).try_collect::<()>().await?;
    for index in indexes {
        run(&mut connection, &index).await?;
    }
    let took = started.elapsed();
    let events: i64 = sqlx::query_scalar("SELECT count(*) FROM copied.history")
        .fetch_one(&mut connection)
        .await?;
    run(&mut connection, "DROP SCHEMA copied CASCADE").await?;
    Ok((events.try_into()?, took))
}

/// Returns one of `CONNECTIONS` parts of a table, in the binary format of COPY.
async fn unload(
    connection: &mut PgConnection,
    live: &str,
    table: &str,
    part: usize,
) -> sqlx::Result<Vec<Bytes>> {
    let mask = CONNECTIONS - 1;
    let sql = format!(
        "COPY (SELECT * FROM {live}.{table} WHERE uuid_hash(account_id) & {mask} = {part}) \
         TO STDOUT (FORMAT binary)"
    );
    connection.copy_out_raw(&sql).await?.try_collect().await
}

async fn load(database_url: &str, table: &str, rows: Vec<Bytes>) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(database_url).await?;
    let sql = format!("COPY copied.{table} FROM STDIN (FORMAT binary)");
    let mut copy = connection.copy_in_raw(&sql).await?;
    for chunk in rows {
        copy.send(chunk).await?;
    }
    copy.finish().await?;
    Ok(connection.close().await?)
}

/// Returns the statements that create a table's indexes on its copy.
async fn indexes_of_copy(
    connection: &mut PgConnection,
    live: &str,
    table: &str,
) -> anyhow::Result<Vec<String>> {
    let sql = "SELECT indexdef FROM pg_indexes WHERE schemaname = $1 AND tablename = $2";
    let defined: Vec<String> =
        sqlx::query_scalar(sql).bind(live).bind(table).fetch_all(connection).await?;
    let on_copy = |index: String| {
        let on_copy = index.replace(&format!(" ON {live}."), " ON copied.");
        ensure!(on_copy != index, "an index of another table: {index}");
        Ok(on_copy)
    };
    defined.into_iter().map(on_copy).collect()
}

async fn run(connection: &mut PgConnection, sql: &str) -> sqlx::Result<()> {
    sqlx::query(AssertSqlSafe(sql)).execute(connection).await.map(drop)
}
