//! What is told as of a time is told only once it will stay so.

use std::time::Duration;

use axum::http::HeaderMap;
use passbook_shared::http::headers::prefer_wait;
use passbook_shared::http::problem::Problem;
use passbook_shared::partition::partition_of;
use passbook_shared::position::Position;
use passbook_shared::timestamp::Timestamp;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::behind::of_views;
use super::{AppState, log};
use crate::store::checkpoints;
use crate::waiting::On;

/// How soon to ask again whether a moment that is nearly there is past.
const AGAIN: Duration = Duration::from_millis(20);

impl AppState {
    /// Waits until the view of an account shows all that was recorded by a moment, as long as the request lets it: the log
    /// sees to it that nothing more will be.
    pub(super) async fn until_recorded(
        &self,
        headers: &HeaderMap,
        account_id: Uuid,
        moment: Option<Timestamp>,
    ) -> Result<(), Problem> {
        let Some(moment) = moment else { return Ok(()) };
        let checkpoints = self.views.read(checkpoints::all(self.views.pool()?)).await?;
        let partition = partition_of(account_id, checkpoints.len().try_into().unwrap_or(i16::MAX).max(1));
        // Within a partition, no event is recorded before the one ahead of it.
        let checkpoint = checkpoints.iter().find(|checkpoint| checkpoint.partition == partition);
        if checkpoint.is_none_or(|checkpoint| checkpoint.recorded_at > Some(moment)) {
            return Ok(());
        }
        let deadline = Instant::now() + prefer_wait(headers);
        let wanted = loop {
            match log::asked(self.log.feed.settle(partition, moment)).await? {
                Some(position) => break position,
                None if is_near(moment, deadline) => sleep(AGAIN).await,
                None => {
                    return Err(Problem::malformed(
                        "as_of",
                        format!("is in the future: it is {} now", Timestamp::now()),
                    ));
                }
            }
        };
        let number = self.wait(deadline, On::Partition(partition, wanted.number), wanted.number).await?;
        if number < wanted.number {
            return Err(of_views(Position { partition, number }, wanted));
        }
        Ok(())
    }
}

/// Whether the moment will be past before the deadline is.
fn is_near(moment: Timestamp, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now()).as_micros();
    i128::from(moment.as_micros() - Timestamp::now().as_micros()) < left.try_into().unwrap_or(i128::MAX) && left > 0
}
