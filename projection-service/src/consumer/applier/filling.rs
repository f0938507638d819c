//! Holes of the topic, filled from the log a page at a time while other partitions go on.

use std::time::Duration;

use passbook_shared::health::Health;
use passbook_shared::partition::Partition;

use super::Applier;
use crate::feed::{Feed, Page};

const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

impl Applier {
    /// Has the page of the log that follows on `after` brought, however long that takes.
    pub(super) fn fill(&mut self, partition: Partition, after: i64) {
        let (feed, health) = (self.feed.clone(), self.health.clone());
        self.pages.spawn(async move { (partition, insist(&feed, &health, partition, after, true).await) });
    }

    /// Looks whether the log has more of a partition than the topic shows.
    pub(super) fn look_into_log(&mut self, partition: Partition) {
        let Some(after) = self.sequence.accepted(partition).filter(|_| self.sequence.hole(partition).is_none()) else {
            return;
        };
        let (feed, health) = (self.feed.clone(), self.health.clone());
        self.pages.spawn(async move { (partition, insist(&feed, &health, partition, after, false).await) });
    }
}

/// The page of the log that follows on `after`; asked for again until it comes. With `must_have`, an empty one won't do.
async fn insist(feed: &Feed, health: &Health, partition: Partition, after: i64, must_have: bool) -> Page {
    let (mut pause, longest) = BACKOFF;
    loop {
        let reason = match feed.events(partition, after).await {
            Ok(page) if !page.events.is_empty() || !must_have => return page,
            Ok(_) => format!("the log has nothing after {partition}-{after}, but the topic has: was the log restored?"),
            Err(error) => format!("the hole after {partition}-{after} can't be filled: {error}"),
        };
        health.degraded("feed", reason);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}
