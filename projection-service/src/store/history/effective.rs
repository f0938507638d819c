//! Entries and balances by effective time. Most entries are effective from their recording; the
//! others have an index of their own.

use passbook_shared::timestamp::Timestamp;
use sqlx::{PgPool, Postgres, QueryBuilder};

use super::entries::{Entry, Filter, entry_columns};
use crate::store::metadata;
use crate::store::scope::AccountInScope;

/// Place of an entry in effective order: its effective time and version.
pub type Place = (Timestamp, i64);

/// Returns entries of an account that are effective in `from..to` and lie before a place, latest
/// first. Each has the balance of all entries up to its place.
pub async fn list(
    pool: &PgPool,
    account_id: AccountInScope,
    filter: &Filter<'_>,
    (from, to): (Option<Timestamp>, Option<Timestamp>),
    before: Option<Place>,
    limit: i64,
) -> sqlx::Result<Vec<Entry>> {
    let mut sql = QueryBuilder::<Postgres>::new("WITH page AS (");
    for (n, counts_at) in ["h.recorded_at", "h.effective_at"].into_iter().enumerate() {
        sql.push(if n == 0 { "(" } else { ") UNION ALL (" });
        sql.push(concat!(entry_columns!(), " AND r.version <= ")).push_bind(filter.known);
        sql.push(") AS reversed_by, ")
            .push(counts_at)
            .push(" AS counts_at FROM history AS h WHERE h.account_id = ");
        sql.push_bind(account_id).push(" AND h.version <= ").push_bind(filter.known);
        if n == 0 {
            sql.push(" AND h.effective_at IS NULL AND h.version > ").push_bind(filter.after);
            sql.push(" AND h.version < ").push_bind(filter.before);
        } else {
            sql.push(" AND h.effective_at IS NOT NULL");
            if let Some(from) = from {
                sql.push(" AND h.effective_at >= ").push_bind(from);
            }
            if let Some(to) = to {
                sql.push(" AND h.effective_at < ").push_bind(to);
            }
        }
        if let Some((at, version)) = before {
            sql.push(" AND (").push(counts_at).push(", h.version) < (").push_bind(at).push(", ");
            sql.push_bind(version).push(")");
        }
        if let (0, Some((at, _))) = (n, before) {
            sql.push(" AND h.version <= projection.version_at(").push_bind(account_id).push(", ");
            sql.push_bind(filter.known).push(", ").push_bind(at).push(")");
        }
        match filter.event_type {
            Some(event_type) => sql.push(" AND h.type = ").push_bind(event_type.to_owned()),
            None => sql.push(" AND h.amount IS NOT NULL"),
        };
        metadata::restrict(&mut sql, "h.metadata", filter.metadata);
        sql.push(" ORDER BY ")
            .push(counts_at)
            .push(" DESC, h.version DESC LIMIT ")
            .push_bind(limit);
    }
    sql.push(") ORDER BY counts_at DESC, version DESC LIMIT ").push_bind(limit).push(")");
    push_balances(&mut sql, account_id, filter.known);
    sql.build_query_as().fetch_all(pool).await
}

/// Adds the running balance to the rows of `page`. It is the balance before the last row, plus the
/// amounts from that row on.
fn push_balances(sql: &mut QueryBuilder<Postgres>, account_id: AccountInScope, known: i64) {
    sql.push(
        ", ends AS (
            SELECT l.counts_at AS low_at, l.version AS low, u.counts_at AS high_at,
                u.version AS high,
                   projection.version_at(a.account_id, a.known,
                       l.counts_at - interval '1 microsecond') AS recorded,
                   projection.version_at(a.account_id, a.known, u.counts_at) AS until,
                       a.account_id, a.known
              FROM (SELECT ",
    );
    sql.push_bind(account_id).push("::uuid AS account_id, ").push_bind(known).push(
        "::bigint AS known) AS a
             CROSS JOIN LATERAL (SELECT counts_at, version FROM page ORDER BY 1, 2 LIMIT 1) AS l
             CROSS JOIN LATERAL (SELECT counts_at, version FROM page ORDER BY 1 DESC,
                 2 DESC LIMIT 1) AS u),
         moves AS (
            SELECT h.recorded_at AS counts_at, h.version, coalesce(h.amount, 0) AS amount
              FROM ends AS e JOIN history AS h ON h.account_id = e.account_id
                  AND h.version > e.recorded
                   AND h.version <= e.until AND h.effective_at IS NULL
             WHERE (h.recorded_at, h.version) <= (e.high_at, e.high)
             UNION ALL
            SELECT h.effective_at, h.version, coalesce(h.amount, 0)
              FROM ends AS e JOIN history AS h ON h.account_id = e.account_id
                  AND h.effective_at IS NOT NULL
                   AND h.effective_at <= e.high_at AND h.version > e.recorded
                       AND h.version <= e.known
             WHERE (h.effective_at, h.version) <= (e.high_at, e.high)),
         running AS (
            SELECT m.version, coalesce((SELECT h.balance FROM ends AS e
                                          JOIN history AS h ON h.account_id = e.account_id
                                              AND h.version = e.recorded), 0)
                              + sum(m.amount) OVER (ORDER BY m.counts_at, m.version) AS balance
              FROM moves AS m)
         SELECT p.version, p.position, p.type, p.amount, r.balance::bigint AS balance,
             p.recorded_at, p.effective_at,
                p.reference, p.counterparty, p.transfer_id, p.hold_id, p.owner, p.reverses,
                p.metadata,
                    p.reversed_by
           FROM page AS p JOIN running AS r USING (version) ORDER BY p.counts_at DESC,
               p.version DESC",
    );
}

/// Returns, for each moment, the sum of all entries of an account that are effective before it, in
/// minor units. Ignores entries above a version. The moments must ascend.
pub async fn balances(
    pool: &PgPool,
    account_id: AccountInScope,
    known: i64,
    moments: &[Timestamp],
) -> sqlx::Result<Vec<i64>> {
    // The balance recorded by a moment lacks entries that were recorded later with an earlier
    // effective time.
    sqlx::query_scalar(
        "WITH steps AS (
            SELECT s.number, sum(s.amount) AS amount
              FROM history AS h
             CROSS JOIN LATERAL (VALUES (width_bucket(h.effective_at, $3::timestamptz[]) + 1,
                 h.amount),
                                        (width_bucket(h.recorded_at, $3::timestamptz[]) + 1,
                                            -h.amount)) AS s (number, amount)
             WHERE h.account_id = $1 AND h.effective_at IS NOT NULL AND h.version <= $2
                 AND h.amount IS NOT NULL
             GROUP BY s.number)
         SELECT (coalesce((SELECT h.balance FROM history AS h
                            WHERE h.account_id = $1
                              AND h.version = projection.version_at($1, $2,
                                  m.moment - interval '1 microsecond')), 0)
                 + sum(coalesce(s.amount, 0)) OVER (ORDER BY m.number))::bigint
           FROM unnest($3::timestamptz[]) WITH ORDINALITY AS m (moment, number)
           LEFT JOIN steps AS s ON s.number = m.number ORDER BY m.number",
    )
    .bind(account_id)
    .bind(known)
    .bind(moments)
    .fetch_all(pool)
    .await
}

/// Returns the earliest effective time that differs from the time of recording.
pub async fn first(pool: &PgPool, account_id: AccountInScope) -> sqlx::Result<Option<Timestamp>> {
    let sql =
        "SELECT min(effective_at) FROM history WHERE account_id = $1 AND effective_at IS NOT NULL";
    sqlx::query_scalar(sql).bind(account_id).fetch_one(pool).await
}
