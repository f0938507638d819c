//! History: one row per event, with the state after it. Statements, past states and balances over
//! time are queries of it.

use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use super::accounts::Account;
use super::scope::{AccountInScope, Scope};
use crate::projection;

mod copy;
/// Entries and balances by effective time.
pub mod effective;
/// Entries of a statement.
pub mod entries;
/// Full rows, for comparisons with the log.
pub mod full_row;
/// Holds, open and ended.
pub mod holds;
/// Transfers by their legs.
pub mod transfers;

/// Row to insert.
#[derive(Debug, Clone, Copy)]
pub struct Row<'e> {
    /// Account of the event.
    pub account_id: Uuid,
    /// Position in its partition.
    pub position: i64,
    /// Time at which the event was recorded.
    pub recorded_at: Timestamp,
    /// Type of the event.
    pub event_type: &'static str,
    /// Projected entry, with the state after it.
    pub entry: projection::Entry<'e>,
    /// Offset in the topic; absent if the event came from the log.
    pub kafka_offset: Option<i64>,
    /// Time of publication to the topic.
    pub published_at: Option<Timestamp>,
}

/// Inserts many rows by COPY, which takes a third less time per row than arrays do. Unsuitable for
/// few rows: the driver sends the data and its end separately, and Nagle's algorithm can then add
/// 40 ms over TCP.
pub async fn copy(connection: &mut PgConnection, rows: &[Row<'_>]) -> sqlx::Result<()> {
    let mut copy = connection
        .copy_in_raw(
            "COPY history (account_id, version, position, recorded_at, amount, balance, held,
                           overdraft_limit, transaction_count, effective_at, status, type,
                           reference, metadata, reverses, hold_amount, expires_at, hold_id,
                           transfer_id, counterparty, counterparty_version, kafka_offset,
                           published_at, owner)
             FROM STDIN (FORMAT binary)",
        )
        .await?;
    copy.send(copy::encode(rows)).await?;
    copy.finish().await.map(drop)
}

/// Returns the state of an account at a version. If that event was discarded, returns the state
/// before it.
pub async fn at_version(
    pool: &PgPool,
    scope: &Scope,
    account_id: Uuid,
    version: i64,
) -> sqlx::Result<Option<Account>> {
    // A discarded event has no row, so the query takes the highest version up to this one.
    sqlx::query_as(
        "SELECT a.account_id, a.tenant,
                projection.owner_at(a.account_id, h.version, a.owner, a.opening_owner) AS owner,
                a.currency, a.opened_at, h.recorded_at AS last_activity,
                h.version, h.position,
                a.partition, h.status, h.balance, h.held, h.overdraft_limit, h.transaction_count,
                    a.metadata::text AS metadata,
                (SELECT q.since FROM quarantine AS q WHERE q.account_id = a.account_id
                    AND NOT q.waits LIMIT 1)
                    AS quarantined_since
           FROM accounts AS a JOIN history AS h ON h.account_id = a.account_id AND h.version <= $2
          WHERE a.account_id = $1 AND a.version >= $2
            AND ($3::text IS NULL OR a.tenant = $3) AND ($4::text IS NULL OR a.owner = $4)
          ORDER BY h.version DESC LIMIT 1",
    )
    .bind(account_id)
    .bind(version)
    .bind(scope.tenant())
    .bind(scope.owner())
    .fetch_optional(pool)
    .await
}

/// Returns the state of an account as recorded at a time; `None` before it was opened.
pub async fn as_of(
    pool: &PgPool,
    scope: &Scope,
    account_id: Uuid,
    moment: Timestamp,
) -> sqlx::Result<Option<Account>> {
    sqlx::query_as(
        "SELECT a.account_id, a.tenant,
                projection.owner_at(a.account_id, h.version, a.owner, a.opening_owner) AS owner,
                a.currency, a.opened_at, h.recorded_at AS last_activity,
                h.version, h.position,
                a.partition, h.status, h.balance, h.held, h.overdraft_limit, h.transaction_count,
                    a.metadata::text AS metadata,
                (SELECT q.since FROM quarantine AS q WHERE q.account_id = a.account_id
                    AND NOT q.waits LIMIT 1)
                    AS quarantined_since
           FROM accounts AS a JOIN history AS h ON h.account_id = a.account_id
                AND h.version = projection.version_at(a.account_id, a.version, $2)
          WHERE a.account_id = $1
            AND ($3::text IS NULL OR a.tenant = $3) AND ($4::text IS NULL OR a.owner = $4)",
    )
    .bind(account_id)
    .bind(moment)
    .bind(scope.tenant())
    .bind(scope.owner())
    .fetch_optional(pool)
    .await
}

