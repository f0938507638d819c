//! Answers as of a time, or for a past period. They never change, because the log first guarantees
//! that no later append records an event at or before that time.

use axum::http::HeaderMap;
use futures_util::future::try_join_all;
use passbook_shared::http::headers::prefer_wait;
use passbook_shared::http::problem::Problem;
use passbook_shared::partition::{Partition, PartitionCount, partition_of};
use passbook_shared::position::Position;
use passbook_shared::timestamp::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

use super::{AppState, log_queries, problems};
use crate::checkpoint::Checkpoint;
use crate::store::checkpoints;

impl AppState {
    /// Waits until the view of an account shows all events recorded by a moment, within the
    /// request's wait.
    ///
    /// # Errors
    /// 400 if the moment is in the future. 503 if the view does not reach it in time, or the log is
    /// unreachable.
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

    /// Waits for the end of a period as [`AppState::until_recorded`] does. Returns whether the
    /// period is over. Does not wait if the period is not over.
    ///
    /// # Errors
    /// Same as for [`AppState::until_recorded`], except 400.
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

    /// Waits until the views of all accounts show all events recorded by a moment, within the
    /// request's wait.
    ///
    /// # Errors
    /// Same as for [`AppState::until_recorded`].
    pub(super) async fn until_all_recorded(
        &self,
        headers: &HeaderMap,
        moment: Option<Timestamp>,
    ) -> Result<(), Problem> {
        let Some(moment) = moment else { return Ok(()) };
        // One deadline for all partitions, because the client waits for the whole answer.
        let deadline = Instant::now() + prefer_wait(headers);
        let checkpoints = self.views.read(checkpoints::all).await?;
        let partitions = self.partitions(&checkpoints).await?;
        let recorded = partitions
            .all()
            .map(|partition| self.is_recorded_in(deadline, &checkpoints, partition, moment));
        match try_join_all(recorded).await?.into_iter().all(|is_recorded| is_recorded) {
            true => Ok(()),
            false => Err(to_come(moment)),
        }
    }

    /// Returns whether the moment is in the past by the log's clock. In that case, waits until the
    /// view has all events recorded by that moment. No event is recorded at or before it later.
    async fn is_recorded(
        &self,
        headers: &HeaderMap,
        account_id: Uuid,
        moment: Timestamp,
    ) -> Result<bool, Problem> {
        let deadline = Instant::now() + prefer_wait(headers);
        let checkpoints = self.views.read(checkpoints::all).await?;
        let partition = partition_of(account_id, self.partitions(&checkpoints).await?);
        self.is_recorded_in(deadline, &checkpoints, partition, moment).await
    }

    /// Same as [`AppState::is_recorded`], for a partition.
    async fn is_recorded_in(
        &self,
        deadline: Instant,
        checkpoints: &[Checkpoint],
        partition: Partition,
        moment: Timestamp,
    ) -> Result<bool, Problem> {
        // Times of recording never decrease within a partition.
        let is_newer = |c: &Checkpoint| c.partition == partition && c.recorded_at > Some(moment);
        if checkpoints.iter().any(is_newer) {
            return Ok(true);
        }
        let Some(wanted) = log_queries::query(self.log.feed.settle(partition, moment)).await?
        else {
            // By its own clock, the log refuses a time in the future.
            return Ok(false);
        };
        let number = self.wait_for_position(deadline, partition, wanted.number).await?;
        if number < wanted.number {
            return Err(problems::views_behind(Position { partition, number }, wanted));
        }
        Ok(true)
    }

    /// Returns the number of partitions. Asks the log if the topic was never read.
    async fn partitions(&self, checkpoints: &[Checkpoint]) -> Result<PartitionCount, Problem> {
        match PartitionCount::try_from(checkpoints.len()) {
            Ok(known) => Ok(known),
            Err(_) => Ok(log_queries::query(self.log.feed.source()).await?.partitions),
        }
    }
}

/// Returns 400 for a moment in the future.
fn to_come(moment: Timestamp) -> Problem {
    Problem::malformed("as_of", format!("must not be in the future: {moment}"))
}
