//! Entries of an account: pages of its statement, and single entries with their origin.

use passbook_shared::partition::Partition;
use passbook_shared::text::Metadata;
use passbook_shared::timestamp::Timestamp;
use sqlx::{FromRow, PgPool, Postgres, QueryBuilder};
use uuid::Uuid;

use crate::store::metadata;
use crate::store::scope::{AccountInScope, Scope};

/// Entry of an account.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Entry {
    /// Version in the account.
    pub version: i64,
    /// Position in the partition.
    pub position: i64,
    /// Type of the event.
    #[sqlx(rename = "type")]
    pub event_type: String,
    /// Amount in minor units, negative for a debit.
    pub amount: Option<i64>,
    /// Balance after the entry, in minor units.
    pub balance: i64,
    /// Time at which the event was recorded.
    pub recorded_at: Timestamp,
    /// Effective time, if it differs from the time of recording.
    pub effective_at: Option<Timestamp>,
    /// Reference of the sender, or the reason.
    pub reference: Option<String>,
    /// Other account of the transfer.
    pub counterparty: Option<Uuid>,
    /// Transfer of the entry.
    pub transfer_id: Option<Uuid>,
    /// Hold of the entry.
    pub hold_id: Option<Uuid>,
    /// New owner of the account.
    pub owner: Option<String>,
    /// Version of the entry that this one reverses.
    pub reverses: Option<i64>,
    /// Version of the entry that reverses this one. In lists, absent if above [`Filter::known`].
    pub reversed_by: Option<i64>,
    /// Metadata of the sender, as JSON.
    pub metadata: Option<String>,
}

/// Columns of an entry, up to the condition on the reversal. A macro keeps the queries literals.
macro_rules! entry_columns {
    () => {
        "SELECT h.version, h.position, h.type, h.amount, h.balance, h.recorded_at,
                h.effective_at, h.reference,
                h.counterparty, h.transfer_id, h.hold_id, h.owner, h.reverses,
                h.metadata::text AS metadata,
                (SELECT min(r.version) FROM history AS r WHERE r.account_id = h.account_id
                    AND r.reverses = h.version"
    };
}
pub(super) use entry_columns;

/// Filter of a list of entries. Each criterion that is present must match.
#[derive(Debug, Clone, Copy)]
pub struct Filter<'a> {
    /// Exclusive lower bound of the version.
    pub after: i64,
    /// Exclusive upper bound of the version.
    pub before: i64,
    /// Type of the events; by default, all that move or hold money.
    pub event_type: Option<&'a str>,
    /// Metadata entries, all of which must match.
    pub metadata: &'a Metadata,
    /// Version above which reversals are ignored.
    pub known: i64,
}

/// Returns entries of an account, newest first.
pub async fn list(
    pool: &PgPool,
    account_id: AccountInScope,
    filter: &Filter<'_>,
    limit: i64,
) -> sqlx::Result<Vec<Entry>> {
    let mut sql = QueryBuilder::<Postgres>::new(concat!(entry_columns!(), " AND r.version <= "));
    sql.push_bind(filter.known)
        .push(") AS reversed_by FROM history AS h WHERE h.account_id = ")
        .push_bind(account_id);
    sql.push(" AND h.version > ").push_bind(filter.after);
    sql.push(" AND h.version < ").push_bind(filter.before);
    match filter.event_type {
        Some(event_type) => sql.push(" AND h.type = ").push_bind(event_type.to_owned()),
        None => sql.push(" AND h.amount IS NOT NULL"),
    };
    metadata::restrict(&mut sql, "h.metadata", filter.metadata);
    sql.push(" ORDER BY h.version DESC LIMIT ").push_bind(limit);
    sql.build_query_as().fetch_all(pool).await
}

/// Entry with its source.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Delivered {
    /// Entry.
    #[sqlx(flatten)]
    pub entry: Entry,
    /// Partition of the account, in the log and the topic.
    pub partition: Partition,
    /// Offset in the topic; absent if the event came from the log.
    pub kafka_offset: Option<i64>,
    /// Time of publication to the topic.
    pub published_at: Option<Timestamp>,
    /// Time at which the event was applied.
    pub applied_at: Timestamp,
    /// Generation of the views.
    pub generation: i32,
}

/// Returns the entry of an account with this version.
pub async fn find(
    pool: &PgPool,
    scope: &Scope,
    account_id: Uuid,
    version: i64,
) -> sqlx::Result<Option<Delivered>> {
    sqlx::query_as(concat!(
        entry_columns!(),
        ") AS reversed_by, a.partition, h.kafka_offset, h.published_at, h.applied_at,
                (SELECT g.generation FROM projection.generations AS g WHERE g.live) AS generation
           FROM history AS h JOIN accounts AS a ON a.account_id = h.account_id
          WHERE h.account_id = $1 AND h.version = $2
            AND ($3::text IS NULL OR a.tenant = $3) AND ($4::text IS NULL OR a.owner = $4)"
    ))
    .bind(account_id)
    .bind(version)
    .bind(scope.tenant())
    .bind(scope.owner())
    .fetch_optional(pool)
    .await
}