/// Period of an account's history: versions after `after`, up to `last`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Period {
    /// Account.
    pub account_id: AccountInScope,
    /// Partition of the account.
    pub partition: Partition,
    /// Version before the period; 0 before the account was opened.
    pub after: i64,
    /// Version at the end of the period.
    pub last: i64,
    /// Version at `as_of`. Later events are ignored.
    pub known: i64,
    /// Balance before the period, in minor units.
    pub opening_balance: i64,
    /// Balance at the end of the period, in minor units.
    pub closing_balance: i64,
    /// Time at which the first event was quarantined, if later events are.
    pub quarantined_since: Option<Timestamp>,
}

/// Returns the period recorded in `from..to`, open at an absent bound, and up to `as_of`; `None` if
/// there is no such account.
pub async fn period(
    pool: &PgPool,
    scope: &Scope,
    account_id: Uuid,
    (from, to): (Option<Timestamp>, Option<Timestamp>),
    as_of: Option<Timestamp>,
) -> sqlx::Result<Option<Period>> {
    sqlx::query_as(
        // Postgres keeps microseconds, so one less turns "before a time" into "up to a time".
        "SELECT $1 AS account_id, v.partition, least(v.after, v.last) AS after, v.last, v.known,
                coalesce((SELECT h.balance FROM history AS h
                           WHERE h.account_id = $1 AND h.version = least(v.after, v.last)),
                               0) AS opening_balance,
                coalesce((SELECT h.balance FROM history AS h
                           WHERE h.account_id = $1 AND h.version = v.last), 0) AS closing_balance,
                (SELECT q.since FROM quarantine AS q WHERE q.account_id = $1
                    AND NOT q.waits LIMIT 1) AS quarantined_since
           FROM (SELECT a.partition,
                        projection.version_at($1, a.version,
                            coalesce($2 - interval '1 microsecond', '-infinity')) AS after,
                        projection.version_at($1, a.version, least($3 - interval '1 microsecond',
                            $4, 'infinity')) AS last,
                        CASE WHEN $4 IS NULL THEN a.version
                             ELSE projection.version_at($1, a.version, $4) END AS known
                   FROM accounts AS a WHERE a.account_id = $1
                    AND ($5::text IS NULL OR a.tenant = $5)
                    AND ($6::text IS NULL OR a.owner = $6)) AS v",
    )
    .bind(account_id)
    .bind(from)
    .bind(to)
    .bind(as_of)
    .bind(scope.tenant())
    .bind(scope.owner())
    .fetch_optional(pool)
    .await
}

/// Returns the balance of an account just before each moment, in minor units; 0 before it was
/// opened.
pub async fn balances(
    pool: &PgPool,
    account_id: AccountInScope,
    moments: &[Timestamp],
) -> sqlx::Result<Vec<i64>> {
    // The ordinality keeps the balances in the order of the moments.
    sqlx::query_scalar(
        "SELECT coalesce((
                    SELECT h.balance FROM history AS h
                     WHERE h.account_id = a.account_id
                       AND h.version = projection.version_at(
                               a.account_id, a.version, m.moment - interval '1 microsecond')), 0)
           FROM accounts AS a
          CROSS JOIN unnest($2::timestamptz[]) WITH ORDINALITY AS m (moment, number)
          WHERE a.account_id = $1 ORDER BY m.number",
    )
    .bind(account_id)
    .bind(moments)
    .fetch_all(pool)
    .await
}
