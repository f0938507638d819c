//! Replays: their start, progress and result.

mod resets;
mod state;

use passbook_shared::timestamp::Timestamp;
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, PgExecutor};
use uuid::Uuid;

use super::generations::Generation;
use crate::store::replay_target::ReplayTarget;

pub use resets::{confirm, forget, notice, notice_done, try_notice_alone};
pub use state::State;

/// Advisory lock of the instance that runs replays.
const RUN_LOCK: i64 = 0x7061_7373_0002;

/// Replay, as stored.
#[derive(Debug, Clone, FromRow)]
pub struct Replay {
    /// Replay id.
    pub replay_id: Uuid,
    /// Start of the replay.
    #[sqlx(json)]
    pub asked_for: ReplayTarget,
    /// State of the replay.
    #[sqlx(try_from = "String")]
    pub state: State,
    /// Generation that the replay builds or changes.
    pub generation: Option<i32>,
    /// True if generations that are not live are kept.
    pub keep: bool,
    /// True if a cancellation was requested.
    pub cancel: bool,
    /// Number of events processed.
    pub events_done: i64,
    /// Total number of events to process, once known.
    pub events_total: Option<i64>,
    /// Number of processed events that came from the log because the topic lacks them.
    pub events_from_log: i64,
    /// Rate since the last start or resumption.
    pub events_per_second: Option<f64>,
    /// Number of rows that differ between the new and the live views.
    pub differences: Option<i64>,
    /// Some of the differing rows.
    pub samples: Option<Json<Value>>,
    /// Error that ended the replay, or the condition that it waits for.
    pub error: Option<String>,
    /// Time of the request.
    pub asked_at: Timestamp,
    /// Time of the start.
    pub started_at: Option<Timestamp>,
    /// Time of the end.
    pub ended_at: Option<Timestamp>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT replay_id, asked_for, state, generation, keep, cancel, events_done,
                    events_total, events_from_log,
                    events_per_second, differences, samples, error, asked_at, started_at, ended_at
               FROM projection.replays ",
            $rest
        )
    };
}

/// Tries to lock the execution of replays, until the end of the connection.
pub async fn try_run_alone(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(RUN_LOCK).fetch_one(connection).await
}

/// Queues a replay if none is open. Returns the new one, or the open one as the error.
pub async fn ask(
    connection: &mut PgConnection,
    asked_for: &ReplayTarget,
    keep: bool,
) -> sqlx::Result<Result<Replay, Replay>> {
    let mut transaction = sqlx::Connection::begin(connection).await?;
    // Two requests at once must not both find that no replay is open.
    sqlx::query("LOCK TABLE projection.replays IN SHARE ROW EXCLUSIVE MODE")
        .execute(&mut *transaction)
        .await?;
    if let Some(open) = next(&mut *transaction).await? {
        // The dropped transaction releases the table lock.
        return Ok(Err(open));
    }
    let id = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO projection.replays (replay_id, asked_for, state, keep)
         VALUES ($1, $2, 'waiting', $3)",
    )
    .bind(id)
    .bind(Json(asked_for))
    .bind(keep)
    .execute(&mut *transaction)
    .await?;
    let asked = find(&mut *transaction, id).await?.ok_or(sqlx::Error::RowNotFound)?;
    transaction.commit().await?;
    Ok(Ok(asked))
}

/// Returns the running or next replay, and keeps others from starting until the transaction ends.
///
/// # Errors
/// `lock_not_available` if another transaction holds the table lock for more than 2 s.
pub async fn hold_off(transaction: &mut PgConnection) -> sqlx::Result<Option<Replay>> {
    sqlx::query("SET LOCAL lock_timeout = '2s'").execute(&mut *transaction).await?;
    sqlx::query("LOCK TABLE projection.replays IN SHARE ROW EXCLUSIVE MODE")
        .execute(&mut *transaction)
        .await?;
    next(transaction).await
}

/// Returns the running or next replay.
pub async fn next(executor: impl PgExecutor<'_>) -> sqlx::Result<Option<Replay>> {
    // A `noticed` replay is not open: the offsets do not have the note yet.
    let sql =
        select!("WHERE state IN ('waiting', 'running', 'comparing') ORDER BY asked_at LIMIT 1");
    sqlx::query_as(sql).fetch_optional(executor).await
}

/// Replay, as stored.
pub async fn find(executor: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<Replay>> {
    sqlx::query_as(select!("WHERE replay_id = $1")).bind(id).fetch_optional(executor).await
}

/// Returns the newest 100 replays, newest first.
pub async fn newest(executor: impl PgExecutor<'_>) -> sqlx::Result<Vec<Replay>> {
    sqlx::query_as(select!("ORDER BY asked_at DESC LIMIT 100")).fetch_all(executor).await
}

/// Requests the cancellation of a replay. A queued one is cancelled at once.
pub async fn cancel(executor: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE projection.replays
            SET cancel = true, state = CASE WHEN state IN ('noticed', 'waiting')
                THEN 'cancelled' ELSE state END,
                ended_at = CASE WHEN state IN ('noticed', 'waiting') THEN clock_timestamp() END
          WHERE replay_id = $1 AND state IN ('noticed', 'waiting', 'running', 'comparing')",
    )
    .bind(id)
    .execute(executor)
    .await
    .map(drop)
}

/// Marks a replay as running on a generation.
pub async fn begin(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    generation: Generation,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE projection.replays
            SET state = 'running', generation = $2, started_at = coalesce(started_at,
                clock_timestamp())
          WHERE replay_id = $1 AND ended_at IS NULL",
    )
    .bind(id)
    .bind(generation.0)
    .execute(executor)
    .await
    .map(drop)
}

/// Progress of a replay.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    /// Number of events processed.
    pub done: i64,
    /// Total number of events to process.
    pub total: i64,
    /// Number of processed events that came from the log because the topic lacks them.
    pub from_log: i64,
    /// Rate in events per second.
    pub per_second: f64,
}

/// Stores the progress; returns whether a cancellation was requested.
pub async fn advance(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    figures: Figures,
    waits_for: Option<&str>,
) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "UPDATE projection.replays
            SET events_done = $2, events_total = $3, events_from_log = $4,
                events_per_second = $5, error = $6
          WHERE replay_id = $1 RETURNING cancel",
    )
    .bind(id)
    .bind(figures.done)
    .bind(figures.total)
    .bind(figures.from_log)
    .bind(figures.per_second)
    .bind(waits_for)
    .fetch_one(executor)
    .await
}

/// Marks a replay as comparing its views with the live ones.
pub async fn compare(executor: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<()> {
    let sql = "UPDATE projection.replays SET state = 'comparing' WHERE replay_id = $1";
    sqlx::query(sql).bind(id).execute(executor).await.map(drop)
}

/// Stores the result of the comparison.
pub async fn compared(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    differences: i64,
    samples: &Value,
) -> sqlx::Result<()> {
    let sql = "UPDATE projection.replays SET differences = $2, samples = $3 WHERE replay_id = $1";
    sqlx::query(sql)
        .bind(id)
        .bind(differences)
        .bind(Json(samples))
        .execute(executor)
        .await
        .map(drop)
}

/// Stores the final state of a replay.
pub async fn end(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    state: State,
    error: Option<&str>,
) -> sqlx::Result<()> {
    let sql = "UPDATE projection.replays
                  SET state = $2, error = $3, ended_at = clock_timestamp()
                WHERE replay_id = $1";
    sqlx::query(sql).bind(id).bind(state.as_str()).bind(error).execute(executor).await.map(drop)
}
