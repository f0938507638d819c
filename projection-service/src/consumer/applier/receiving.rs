//! Messages from the reader: an assignment, records, or a loss of records.

use passbook_shared::partition::Partition;
use tokio::time::Instant;

use super::Applier;
use crate::consumer::handoff::Message;
use crate::consumer::intake::{Intake, Offer};
use crate::consumer::judging::Flaw;
use crate::consumer::record::Record;
use crate::metrics;

impl Applier {
    pub(super) fn take(&mut self, message: Message) {
        match message {
            Message::Assigned { epoch, checkpoints, log } => {
                // Nothing of the previous assignment may be applied under the new one.
                self.forget();
                self.epoch = epoch;
                self.unusable.trust();
                let partitions: Vec<Partition> =
                    checkpoints.iter().map(|checkpoint| checkpoint.partition).collect();
                self.intake = Intake::new(log, &self.running(checkpoints));
                // The previous assignment may have skipped records that are usable now, such as
                // those of an epoch that was unknown then.
                partitions.into_iter().for_each(|partition| self.look_later(partition));
                // The requests that reported a failure ended with the previous assignment.
                self.health.ok("feed");
                // After a refusal, only an applied batch restores readiness.
                if !self.refused {
                    self.health.ok("projection");
                }
            }
            Message::Records { epoch, records } if epoch == self.epoch => {
                for record in records {
                    self.take_record(record);
                }
            }
            Message::Trimmed { epoch, partition } if epoch == self.epoch => {
                self.look_into_log(partition)
            }
            // The reader sent these under an earlier assignment.
            Message::Records { .. } | Message::Trimmed { .. } => {}
        }
    }

    fn take_record(&mut self, record: Record) {
        let (partition, offset) = (record.partition, record.offset.unwrap_or_default());
        match self.intake.offer(record) {
            Offer::Accepted | Offer::Skipped => {}
            Offer::Repeated => metrics::repeated(),
            Offer::Unusable(flaw, reason) => self.pass_over(partition, offset, flaw, reason),
            Offer::Gap(gap, _) => {
                let (found, after) = (gap.target, gap.after);
                tracing::warn!(
                    partition = partition.get(),
                    after,
                    found,
                    "the topic has a gap, which is filled from the log"
                );
                metrics::gap(partition);
                self.fill(partition, gap);
            }
            // At most one of the two events is in the log. The guard compares them with the log.
            Offer::Contradicting(record) => {
                let Ok(event) = &record.content else { return };
                let position = event.recorded.position;
                let reason = format!("another event was read before for {position}");
                self.unusable.note(partition, offset, Flaw::Contradicting, reason, Instant::now());
                self.guard.suspect(partition, position.number);
                self.guard.hurry();
            }
        }
    }

    /// Skips a record. If it replaced an event, the log supplies that event.
    fn pass_over(&mut self, partition: Partition, offset: i64, flaw: Flaw, reason: String) {
        if flaw == Flaw::UnknownEpoch {
            // This service may not know an accepted restore yet.
            // `MAX` requests a comparison without a doubt about any position.
            self.guard.suspect(partition, i64::MAX);
            self.guard.hurry();
        }
        self.unusable.note(partition, offset, flaw, reason, Instant::now());
        self.look_later(partition);
    }
}
