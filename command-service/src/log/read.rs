//! Queries of clients and of the projection. Events are returned as stored, even if they cannot be
//! decoded.

/// Search for events by type and time, across partitions.
pub mod search;
mod state;
mod watermark;

use std::collections::{HashMap, HashSet};

use futures_util::{Stream, TryStreamExt};
use passbook_shared::partition::{Partition, partition_of};
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::store_description::StoreDescription;
use passbook_shared::tenant::Tenant;
use sqlx::PgPool;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::feed::PARTITION_EVENTS;
use super::in_time;
use super::outcomes::{Key, by_key};
use super::restores;
use super::rows::{event_columns, recorded_event};
use super::snapshots::Snapshots;
use super::store::Store;
use crate::request::CommandRequest;

/// Size of payloads at which a page ends early, in bytes, so that concurrent requests cannot
/// exhaust the memory.
const PAGE_BYTES: usize = 512 * 1024;

/// Reads the log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogReader {
    pool: PgPool,
    feed: PgPool,
    store: Store,
    snapshots: Snapshots,
}

/// Page of events, in order.
#[derive(Debug, Default)]
pub struct Page {
    /// Events; fewer than the limit if they are large.
    pub events: Vec<RecordedEvent>,
    /// True if more events follow.
    pub has_more: bool,
}

impl LogReader {
    /// Creates a reader. `feed` is a separate pool for partitions, so that interactive reads cannot
    /// block them.
    pub fn new(pool: PgPool, feed: PgPool, store: Store, snapshots: Snapshots) -> Self {
        Self { pool, feed, store, snapshots }
    }

    /// Returns the store of the log.
    pub fn store(&self) -> Store {
        self.store
    }

    /// Returns the store with its accepted restores and its forks, in one snapshot.
    pub async fn describe(&self) -> Result<StoreDescription, sqlx::Error> {
        in_time(async {
            let mut reading =
                self.feed.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            let epoch = restores::epoch(&mut *reading).await?;
            let restores = restores::restores(&mut *reading).await?;
            let forks = restores::forks(&mut *reading).await?;
            reading.commit().await?;
            let Store { store_id, partitions, .. } = self.store;
            Ok(StoreDescription { store_id, partitions, epoch, restores, forks })
        })
        .await
    }

    /// Returns events of a partition after a position, in order.
    pub async fn feed(
        &self,
        partition: Partition,
        after: i64,
        limit: usize,
    ) -> Result<Page, sqlx::Error> {
        let rows = sqlx::query(PARTITION_EVENTS)
            .bind(partition)
            .bind(after)
            .bind(one_more(limit))
            .fetch(&self.feed);
        in_time(page(rows, limit)).await
    }

    /// Returns events of an account after a version, in order. Returns `None` if the account does
    /// not exist.
    pub async fn account_events(
        &self,
        account_id: Uuid,
        after_version: i64,
        limit: usize,
    ) -> Result<Option<Page>, sqlx::Error> {
        let partition = partition_of(account_id, self.store.partitions);
        let rows = sqlx::query(concat!(
            "SELECT ",
            event_columns!(),
            " FROM passbook.events AS e
              WHERE e.partition = $1 AND e.account_id = $2 AND e.version > $3 ORDER BY e.version
              LIMIT $4"
        ))
        .bind(partition)
        .bind(account_id)
        .bind(after_version)
        .bind(one_more(limit))
        .fetch(&self.pool);
        let page = in_time(page(rows, limit)).await?;
        // An empty page may also be the end of an existing account.
        let exists = !page.events.is_empty() || in_time(self.exists(partition, account_id)).await?;
        Ok(exists.then_some(page))
    }

    async fn exists(&self, partition: Partition, account_id: Uuid) -> Result<bool, sqlx::Error> {
        let sql = "SELECT EXISTS (SELECT FROM passbook.events AS e
                                   WHERE e.partition = $1 AND e.account_id = $2 AND e.version = 1)";
        sqlx::query_scalar(sql).bind(partition).bind(account_id).fetch_one(&self.pool).await
    }

    /// Returns the tenant of an account, if it has one; `None` if the account does not exist.
    pub async fn tenant_of(&self, account_id: Uuid) -> Result<Option<Option<Tenant>>, sqlx::Error> {
        let found = sqlx::query_scalar(
            "SELECT e.data ->> 'tenant' FROM passbook.events AS e
              WHERE e.partition = $1 AND e.account_id = $2 AND e.version = 1",
        )
        .bind(partition_of(account_id, self.store.partitions))
        .bind(account_id)
        .fetch_optional(&self.pool);
        let found: Option<Option<String>> = in_time(found).await?;
        Ok(found.map(|tenant| tenant.and_then(|tenant| tenant.parse().ok())))
    }

    /// Returns the command ids of the requests whose idempotency keys were used.
    pub(crate) async fn executed(
        &self,
        requests: &[CommandRequest],
    ) -> Result<HashSet<Uuid>, sqlx::Error> {
        let with_key = requests.iter().filter_map(|request| Some((request, request.key()?)));
        let (requests, keys): (Vec<&CommandRequest>, Vec<Key<'_>>) = with_key
            .map(|(request, key)| {
                let account_id = request.account_id;
                let partition = partition_of(account_id, self.store.partitions);
                (request, Key { partition, account_id, key })
            })
            .unzip();
        let used = in_time(async { by_key(&mut *self.pool.acquire().await?, &keys).await }).await?;
        let executed = requests.into_iter().zip(used).filter(|(_, used)| used.is_some());
        Ok(executed.map(|(request, _)| request.command_id).collect())
    }

    /// Returns the owners of the existing accounts among `accounts`, from their openings.
    pub async fn owners(&self, accounts: &[Uuid]) -> Result<HashMap<Uuid, String>, sqlx::Error> {
        let partition = |account_id: &Uuid| partition_of(*account_id, self.store.partitions);
        let rows = sqlx::query_as(
            "SELECT e.account_id, e.data ->> 'owner' FROM unnest($1, $2) AS w (partition,
             account_id)
               JOIN passbook.events AS e ON e.partition = w.partition AND e.account_id =
               w.account_id AND e.version = 1
              WHERE e.type = 'AccountOpened'",
        )
        .bind(accounts.iter().map(partition).collect::<Vec<_>>())
        .bind(accounts)
        .fetch_all(&self.pool);
        Ok(in_time(rows).await?.into_iter().collect())
    }
}

/// Returns the row limit that detects whether more rows follow.
fn one_more(limit: usize) -> i64 {
    i64::try_from(limit).map_or(i64::MAX, |limit| limit.saturating_add(1))
}

async fn page(
    mut rows: impl Stream<Item = Result<PgRow, sqlx::Error>> + Unpin,
    limit: usize,
) -> Result<Page, sqlx::Error> {
    let mut page = Page::default();
    let mut bytes = 0;
    while let Some(row) = rows.try_next().await? {
        // The row beyond the page was read only to learn that it exists.
        if page.events.len() == limit || bytes >= PAGE_BYTES {
            page.has_more = true;
            break;
        }
        let event = recorded_event(&row)?;
        bytes += event.data.get().len();
        page.events.push(event);
    }
    Ok(page)
}
