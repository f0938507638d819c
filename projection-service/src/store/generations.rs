//! Complete sets of views, one of them live. The only place that knows where a generation's tables are.

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection, PgExecutor};
use uuid::Uuid;

/// One complete set of views.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub i32);

impl Generation {
    /// Settings of connections that work on this generation, whichever is live later.
    pub fn options(self, database: &PgConnectOptions) -> PgConnectOptions {
        seeing(database, self.schema())
    }

    fn schema(self) -> String {
        format!("views_{}", self.0)
    }
}

/// Settings of connections whose statements see whatever generation is live.
pub fn live_options(database: &PgConnectOptions) -> PgConnectOptions {
    seeing(database, "views".to_owned())
}

/// In UTC, so that Postgres's own arithmetic with days and months agrees with ours.
fn seeing(database: &PgConnectOptions, schema: String) -> PgConnectOptions {
    database.clone().options([("search_path", schema), ("TimeZone", "UTC".to_owned())])
}

/// A connection that works on the generation that is live now.
///
/// # Errors
/// Postgres is away, or refuses.
pub async fn connect_live(database: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    let mut connection = database.clone().options([("TimeZone", "UTC")]).connect().await?;
    point_to_live(&mut connection).await?;
    Ok(connection)
}

/// Has the statements of a connection work on the generation that is live now.
pub async fn point_to_live(connection: &mut PgConnection) -> sqlx::Result<()> {
    let schema = live(&mut *connection).await?.schema();
    sqlx::query("SELECT set_config('search_path', $1, false)")
        .bind(schema)
        .execute(connection)
        .await
        .map(drop)
}

/// Has the statements of a transaction work on the generation that is live now, and gives that.
pub async fn see_live(transaction: &mut PgConnection) -> sqlx::Result<Generation> {
    let generation = live(&mut *transaction).await?;
    sqlx::query("SELECT set_config('search_path', $1, true)")
        .bind(generation.schema())
        .execute(transaction)
        .await?;
    Ok(generation)
}

/// A connection in a transaction that sees the live generation as it is now, however long it looks, whichever is live
/// later. It can only read, and ends with the connection.
///
/// # Errors
/// Postgres is away, or refuses.
pub async fn snapshot_live(database: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    let mut connection = database.clone().options([("TimeZone", "UTC")]).connect().await?;
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

/// The generation that queries are answered from.
pub async fn live(executor: impl PgExecutor<'_>) -> sqlx::Result<Generation> {
    sqlx::query_scalar("SELECT generation FROM projection.generations WHERE live")
        .fetch_one(executor)
        .await
        .map(Generation)
}

/// All there are, the oldest first.
pub async fn all(executor: impl PgExecutor<'_>) -> sqlx::Result<Vec<Generation>> {
    let found: Vec<i32> =
        sqlx::query_scalar("SELECT generation FROM projection.generations ORDER BY generation")
            .fetch_all(executor)
            .await?;
    Ok(found.into_iter().map(Generation).collect())
}

/// Makes an empty generation, to be loaded in bulk: [`index`] is for when all is there.
pub async fn create(connection: &mut PgConnection) -> sqlx::Result<Generation> {
    sqlx::query_scalar("SELECT projection.add_generation()")
        .fetch_one(connection)
        .await
        .map(Generation)
}

/// Gives a generation the indexes that it was loaded without, if it has none yet. To be called in a transaction.
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

/// How many accounts of the live generation have events that the other has set aside: they would go back.
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

/// Returns the accounts of which one generation has other rows than another: at most so many.
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

/// Empties the generation that a connection works on. To be called in a transaction.
pub async fn empty(transaction: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::raw_sql(
        "DELETE FROM quarantine; DELETE FROM history; DELETE FROM accounts;
         UPDATE checkpoints SET position = 0, event_id = NULL, recorded_at = NULL, epoch = epoch + 1",
    )
    .execute(transaction)
    .await
    .map(drop)
}

/// Makes a generation the live one, for whoever asks afterwards all at once.
pub async fn make_live(connection: &mut PgConnection, generation: Generation) -> sqlx::Result<()> {
    sqlx::query("SET LOCAL lock_timeout = '200ms'").execute(&mut *connection).await?;
    sqlx::query("SELECT projection.switch_to($1)")
        .bind(generation.0)
        .execute(connection)
        .await
        .map(drop)
}
