//! Replays that were asked for: what for, how far they are, what came of them.

use passbook_shared::timestamp::Timestamp;
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, PgExecutor};
use uuid::Uuid;

use super::generations::Generation;
use crate::replay::asked::From;

/// The advisory lock of whoever finds out what resets of offsets ask for.
const NOTICE_LOCK: i64 = 0x7061_7373_0001;
/// The advisory lock of whoever runs a replay.
const RUN_LOCK: i64 = 0x7061_7373_0002;

/// A replay.
#[derive(Debug, Clone, FromRow)]
pub struct Replay {
    /// Its id.
    pub replay_id: Uuid,
    /// From where.
    #[sqlx(json)]
    pub asked_for: From,
    /// How it stands.
    #[sqlx(try_from = "String")]
    pub state: State,
    /// What it builds, or changes.
    pub generation: Option<i32>,
    /// Whether generations that are not live are kept.
    pub keep: bool,
    /// Whether somebody wants it to end.
    pub cancel: bool,
    /// Events passed.
    pub events_done: i64,
    /// Events to pass in all, once known.
    pub events_total: Option<i64>,
    /// Of those done, how many the topic did not have.
    pub events_from_log: i64,
    /// Since it was started, or started again.
    pub events_per_second: Option<f64>,
    /// Rows of the new views that are not as in the live ones.
    pub differences: Option<i64>,
    /// Some of them.
    pub samples: Option<Json<Value>>,
    /// What ended it, or what it waits for.
    pub error: Option<String>,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// How a replay stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Offsets were reset, and Kafka does not know yet that it was seen.
    Noticed,
    /// For its turn.
    Waiting,
    /// Events are read and applied.
    Running,
    /// The new views are compared with the live ones.
    Comparing,
    /// It has ended well.
    Done,
    /// It has ended, and changed nothing.
    Failed,
    /// Somebody wanted it to end; it has changed nothing.
    Cancelled,
}

impl State {
    const ALL: [Self; 7] = [
        Self::Noticed,
        Self::Waiting,
        Self::Running,
        Self::Comparing,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
    ];

    /// As the database and the API have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Noticed => "noticed",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Comparing => "comparing",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it has ended.
    pub fn is_ended(self) -> bool {
        match self {
            Self::Noticed | Self::Waiting | Self::Running | Self::Comparing => false,
            Self::Done | Self::Failed | Self::Cancelled => true,
        }
    }
}

impl TryFrom<String> for State {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(format!("`{text}` is no state of a replay"))
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT replay_id, asked_for, state, generation, keep, cancel, events_done, events_total, events_from_log,
                    events_per_second, differences, samples, error, asked_at, started_at, ended_at
               FROM projection.replays ",
            $rest
        )
    };
}

/// Whether this connection is the one that may find out what was asked for, until it ends, or [`notice_done`].
pub async fn try_notice_alone(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
        .bind(NOTICE_LOCK)
        .fetch_one(connection)
        .await
}

/// Lets others find out.
pub async fn notice_done(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("SELECT pg_advisory_unlock($1)")
        .bind(NOTICE_LOCK)
        .execute(connection)
        .await
        .map(drop)
}

/// Whether this connection is the one that may run replays, until it ends.
pub async fn try_run_alone(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(RUN_LOCK).fetch_one(connection).await
}

/// Writes down what a reset of offsets asks for, in place of what was noticed and not confirmed.
pub async fn notice(connection: &mut PgConnection, asked_for: &From) -> sqlx::Result<()> {
    sqlx::query(
        "WITH before AS (DELETE FROM projection.replays WHERE state = 'noticed')
         INSERT INTO projection.replays (replay_id, asked_for, state) VALUES ($1, $2, 'noticed')",
    )
    .bind(Uuid::now_v7())
    .bind(Json(asked_for))
    .execute(connection)
    .await
    .map(drop)
}

/// Whoever reset the offsets has taken that back: what was noticed is of no account.
pub async fn forget(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM projection.replays WHERE state = 'noticed'")
        .execute(connection)
        .await
        .map(drop)
}

/// Kafka has our note again: what was noticed may run.
pub async fn confirm(connection: &mut PgConnection) -> sqlx::Result<()> {
    // Mostly there is nothing, and the table may be locked while something is settled.
    let sql = "SELECT EXISTS (SELECT FROM projection.replays WHERE state = 'noticed')";
    if sqlx::query_scalar(sql).fetch_one(&mut *connection).await? {
        let sql = "UPDATE projection.replays SET state = 'waiting' WHERE state = 'noticed'";
        sqlx::query(sql).execute(connection).await?;
    }
    Ok(())
}

