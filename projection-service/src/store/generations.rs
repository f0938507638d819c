//! Complete sets of views, one of which is live. Only this file knows where the tables of a
//! generation are.

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection, PgExecutor};
use uuid::Uuid;

/// Number of a complete set of views.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub i32);

impl Generation {
    /// Returns connection settings for this generation, independent of the live one.
    pub fn options(self, database: &PgConnectOptions) -> PgConnectOptions {
        seeing(database, self.schema())
    }

    fn schema(self) -> String {
        format!("views_{}", self.0)
    }
}

/// Returns connection settings for the generation that is live at each statement.
pub fn live_options(database: &PgConnectOptions) -> PgConnectOptions {
    seeing(database, "views".to_owned())
}

/// Time zone UTC, so that Postgres's arithmetic with days and months agrees with ours.
fn seeing(database: &PgConnectOptions, schema: String) -> PgConnectOptions {
    database.clone().options([("search_path", schema), ("TimeZone", "UTC".to_owned())])
}

/// Opens a connection to the currently live generation.
///
/// # Errors
/// Postgres cannot be reached, or refuses.
pub async fn connect_live(database: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    let mut connection = database.clone().options([("TimeZone", "UTC")]).connect().await?;
    point_to_live(&mut connection).await?;
    Ok(connection)
}

/// Points a connection to the currently live generation.
pub async fn point_to_live(connection: &mut PgConnection) -> sqlx::Result<()> {
    // A writer stays with this generation. A switch raises its epochs, which refuses later batches.
    let schema = live(&mut *connection).await?.schema();
    sqlx::query("SELECT set_config('search_path', $1, false)")
        .bind(schema)
        .execute(connection)
        .await
        .map(drop)
}

/// Points a transaction to the currently live generation, and returns it.
pub async fn see_live(transaction: &mut PgConnection) -> sqlx::Result<Generation> {
    let generation = live(&mut *transaction).await?;
    sqlx::query("SELECT set_config('search_path', $1, true)")
        .bind(generation.schema())
        .execute(transaction)
        .await?;
    Ok(generation)
}

/// Opens a read-only snapshot of the currently live generation. It ends with the connection.
///
/// # Errors
/// Postgres cannot be reached, or refuses.
pub async fn snapshot_live(database: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    let mut connection = database.clone().options([("TimeZone", "UTC")]).connect().await?;
    // The live generation is read within the snapshot, so a switch cannot come between.
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .execute(&mut connection)
        .await?;
    let schema = live(&mut connection).await?.schema();
    sqlx::query("SELECT set_config('search_path', $1, true)")
        .bind(schema)
        .execute(&mut connection)
        .await?;
    Ok(connection)
}

/// Returns the live generation.
pub async fn live(executor: impl PgExecutor<'_>) -> sqlx::Result<Generation> {
    sqlx::query_scalar("SELECT generation FROM projection.generations WHERE live")
        .fetch_one(executor)
        .await
        .map(Generation)
}

/// Returns all generations, oldest first.
pub async fn all(executor: impl PgExecutor<'_>) -> sqlx::Result<Vec<Generation>> {
    let found: Vec<i32> =
        sqlx::query_scalar("SELECT generation FROM projection.generations ORDER BY generation")
            .fetch_all(executor)
            .await?;
    Ok(found.into_iter().map(Generation).collect())
}

/// Creates an empty generation without indexes, for a bulk load. [`index`] adds them afterwards.
pub async fn create(connection: &mut PgConnection) -> sqlx::Result<Generation> {
    sqlx::query_scalar("SELECT projection.add_generation()")
        .fetch_one(connection)
        .await
        .map(Generation)
}

/// Creates the indexes of a generation if it has none. Requires a transaction.
pub async fn index(transaction: &mut PgConnection, generation: Generation) -> sqlx::Result<()> {
    sqlx::query("SELECT projection.finish_generation($1)")
        .bind(generation.0)
        .execute(transaction)
        .await
        .map(drop)
}

/// Drops a generation that is not live.
pub async fn discard(connection: &mut PgConnection, generation: Generation) -> sqlx::Result<()> {
    sqlx::query("SELECT projection.drop_generation($1)")
        .bind(generation.0)
        .execute(connection)
        .await
        .map(drop)
}

/// Returns the number of live accounts whose events `other` has quarantined. A switch would return
/// them to an earlier version.
pub async fn behind(
    connection: &mut PgConnection,
    other: Generation,
    live: Generation,
) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT projection.behind($1, $2)")
        .bind(other.0)
        .bind(live.0)
        .fetch_one(connection)
        .await
}

/// Returns at most `most` accounts whose rows differ between two generations.
pub async fn differing(
    connection: &mut PgConnection,
    one: Generation,
    other: Generation,
    most: usize,
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar("SELECT projection.differing_accounts($1, $2, $3)")
        .bind(one.0)
        .bind(other.0)
        .bind(i32::try_from(most).unwrap_or(i32::MAX))
        .fetch_all(connection)
        .await
}

/// Empties the generation of a connection. Requires a transaction.
pub async fn empty(transaction: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::raw_sql(
        // The role may delete rows but not truncate tables.
        "DELETE FROM quarantine; DELETE FROM history; DELETE FROM accounts;
         UPDATE checkpoints SET position = 0, event_id = NULL, recorded_at = NULL,
             epoch = epoch + 1",
    )
    .execute(transaction)
    .await
    .map(drop)
}

/// Makes a generation live, atomically for all queries.
pub async fn make_live(connection: &mut PgConnection, generation: Generation) -> sqlx::Result<()> {
    // Later queries queue behind a switch that waits for its lock.
    sqlx::query("SET LOCAL lock_timeout = '200ms'").execute(&mut *connection).await?;
    sqlx::query("SELECT projection.switch_to($1)")
        .bind(generation.0)
        .execute(connection)
        .await
        .map(drop)
}
