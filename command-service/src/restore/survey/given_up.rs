//! Events that an accepted restore gives up.

use std::ops::ControlFlow;
use std::sync::Arc;

use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use sqlx::PgConnection;

use crate::log::feed;
use crate::relay::error::RelayError;
use crate::relay::judge::InLog;
use crate::relay::reader::{PassedOver, Seen};
use crate::relay::tail::{End, Tail};

/// Returns the events after position `kept` that the topic has and the log lacks, and whether there
/// are more.
pub(super) async fn given_up(
    connection: &mut PgConnection,
    tail: &Tail,
    partition: Partition,
    kept: i64,
    end: &End,
    most: usize,
) -> Result<(Vec<RecordedEvent>, bool), RelayError> {
    let (low, _) = tail.ends(partition).await?;
    // A position has no smaller offset, unless the beginning of the topic was lost.
    let from = low.max(kept.min(end.offset));
    let mut events: Vec<RecordedEvent> = Vec::new();
    let mut unlike = tail
        .events(partition, from, end.offset, kept, most.saturating_mul(2).saturating_add(2))
        .await?;
    let positions: Vec<i64> = unlike.iter().map(|event| event.position.number).collect();
    let in_log: InLog =
        feed::event_ids(connection, partition, &positions).await?.into_iter().collect();
    unlike.retain(|event| in_log.get(&event.position.number) != Some(&event.event_id));
    for event in unlike {
        // Relays may have published an event more than once.
        if events.iter().all(|known| known.event_id != event.event_id) {
            events.push(event);
        }
    }
    let has_more = events.len() > most;
    events.truncate(most);
    Ok((events, has_more))
}

impl Tail {
    /// Returns at most `most` events of this store after a position, within a stretch of the topic.
    /// Skips events that an accepted restore gave up.
    async fn events(
        &self,
        partition: Partition,
        from: i64,
        until: i64,
        after: i64,
        most: usize,
    ) -> Result<Vec<RecordedEvent>, RelayError> {
        let (mut found, restores) = (Vec::new(), self.restores_of(partition));
        let reader = Arc::clone(&self.reader);
        let read = move || {
            let mut others = PassedOver::default();
            reader.scan(partition, from, until, &mut others, |seen| {
                if let Seen::Own(ours, read) = seen
                    && ours.position > after
                    && ours.is_plausible()
                    && !restores.voided(ours.epoch, ours.position)
                {
                    found.push(read.event);
                }
                if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            Ok(found)
        };
        tokio::task::spawn_blocking(read).await?
    }
}
