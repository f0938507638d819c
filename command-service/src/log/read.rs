//! Reading the log, for people and for the projection. Events are passed through as they are stored: what can't be
//! decoded is still shown.

/// Events of a type and a time, across partitions.
pub mod search;

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{Stream, TryStreamExt};
use passbook_shared::partition::{Partition, partition_of};
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::store_description::StoreDescription;
use passbook_shared::timestamp::Timestamp;
use sqlx::PgPool;
use sqlx::postgres::PgRow;
use thiserror::Error;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::effective::effective_at;
use super::in_time;
use super::load::{LoadError, Loaded, Wanted, state_at};
use super::restores;
use super::rows::{event_columns, recorded_event};
use super::snapshots::Snapshots;
use super::store::Store;

/// A page ends early once its payloads have this many bytes, so that many large requests can't fill the memory.
const PAGE_BYTES: usize = 512 * 1024;

/// A moment that is not further off is waited for.
const NEAR: Duration = Duration::from_secs(1);

/// A moment is still to come, where one that is past is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is in the future: it is {now} now")]
pub struct StillToCome {
    /// By the store's clock.
    pub now: Timestamp,
}

/// Reads the log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogReader {
    pool: PgPool,
    feed: PgPool,
    store: Store,
    snapshots: Snapshots,
}

/// Some events, in order.
#[derive(Debug, Default)]
pub struct Page {
    /// The events; fewer than asked for if they are large.
    pub events: Vec<RecordedEvent>,
    /// Whether more follow.
    pub has_more: bool,
}

impl LogReader {
    /// Reads the log of a store from this pool, and partitions of it from a pool of their own.
    pub fn new(pool: PgPool, feed: PgPool, store: Store, snapshots: Snapshots) -> Self {
        Self { pool, feed, store, snapshots }
    }

    /// Whose log it is.
    pub fn store(&self) -> Store {
        self.store
    }

    /// Which store it is, its accepted restores and its forks, all as of one moment.
    ///
    /// # Errors
    /// As any query.
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

    /// One partition of the log after a position, in order.
    ///
    /// # Errors
    /// As any query.
    pub async fn feed(
        &self,
        partition: Partition,
        after: i64,
        limit: usize,
    ) -> Result<Page, sqlx::Error> {
        let rows = sqlx::query(concat!(
            "SELECT ",
            event_columns!(),
            " FROM passbook.events AS e WHERE e.partition = $1 AND e.position > $2 ORDER BY e.position LIMIT $3"
        ))
        .bind(partition)
        .bind(after)
        .bind(one_more(limit))
        .fetch(&self.feed);
        in_time(page(rows, limit)).await
    }

