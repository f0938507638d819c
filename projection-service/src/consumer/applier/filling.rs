//! Gaps in the topic, filled from the log one page at a time. Other partitions continue meanwhile.

use std::time::Duration;

use passbook_shared::health::Health;
use passbook_shared::partition::Partition;
use tokio::time::Instant;

use super::Applier;
use crate::consumer::judging::Flaw;
use crate::consumer::sequence::Gap;
use crate::feed::{Feed, Page};

const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Time without progress after which the log is read for an event that an unusable record replaced.
const QUIET: Duration = Duration::from_secs(1);

/// Fetched page of the log.
#[derive(Debug)]
pub(super) struct Brought {
    partition: Partition,
    /// Gap at the time of the request, if any.
    gap: Option<Gap>,
    page: Page,
}

impl Applier {
    /// Fetches the first page of a gap. Retries until the log answers.
    pub(super) fn fill(&mut self, partition: Partition, gap: Gap) {
        self.ask(partition, gap.after, Some(gap));
    }

    /// Fetches events that a partition of the topic may lack, unless a gap is being filled.
    pub(super) fn look_into_log(&mut self, partition: Partition) {
        if let Some(after) = self
            .intake
            .sequence()
            .accepted(partition)
            .filter(|_| self.intake.sequence().gap(partition).is_none())
        {
            self.ask(partition, after, None);
        }
    }

    /// Schedules [`Applier::look_into_log`]. It runs once the topic yields no more events.
    pub(super) fn look_later(&mut self, partition: Partition) {
        if let Some(accepted) = self.intake.sequence().accepted(partition) {
            self.to_look.entry(partition).or_insert((Instant::now() + QUIET, accepted));
        }
    }

    /// Returns the time at which [`Applier::look`] is due.
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
                // The topic still supplies events, so the log is not needed yet.
                false => self.look_later(partition),
            }
        }
    }

    /// Requests a page, unless a request for the partition is pending.
    fn ask(&mut self, partition: Partition, after: i64, gap: Option<Gap>) {
        if self.asked.insert(partition) {
            let (feed, health) = (self.feed.clone(), self.health.clone());
            self.pages.spawn(async move {
                let page = insist(&feed, &health, partition, after).await;
                Brought { partition, gap, page }
            });
        }
    }

    /// Accepts a page of the log and requests the rest of its gap.
    pub(super) fn take_page(&mut self, Brought { partition, gap: asked_for, page }: Brought) {
        // The removal comes first, because the next page may be requested below.
        self.asked.remove(&partition);
        self.health.ok("feed");
        if let Err(foreign) = self.intake.offer_page(partition, page.source, page.events) {
            self.refuse(format!(
                "{foreign}: nothing is applied. Does COMMAND_SERVICE_URL point to another \
                 installation?"
            ));
            return;
        }
        match self.intake.sequence().gap(partition) {
            // The log is read to its end, because the topic may lack these events too.
            None if page.has_more => self.look_into_log(partition),
            None => {}
            // The log has each event before the topic does. A record that was read before this page
            // was requested, and that the log lacks, is therefore not an event. A record that was
            // read after the request may be one.
            Some(gap)
                if !page.has_more
                    && asked_for.is_some_and(|asked_for| asked_for.last == gap.last) =>
            {
                self.log_ends(partition, gap);
            }
            Some(gap) => self.fill(partition, gap),
        }
    }

    fn log_ends(&mut self, partition: Partition, gap: Gap) {
        for offset in self.intake.log_ends(partition) {
            let reason = format!(
                "it claims a position up to {partition}-{}, the log ends before it",
                gap.target
            );
            self.unusable.note(partition, offset, Flaw::BeyondLog, reason, Instant::now());
        }
    }
}

/// Returns the page of the log after position `after`; retries until the log answers.
async fn insist(feed: &Feed, health: &Health, partition: Partition, after: i64) -> Page {
    // No limit on the retries: a new assignment aborts this task.
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