/// Asks for a replay, if none is open; gives it, or the open one.
pub async fn ask(
    connection: &mut PgConnection,
    asked_for: &From,
    keep: bool,
) -> sqlx::Result<Result<Replay, Replay>> {
    let mut transaction = sqlx::Connection::begin(connection).await?;
    sqlx::query("LOCK TABLE projection.replays IN SHARE ROW EXCLUSIVE MODE")
        .execute(&mut *transaction)
        .await?;
    if let Some(open) = next(&mut *transaction).await? {
        return Ok(Err(open));
    }
    let id = Uuid::now_v7();
    sqlx::query("INSERT INTO projection.replays (replay_id, asked_for, state, keep) VALUES ($1, $2, 'waiting', $3)")
        .bind(id)
        .bind(Json(asked_for))
        .bind(keep)
        .execute(&mut *transaction)
        .await?;
    let asked = find(&mut *transaction, id).await?.ok_or(sqlx::Error::RowNotFound)?;
    transaction.commit().await?;
    Ok(Ok(asked))
}

/// The replay that runs, or is next; if none is, none begins until the transaction ends.
///
/// # Errors
/// As any query; `lock_not_available` if others hold the table for 2 s.
pub async fn hold_off(transaction: &mut PgConnection) -> sqlx::Result<Option<Replay>> {
    sqlx::query("SET LOCAL lock_timeout = '2s'").execute(&mut *transaction).await?;
    sqlx::query("LOCK TABLE projection.replays IN SHARE ROW EXCLUSIVE MODE")
        .execute(&mut *transaction)
        .await?;
    next(transaction).await
}

/// The replay that runs, or is next.
pub async fn next(executor: impl PgExecutor<'_>) -> sqlx::Result<Option<Replay>> {
    let sql =
        select!("WHERE state IN ('waiting', 'running', 'comparing') ORDER BY asked_at LIMIT 1");
    sqlx::query_as(sql).fetch_optional(executor).await
}

/// A replay.
pub async fn find(executor: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<Replay>> {
    sqlx::query_as(select!("WHERE replay_id = $1")).bind(id).fetch_optional(executor).await
}

/// The newest, newest first.
pub async fn newest(executor: impl PgExecutor<'_>) -> sqlx::Result<Vec<Replay>> {
    sqlx::query_as(select!("ORDER BY asked_at DESC LIMIT 100")).fetch_all(executor).await
}

/// Asks a replay to end. One that waits has ended.
pub async fn cancel(executor: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE projection.replays
            SET cancel = true, state = CASE WHEN state IN ('noticed', 'waiting') THEN 'cancelled' ELSE state END,
                ended_at = CASE WHEN state IN ('noticed', 'waiting') THEN clock_timestamp() END
          WHERE replay_id = $1 AND state IN ('noticed', 'waiting', 'running', 'comparing')",
    )
    .bind(id)
    .execute(executor)
    .await
    .map(drop)
}

/// It runs, on this generation.
pub async fn begin(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    generation: Generation,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE projection.replays
            SET state = 'running', generation = $2, started_at = coalesce(started_at, clock_timestamp())
          WHERE replay_id = $1 AND ended_at IS NULL",
    )
    .bind(id)
    .bind(generation.0)
    .execute(executor)
    .await
    .map(drop)
}

/// How far a replay is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    /// Events passed.
    pub done: i64,
    /// Events to pass in all.
    pub total: i64,
    /// Of those done, how many the topic did not have.
    pub from_log: i64,
    /// Events a second.
    pub per_second: f64,
}

/// Notes how far it is; gives whether somebody wants it to end.
pub async fn advance(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    figures: Figures,
    waits_for: Option<&str>,
) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "UPDATE projection.replays
            SET events_done = $2, events_total = $3, events_from_log = $4, events_per_second = $5, error = $6
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

/// Its views are compared with the live ones.
pub async fn compare(executor: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<()> {
    let sql = "UPDATE projection.replays SET state = 'comparing' WHERE replay_id = $1";
    sqlx::query(sql).bind(id).execute(executor).await.map(drop)
}

/// What the comparison found.
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

/// It has ended.
pub async fn end(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    state: State,
    error: Option<&str>,
) -> sqlx::Result<()> {
    let sql = "UPDATE projection.replays SET state = $2, error = $3, ended_at = clock_timestamp() WHERE replay_id = $1";
    sqlx::query(sql).bind(id).bind(state.as_str()).bind(error).execute(executor).await.map(drop)
}