    /// The events of an account after a version, in order; nothing if there is no such account.
    ///
    /// # Errors
    /// As any query.
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
              WHERE e.partition = $1 AND e.account_id = $2 AND e.version > $3 ORDER BY e.version LIMIT $4"
        ))
        .bind(partition)
        .bind(account_id)
        .bind(after_version)
        .bind(one_more(limit))
        .fetch(&self.pool);
        let page = in_time(page(rows, limit)).await?;
        let exists = !page.events.is_empty() || in_time(self.exists(partition, account_id)).await?;
        Ok(exists.then_some(page))
    }

    async fn exists(&self, partition: Partition, account_id: Uuid) -> Result<bool, sqlx::Error> {
        let sql = "SELECT EXISTS (SELECT FROM passbook.events AS e
                                   WHERE e.partition = $1 AND e.account_id = $2 AND e.version = 1)";
        sqlx::query_scalar(sql).bind(partition).bind(account_id).fetch_one(&self.pool).await
    }

    /// The owners of those of the accounts that are there, as their openings say.
    ///
    /// # Errors
    /// As any query.
    pub async fn owners(&self, accounts: &[Uuid]) -> Result<HashMap<Uuid, String>, sqlx::Error> {
        let partition = |account_id: &Uuid| partition_of(*account_id, self.store.partitions);
        let rows = sqlx::query_as(
            "SELECT e.account_id, e.data ->> 'owner' FROM unnest($1, $2) AS w (partition, account_id)
               JOIN passbook.events AS e ON e.partition = w.partition AND e.account_id = w.account_id AND e.version = 1
              WHERE e.type = 'AccountOpened'",
        )
        .bind(accounts.iter().map(partition).collect::<Vec<_>>())
        .bind(accounts)
        .fetch_all(&self.pool);
        Ok(in_time(rows).await?.into_iter().collect())
    }

    /// The account as it was at a version, or at its newest if that is less; version 0 if there is no such account.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub async fn state(&self, account_id: Uuid, version: i64) -> Result<Loaded, LoadError> {
        let partition = partition_of(account_id, self.store.partitions);
        let wanted = Wanted { partition, account_id, version };
        let load =
            async { state_at(&mut *self.pool.acquire().await?, wanted, &self.snapshots).await };
        in_time(load).await
    }

    /// The account by what counts from a moment or before, as known at its version; version 0 if there is nothing.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub async fn effective_at(
        &self,
        account_id: Uuid,
        version: i64,
        moment: Timestamp,
    ) -> Result<Loaded, LoadError> {
        let recorded = self.version_at(account_id, moment).await?;
        let wanted = Wanted {
            partition: partition_of(account_id, self.store.partitions),
            account_id,
            version,
        };
        let load = async {
            effective_at(
                &mut *self.pool.acquire().await?,
                wanted,
                recorded,
                moment,
                &self.snapshots,
            )
            .await
        };
        in_time(load).await
    }

    /// Makes sure that nothing more is recorded in a partition at a moment or before, and gives its last position. A moment
    /// that is nearly there is waited for: clocks differ.
    ///
    /// # Errors
    /// As any query; and in the answer that the moment is still to come, with the time by the store's clock.
    pub async fn settle(
        &self,
        partition: Partition,
        moment: Timestamp,
    ) -> Result<Result<i64, StillToCome>, sqlx::Error> {
        // What is settled already needs no lock, for which commands would have to wait.
        let sql =
            "SELECT position FROM passbook.log_head WHERE partition = $1 AND recorded_at > $2";
        let settled =
            sqlx::query_scalar(sql).bind(partition).bind(moment).fetch_optional(&self.feed);
        if let Some(position) = in_time(settled).await? {
            return Ok(Ok(position));
        }
        let deadline = Instant::now() + NEAR;
        loop {
            let sql = "SELECT passbook.settle($1, $2), clock_timestamp()";
            let query = sqlx::query_as(sql).bind(partition).bind(moment).fetch_one(&self.feed);
            let (position, now): (Option<i64>, Timestamp) = in_time(query).await?;
            if let Some(position) = position {
                return Ok(Ok(position));
            }
            let left = u64::try_from(moment.as_micros() - now.as_micros()).unwrap_or(0);
            let past = Instant::now() + Duration::from_micros(left + 1);
            if past > deadline {
                return Ok(Err(StillToCome { now }));
            }
            sleep_until(past).await;
        }
    }

    /// The same for every partition, of a moment that is past; of one that is still to come, nothing.
    ///
    /// # Errors
    /// As any query.
    pub async fn settle_all(&self, moment: Timestamp) -> Result<(), sqlx::Error> {
        // Those that have something newer are settled already; the others are locked in the order of all appends.
        let sql = "SELECT count(passbook.settle(h.partition, $1)) FROM (
                       SELECT partition FROM passbook.log_head WHERE recorded_at <= $1 ORDER BY partition) AS h";
        in_time(sqlx::query(sql).bind(moment).execute(&self.pool)).await.map(drop)
    }

    /// The version an account had as recorded at a moment; 0 if it was not yet opened.
    ///
    /// # Errors
    /// As any query.
    pub async fn version_at(
        &self,
        account_id: Uuid,
        moment: Timestamp,
    ) -> Result<i64, sqlx::Error> {
        let sql = "SELECT passbook.last_version_before($1, $2, $3 + interval '1 microsecond')";
        let partition = partition_of(account_id, self.store.partitions);
        in_time(
            sqlx::query_scalar(sql)
                .bind(partition)
                .bind(account_id)
                .bind(moment)
                .fetch_one(&self.pool),
        )
        .await
    }
}

/// One row more than is shown tells whether there are more.
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
