//! Answers as of a time, and of periods that are over: given once the log makes sure that they never change.

use axum::http::HeaderMap;
use futures_util::future::try_join_all;
use passbook_shared::http::headers::prefer_wait;
use passbook_shared::http::problem::Problem;
use passbook_shared::partition::{Partition, partition_of};
use passbook_shared::position::Position;
use passbook_shared::timestamp::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

use super::behind::of_views;
use super::{AppState, log};
use crate::store::checkpoints::{self, Checkpoint};
use crate::waiters::On;

impl AppState {
    /// Waits until the view of an account shows all that was recorded by a moment, as long as the request lets it.
    ///
    /// # Errors
    /// 400 if the moment is still to come; 503 if the view does not get there in time, or the log can't be asked.
    pub(super) async fn until_recorded(
        &self,
        headers: &HeaderMap,
        account_id: Uuid,
        moment: Option<Timestamp>,
    ) -> Result<(), Problem> {
        match moment {
            Some(moment) if !self.is_recorded(headers, account_id, moment).await? => {
                Err(to_come(moment))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The same, at the end of a period; one that is not over yet is shown as far as the view has it. Returns whether it is
    /// over.
    ///
    /// # Errors
    /// As [`AppState::until_recorded`], without the 400.
    pub(super) async fn until_over(
        &self,
        headers: &HeaderMap,
        account_id: Uuid,
        to: Option<Timestamp>,
    ) -> Result<bool, Problem> {
        match to {
            Some(to) => self.is_recorded(headers, account_id, to).await,
            None => Ok(false),
        }
    }

    /// Waits until the views of all accounts show all that was recorded by a moment, as long as the request lets it.
    ///
    /// # Errors
    /// As [`AppState::until_recorded`].
    pub(super) async fn until_all_recorded(
        &self,
        headers: &HeaderMap,
        moment: Option<Timestamp>,
    ) -> Result<(), Problem> {
        let Some(moment) = moment else { return Ok(()) };
        let deadline = Instant::now() + prefer_wait(headers);
        let checkpoints = self.views.read(checkpoints::all(self.views.pool()?)).await?;
        let partitions = 0..self.partitions(&checkpoints).await?;
        let recorded = partitions
            .map(|partition| self.is_recorded_in(deadline, &checkpoints, partition, moment));
        match try_join_all(recorded).await?.into_iter().all(|is_recorded| is_recorded) {
            true => Ok(()),
            false => Err(to_come(moment)),
        }
    }

    /// Whether the moment is past, by the log's time. If so, the view of the account shows all that was recorded by then, and
    /// nothing will be any more.
    async fn is_recorded(
        &self,
        headers: &HeaderMap,
        account_id: Uuid,
        moment: Timestamp,
    ) -> Result<bool, Problem> {
        let deadline = Instant::now() + prefer_wait(headers);
        let checkpoints = self.views.read(checkpoints::all(self.views.pool()?)).await?;
        let partition = partition_of(account_id, self.partitions(&checkpoints).await?);
        self.is_recorded_in(deadline, &checkpoints, partition, moment).await
    }

    /// The same, of a partition.
    async fn is_recorded_in(
        &self,
        deadline: Instant,
        checkpoints: &[Checkpoint],
        partition: Partition,
        moment: Timestamp,
    ) -> Result<bool, Problem> {
        // Within a partition, no event is recorded before the one ahead of it.
        let is_newer = |c: &Checkpoint| c.partition == partition && c.recorded_at > Some(moment);
        if checkpoints.iter().any(is_newer) {
            return Ok(true);
        }
        let Some(wanted) = log::asked(self.log.feed.settle(partition, moment)).await? else {
            return Ok(false);
        };
        let number =
            self.wait(deadline, On::Partition(partition, wanted.number), wanted.number).await?;
        if number < wanted.number {
            return Err(of_views(Position { partition, number }, wanted));
        }
        Ok(true)
    }

    /// The number of partitions; the views don't know it before the topic was read for the first time.
    async fn partitions(&self, checkpoints: &[Checkpoint]) -> Result<Partition, Problem> {
        match Partition::try_from(checkpoints.len()) {
            Ok(known) if known > 0 => Ok(known),
            Ok(_) | Err(_) => Ok(log::asked(self.log.feed.source()).await?.partitions),
        }
    }
}

/// 400: nobody knows yet what will be recorded by then.
fn to_come(moment: Timestamp) -> Problem {
    Problem::malformed("as_of", format!("is in the future: {moment} is still to come"))
}
