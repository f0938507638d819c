//! Holes of the topic, filled from the log a page at a time while other partitions go on.

use std::time::Duration;

use passbook_shared::health::Health;
use passbook_shared::partition::Partition;
use tokio::time::Instant;

use super::Applier;
use crate::consumer::judging::Flaw;
use crate::consumer::sequence::Hole;
use crate::feed::{Feed, Page};

const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long a partition with a record that can't be used is quiet before the log is asked what that record stood for.
const QUIET: Duration = Duration::from_secs(1);

/// A page of the log that was asked for.
#[derive(Debug)]
pub(super) struct Brought {
    partition: Partition,
    /// The hole as it was then, if there was one.
    hole: Option<Hole>,
    page: Page,
}

impl Applier {
    /// Has the page of the log brought that the hole begins with, however long that takes.
    pub(super) fn fill(&mut self, partition: Partition, hole: Hole) {
        self.ask(partition, hole.after, Some(hole));
    }

    /// Looks whether the log has more of a partition than the topic shows.
    pub(super) fn look_into_log(&mut self, partition: Partition) {
        if let Some(after) = self
            .intake
            .sequence()
            .accepted(partition)
            .filter(|_| self.intake.sequence().hole(partition).is_none())
        {
            self.ask(partition, after, None);
        }
    }

    /// The same, once nothing more comes: what the topic still has is not taken from the log.
    pub(super) fn look_later(&mut self, partition: Partition) {
        if let Some(accepted) = self.intake.sequence().accepted(partition) {
            self.to_look.entry(partition).or_insert((Instant::now() + QUIET, accepted));
        }
    }

    /// When [`Applier::look`] has something to do.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.to_look.values().map(|(at, _)| *at).chain(self.unusable.next_look()).min()
    }

    pub(super) fn look(&mut self) {
        let now = Instant::now();
        if self.unusable.next_look().is_some_and(|at| at <= now) {
            self.unusable.look(now);
        }
        let due = self.to_look.extract_if(.., |_, (at, _)| *at <= now).collect::<Vec<_>>();
        for (partition, (_, accepted)) in due {
            match self.intake.sequence().accepted(partition) == Some(accepted) {
                true => self.look_into_log(partition),
                false => self.look_later(partition),
            }
        }
    }

    /// One request a partition at a time: what its page leaves open is asked for when it has come.
    fn ask(&mut self, partition: Partition, after: i64, hole: Option<Hole>) {
        if self.asked.insert(partition) {
            let (feed, health) = (self.feed.clone(), self.health.clone());
            self.pages.spawn(async move {
                let page = insist(&feed, &health, partition, after).await;
                Brought { partition, hole, page }
            });
        }
    }

    /// Takes events of the log that follow on what was accepted when they were asked for.
    pub(super) fn take_page(&mut self, Brought { partition, hole: asked_for, page }: Brought) {
        self.asked.remove(&partition);
        self.health.ok("feed");
        if let Err(foreign) = self.intake.offer_page(partition, page.source, page.events) {
            self.refuse(format!(
                "{foreign}: nothing is applied. Does COMMAND_SERVICE_URL point to another \
                 installation?"
            ));
            return;
        }
        match self.intake.sequence().hole(partition) {
            None if page.has_more => self.look_into_log(partition),
            None => {}
            // An event is in the log before it is in the topic: a record that was read before the log was asked, and that
            // the log does not have, is of no event. One that was read since may be.
            Some(hole)
                if !page.has_more
                    && asked_for.is_some_and(|asked_for| asked_for.last == hole.last) =>
            {
                self.log_ends(partition, hole);
            }
            Some(hole) => self.fill(partition, hole),
        }
    }

    fn log_ends(&mut self, partition: Partition, hole: Hole) {
        for offset in self.intake.log_ends(partition) {
            let reason = format!(
                "it claims a position up to {partition}-{}, the log ends before it",
                hole.target
            );
            self.unusable.note(partition, offset, Flaw::BeyondLog, reason, Instant::now());
        }
    }
}

/// The page of the log that follows on `after`; asked for again until it comes.
async fn insist(feed: &Feed, health: &Health, partition: Partition, after: i64) -> Page {
    let (mut pause, longest) = BACKOFF;
    loop {
        match feed.events(partition, after).await {
            Ok(page) => return page,
            Err(error) => {
                health.degraded(
                    "feed",
                    format!("the log can't be read after {partition}-{after}: {error}"),
                );
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}
