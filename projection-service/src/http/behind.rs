//! Read your own write: waiting until the view has got to what the client knows of.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use passbook_shared::http::headers::prefer_wait;
use passbook_shared::http::problem::Problem;
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use tokio::time::{Instant, sleep_until, timeout_at};
use uuid::Uuid;

use super::account::with_quarantine;
use super::{AppState, log};
use crate::store::{accounts, checkpoints, discarded, quarantine};
use crate::waiters::{On, WaitHandle};

/// How soon to look at what another instance may have applied, and how long to wait at most before looking again:
/// many that wait for long must not keep Postgres from others.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(400));

impl AppState {
    /// Waits until the view of an account has got to a version, as long as the request lets it.
    pub(super) async fn until_version(
        &self,
        headers: &HeaderMap,
        account_id: Uuid,
        version: Option<i64>,
    ) -> Result<(), Problem> {
        let Some(wanted) = version else { return Ok(()) };
        if wanted < 1 {
            return Err(Problem::malformed("min_version", "must be a version, from 1"));
        }
        let deadline = Instant::now() + prefer_wait(headers);
        let found = self.wait(deadline, On::Account(account_id, wanted), wanted).await?;
        if found >= wanted {
            return Ok(());
        }
        // It may not get there before somebody has settled that.
        let since = self.views.read(quarantine::since(self.views.pool()?, account_id)).await?;
        let problem = match found {
            0 if since.is_none() && !self.may_exist(account_id).await? => {
                Problem::account_not_found(account_id)
            }
            found => of_account(account_id, found, wanted),
        };
        Err(with_quarantine(problem, since))
    }

    /// Whether the log has an account of which the views have nothing, and may get something: a log that can't be asked may
    /// have it, and one whose opening was discarded is not waited for.
    async fn may_exist(&self, account_id: Uuid) -> sqlx::Result<bool> {
        if self.views.read(discarded::contains(self.views.pool()?, account_id, 1)).await? {
            return Ok(false);
        }
        Ok(log::asked(self.log.feed.event_of(account_id, 1))
            .await
            .map_or(true, |opening| opening.is_some()))
    }

    /// Waits until the views have got to a position, as long as the request lets it.
    pub(super) async fn until_position(
        &self,
        headers: &HeaderMap,
        position: Option<Position>,
    ) -> Result<(), Problem> {
        let Some(wanted) = position else { return Ok(()) };
        let partition = wanted.partition;
        // None before the topic was read for the first time: then it may well be there soon.
        let checkpoints = self.views.read(checkpoints::all(self.views.pool()?)).await?;
        if let Some(last) = checkpoints.last()
            && !checkpoints.iter().any(|checkpoint| checkpoint.partition == partition)
        {
            return Err(no_partition(partition, last.partition));
        }
        let deadline = Instant::now() + prefer_wait(headers);
        let number =
            self.wait(deadline, On::Partition(partition, wanted.number), wanted.number).await?;
        if number >= wanted.number {
            return Ok(());
        }
        Err(of_views(Position { partition, number }, wanted))
    }

    /// The number found when the wanted one is reached, or when the time is up.
    pub(super) async fn wait(&self, deadline: Instant, on: On, wanted: i64) -> sqlx::Result<i64> {
        // Before the first look, so that nothing is applied unseen between the two.
        let place = self.waiting.wait(on);
        look_again(deadline, Some(place), || self.look(on), |found| *found >= wanted).await
    }

    async fn look(&self, on: On) -> sqlx::Result<i64> {
        let pool = self.views.pool()?;
        match on {
            On::Account(id, _) => {
                self.views.read(accounts::version(pool, id)).await.map(Option::unwrap_or_default)
            }
            On::Partition(partition, _) => {
                self.views.read(checkpoints::position(pool, partition)).await
            }
        }
    }
}

/// What is found when it is as wanted, or when the time is up. Looks again when `place` is woken, and now and then.
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
        if is_wanted(&found) || Instant::now() >= deadline {
            return Ok(found);
        }
        let next = (Instant::now() + pause).min(deadline);
        match &mut place {
            Some(place) => drop(timeout_at(next, place.woken()).await),
            None => sleep_until(next).await,
        }
        pause = (pause * 2).min(longest);
    }
}

/// 503: the view of an account is not where it is to be.
pub(super) fn of_account(account_id: Uuid, found: i64, wanted: i64) -> Problem {
    let detail =
        format!("the view of account {account_id} is at version {found}, not yet at {wanted}");
    view_behind(detail).with("version", found)
}

/// 503: the views are not where they are to be.
pub(super) fn of_views(found: Position, wanted: Position) -> Problem {
    view_behind(format!("the views are at {found}, not yet at {wanted}"))
        .with("position", found.to_string())
}

/// 400: they will never be there.
pub(super) fn no_partition(asked: Partition, last: Partition) -> Problem {
    Problem::malformed(
        "at_least",
        format!("there is no partition {asked}: the log has partitions 0 to {last}"),
    )
}

fn view_behind(detail: String) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "view_behind", detail).retry_after(1)
}
