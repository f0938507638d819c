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

/// An append is given up before it has taken so long: what is recorded at a time is in the log so long after it.
const SETTLED: Duration = Duration::from_secs(1);

impl AppState {
    /// Waits until the view of an account shows all that was recorded by a moment, as long as the request lets it.
    pub(super) async fn until_recorded(
        &self,
        headers: &HeaderMap,
        account_id: Uuid,
        moment: Option<Timestamp>,
    ) -> Result<(), Problem> {
        let Some(moment) = moment else { return Ok(()) };
        let pool = self.views.pool()?;
        let partitions = self.views.read(checkpoints::all(pool)).await?.len();
        let partition = partition_of(account_id, partitions.try_into().unwrap_or(i16::MAX).max(1));
        let checkpoint = async || self.views.read(checkpoints::find(pool, partition)).await;
        if checkpoint().await?.is_none_or(|checkpoint| checkpoint.recorded_at > Some(moment)) {
            return Ok(());
        }
        let deadline = Instant::now() + SETTLED + prefer_wait(headers);
        sleep(until_settled(moment, prefer_wait(headers))?).await;
        // Within a partition, no event is recorded before the one ahead of it.
        while let Some(checkpoint) = checkpoint().await?.filter(|checkpoint| checkpoint.recorded_at <= Some(moment)) {
            let next = checkpoint.position + 1;
            match log::asked(self.log.feed.event_at(partition, next)).await? {
                Some(event) if event.recorded_at <= moment => {}
                Some(_) | None => break,
            }
            let number = self.wait(deadline, On::Partition(partition, next), next).await?;
            if number < next {
                return Err(of_views(Position { partition, number }, Position { partition, number: next }));
            }
        }
        Ok(())
    }
}

/// How long it is until nothing can be recorded any more at the moment or before.
fn until_settled(moment: Timestamp, patience: Duration) -> Result<Duration, Problem> {
    let now = Timestamp::now();
    let micros = moment.as_micros() - now.as_micros();
    if micros > patience.as_micros().try_into().unwrap_or(i64::MAX) {
        return Err(Problem::malformed("as_of", format!("is in the future: it is {now} now")));
    }
    let left = micros.saturating_add(SETTLED.as_micros().try_into().unwrap_or(i64::MAX));
    Ok(Duration::from_micros(left.try_into().unwrap_or_default()))
}
