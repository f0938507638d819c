//! Read-your-writes: waits until the views have reached a version or position that the client
//! knows.

use std::time::Duration;

use axum::http::HeaderMap;
use passbook_shared::event::AccountEvent;
use passbook_shared::http::headers::prefer_wait;
use passbook_shared::http::problem::Problem;
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use tokio::time::{Instant, sleep_until, timeout_at};
use uuid::Uuid;

use super::{AppState, log_queries, problems};
use crate::store::scope::Scope;
use crate::store::{accounts, checkpoints, discarded, quarantine};
use crate::waiters::{On, WaitHandle};

/// First and longest pause between two queries for events that another instance may have applied.
/// The pause grows, so that many long waits do not block other queries of Postgres.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(400));

impl AppState {
    /// Waits until the view of an account has reached a version, within the request's wait.
    pub(super) async fn until_version(
        &self,
        headers: &HeaderMap,
        scope: &Scope,
        account_id: Uuid,
        version: Option<i64>,
    ) -> Result<(), Problem> {
        let Some(wanted) = version else { return Ok(()) };
        if wanted < 1 {
            return Err(Problem::malformed("min_version", "must be a version, at least 1"));
        }
        let deadline = Instant::now() + prefer_wait(headers);
        let found = self.wait_for_version(deadline, scope, (account_id, wanted)).await?;
        if found >= wanted {
            return Ok(());
        }
        // A quarantined account does not advance until an operator retries or discards the event.
        let since = match found {
            0 => self.quarantined_since(scope, account_id).await?,
            _ => self.views.read(|pool| quarantine::since(pool, account_id)).await?,
        };
        let problem = match found {
            0 if since.is_none() && !self.may_exist(scope, account_id).await? => {
                Problem::account_not_found(account_id)
            }
            found => problems::account_behind(account_id, found, wanted),
        };
        Err(problems::with_quarantine(problem, since))
    }

    /// Returns whether an account without a view in the scope may still get one. Returns true if
    /// the log is unreachable, and false if the opening was discarded.
    async fn may_exist(&self, scope: &Scope, account_id: Uuid) -> sqlx::Result<bool> {
        // The views will never have an account whose opening was discarded.
        if self.views.read(|pool| discarded::contains(pool, account_id, 1)).await? {
            return Ok(false);
        }
        let Ok(opening) = log_queries::query(self.log.feed.event_of(account_id, 1)).await else {
            // Without an answer of the log, the account may exist.
            return Ok(true);
        };
        if scope.reach().is_everything() {
            return Ok(opening.is_some());
        }
        let Some(Ok(AccountEvent::AccountOpened(opened))) = opening.map(|event| event.decode())
        else {
            return Ok(false);
        };
        // An account that is in the views, and not in the scope, has another owner by now.
        let of_tenant = scope.of_tenant();
        let is_known = self.views.read(|pool| accounts::version(pool, &of_tenant, account_id));
        Ok(scope.reach().includes(opened.tenant.as_ref(), &opened.owner)
            && is_known.await?.is_none())
    }

    /// Waits until the views have reached a position, within the request's wait.
    pub(super) async fn until_position(
        &self,
        headers: &HeaderMap,
        position: Option<Position>,
    ) -> Result<(), Problem> {
        let Some(wanted) = position else { return Ok(()) };
        let partition = wanted.partition;
        // Checkpoints exist only once the topic was read. Before that, any partition may appear
        // soon.
        let checkpoints = self.views.read(checkpoints::all).await?;
        if let Some(last) = checkpoints.last()
            && !checkpoints.iter().any(|checkpoint| checkpoint.partition == partition)
        {
            return Err(problems::no_partition(partition, last.partition));
        }
        let deadline = Instant::now() + prefer_wait(headers);
        let number = self.wait_for_position(deadline, partition, wanted.number).await?;
        if number >= wanted.number {
            return Ok(());
        }
        Err(problems::views_behind(Position { partition, number }, wanted))
    }

    /// Returns the version of an account once it reaches `wanted`, or as it is at the deadline; 0
    /// while the scope does not include the account.
    pub(super) async fn wait_for_version(
        &self,
        deadline: Instant,
        scope: &Scope,
        (account_id, wanted): (Uuid, i64),
    ) -> sqlx::Result<i64> {
        // Registered before the first query, so that no event is missed between the two.
        let place = self.waiting.wait(On::Account(account_id, wanted));
        let version = || async {
            let found = self.views.read(|pool| accounts::version(pool, scope, account_id)).await;
            found.map(Option::unwrap_or_default)
        };
        look_again(deadline, Some(place), version, |found| *found >= wanted).await
    }

    /// Returns the position of a partition once it reaches `wanted`, or as it is at the deadline.
    pub(super) async fn wait_for_position(
        &self,
        deadline: Instant,
        partition: Partition,
        wanted: i64,
    ) -> sqlx::Result<i64> {
        let place = self.waiting.wait(On::Partition(partition, wanted));
        let position = || self.views.read(|pool| checkpoints::position(pool, partition));
        look_again(deadline, Some(place), position, |found| *found >= wanted).await
    }
}

/// Calls `look` when `place` is woken, and at intervals. Returns its result once `is_wanted`
/// accepts it, or at the deadline.
pub(super) async fn look_again<T, Found>(
    deadline: Instant,
    mut place: Option<WaitHandle>,
    look: impl Fn() -> Found,
    is_wanted: impl Fn(&T) -> bool,
) -> sqlx::Result<T>
where
    Found: Future<Output = sqlx::Result<T>>,
{
    let (mut pause, longest) = LOOK_AGAIN;
    loop {
        let found = look().await?;
        // The deadline is checked after the look, so the last look covers the whole wait.
        if is_wanted(&found) || Instant::now() >= deadline {
            return Ok(found);
        }
        let next = (Instant::now() + pause).min(deadline);
        match &mut place {
            // After a wake-up or a timeout, the database is read again in any case.
            Some(place) => drop(timeout_at(next, place.woken()).await),
            None => sleep_until(next).await,
        }
        pause = (pause * 2).min(longest);
    }
}
