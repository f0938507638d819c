//! One row an event, with the state after it: the past, statements, balances over time.

use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use super::accounts::Account;
use crate::projection;

mod copy;
/// By the times from which entries count.
pub mod effective;
/// The lines of a statement.
pub mod entries;
/// What is or was set aside.
pub mod holds;
/// Transfers, each with two legs.
pub mod transfers;
/// Rows with all their columns, to be compared with what they should be.
pub mod whole;

/// An event, to be kept.
#[derive(Debug, Clone, Copy)]
pub struct Row<'e> {
    /// What happened to.
    pub account_id: Uuid,
    /// Its place in its partition.
    pub position: i64,
    /// When it was committed to the log.
    pub recorded_at: Timestamp,
    /// Its type.
    pub event_type: &'static str,
    /// What it made of the account.
    pub entry: projection::Entry<'e>,
    /// Where in the topic it was read; absent if it came from the log.
    pub kafka_offset: Option<i64>,
    /// Since when it was there.
    pub published_at: Option<Timestamp>,
}

/// Keeps many events by COPY, which takes Postgres a third less time a row than arrays do. The driver sends the data and
/// its end apart, which on TCP can cost up to 40 ms (Nagle's algorithm) while Postgres has nothing to do: not for few.
pub async fn copy(connection: &mut PgConnection, rows: &[Row<'_>]) -> sqlx::Result<()> {
    let mut copy = connection
        .copy_in_raw(
            "COPY history (account_id, version, position, recorded_at, amount, balance, held, overdraft_limit,
                           transaction_count, effective_at, status, type, reference, metadata, reverses, hold_amount,
                           expires_at, hold_id, transfer_id, counterparty, counterparty_version, kafka_offset,
                           published_at)
             FROM STDIN (FORMAT binary)",
        )
        .await?;
    copy.send(copy::encode(rows)).await?;
    copy.finish().await.map(drop)
}

/// The state of an account after an event, by the event's version; if that event was discarded, as the one before it left
/// the account.
pub async fn at_version(
    pool: &PgPool,
    account_id: Uuid,
    version: i64,
) -> sqlx::Result<Option<Account>> {
    sqlx::query_as(
        "SELECT a.account_id, a.owner, a.currency, a.opened_at, h.recorded_at AS last_activity, h.version, h.position,
                a.partition, h.status, h.balance, h.held, h.overdraft_limit, h.transaction_count, a.metadata::text AS metadata,
                (SELECT q.since FROM quarantine AS q WHERE q.account_id = a.account_id AND NOT q.waits LIMIT 1)
                    AS quarantined_since
           FROM accounts AS a JOIN history AS h ON h.account_id = a.account_id AND h.version <= $2
          WHERE a.account_id = $1 AND a.version >= $2 ORDER BY h.version DESC LIMIT 1",
    )
    .bind(account_id)
    .bind(version)
    .fetch_optional(pool)
    .await
}

/// The state of an account as recorded at a moment; nothing if it was not there yet.
pub async fn as_of(
    pool: &PgPool,
    account_id: Uuid,
    moment: Timestamp,
) -> sqlx::Result<Option<Account>> {
    sqlx::query_as(
        "SELECT a.account_id, a.owner, a.currency, a.opened_at, h.recorded_at AS last_activity, h.version, h.position,
                a.partition, h.status, h.balance, h.held, h.overdraft_limit, h.transaction_count, a.metadata::text AS metadata,
                (SELECT q.since FROM quarantine AS q WHERE q.account_id = a.account_id AND NOT q.waits LIMIT 1)
                    AS quarantined_since
           FROM accounts AS a JOIN history AS h ON h.account_id = a.account_id
                AND h.version = projection.version_at(a.account_id, a.version, $2)
          WHERE a.account_id = $1",
    )
    .bind(account_id)
    .bind(moment.to_utc())
    .fetch_optional(pool)
    .await
}

/// A period of an account's history, by versions: after `after`, up to `last`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Period {
    /// The partition of the log that the account lives in.
    pub partition: Partition,
    /// The version the account was at when the period began; 0 if it was not there yet.
    pub after: i64,
    /// The version it was at when the period ended.
    pub last: i64,
    /// The version it was at as far as is to be known: what came later has not happened yet.
    pub known: i64,
    /// The balance when the period began, in minor units.
    pub opening_balance: i64,
    /// The balance when it ended.
    pub closing_balance: i64,
    /// Since when later events of the account are set aside, if any are.
    pub quarantined_since: Option<Timestamp>,
}

/// The period recorded from `from` until before `to`, both open if absent, and up to `as_of`; nothing if there is no
/// such account.
pub async fn period(
    pool: &PgPool,
    account_id: Uuid,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    as_of: Option<Timestamp>,
) -> sqlx::Result<Option<Period>> {
    sqlx::query_as(
        "SELECT v.partition, least(v.after, v.last) AS after, v.last, v.known,
                coalesce((SELECT h.balance FROM history AS h
                           WHERE h.account_id = $1 AND h.version = least(v.after, v.last)), 0) AS opening_balance,
                coalesce((SELECT h.balance FROM history AS h
                           WHERE h.account_id = $1 AND h.version = v.last), 0) AS closing_balance,
                (SELECT q.since FROM quarantine AS q WHERE q.account_id = $1 AND NOT q.waits LIMIT 1) AS quarantined_since
           FROM (SELECT a.partition,
                        projection.version_at($1, a.version, coalesce($2 - interval '1 microsecond', '-infinity')) AS after,
                        projection.version_at($1, a.version, least($3 - interval '1 microsecond', $4, 'infinity')) AS last,
                        CASE WHEN $4 IS NULL THEN a.version
                             ELSE projection.version_at($1, a.version, $4) END AS known
                   FROM accounts AS a WHERE a.account_id = $1) AS v",
    )
    .bind(account_id)
    .bind(from.map(Timestamp::to_utc))
    .bind(to.map(Timestamp::to_utc))
    .bind(as_of.map(Timestamp::to_utc))
    .fetch_optional(pool)
    .await
}

/// The balance of an account just before each of the moments, in minor units; 0 before it was opened.
pub async fn balances(
    pool: &PgPool,
    account_id: Uuid,
    moments: &[Timestamp],
) -> sqlx::Result<Vec<i64>> {
    let moments: Vec<_> = moments.iter().map(|moment| moment.to_utc()).collect();
    sqlx::query_scalar(
        "SELECT coalesce((SELECT h.balance FROM history AS h
                           WHERE h.account_id = a.account_id
                             AND h.version = projection.version_at(a.account_id, a.version,
                                                                   m.moment - interval '1 microsecond')), 0)
           FROM accounts AS a CROSS JOIN unnest($2::timestamptz[]) WITH ORDINALITY AS m (moment, number)
          WHERE a.account_id = $1 ORDER BY m.number",
    )
    .bind(account_id)
    .bind(moments)
    .fetch_all(pool)
    .await
}
