//! What can't be applied, now or at all: readiness says why, and reading starts over from the checkpoints.

use std::time::Duration;

use passbook_shared::partition::Partition;
use passbook_shared::store_error::{is_connection_lost, is_unavailable, reason, violated_constraint};
use uuid::Uuid;

use super::Applier;
use crate::consumer::writer::WriteError;
use crate::metrics;
use crate::store::apply::OUTRUN;

/// How long to wait before starting over, after the first failure, and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How often to look again at a topic that is not of our log.
const FOREIGN_PAUSE: Duration = Duration::from_secs(5);

/// How soon to ask again whose log it is.
const UNASKED_PAUSE: Duration = Duration::from_millis(500);

impl Applier {
    pub(super) fn fail(&mut self, error: WriteError) {
        let (first, longest) = BACKOFF;
        let mut pause = first.saturating_mul(2_u32.saturating_pow(self.failures.min(8))).min(longest);
        self.failures += 1;
        match error {
            WriteError::Store(error) if violated_constraint(&error) == Some(OUTRUN) => {
                tracing::info!("the views were changed by another: starting over from the checkpoints");
                if self.failures == 1 {
                    pause = Duration::ZERO;
                }
            }
            WriteError::Store(error) if is_connection_lost(&error) => {
                let why = reason(&error);
                self.health.degraded("projection", format!("events are applied when Postgres is back: {why}"));
            }
            WriteError::Store(error) if is_unavailable(&error) => {
                self.health.degraded("projection", format!("Postgres can't apply events now: {}", reason(&error)));
            }
            WriteError::Store(error) => {
                self.refused = true;
                self.health.failing("projection", format!("events can't be applied: {}", reason(&error)));
            }
            error @ WriteError::Unasked(_) => {
                self.health.degraded("projection", error.to_string());
                pause = pause.max(UNASKED_PAUSE);
            }
            WriteError::Foreign(reason) => {
                self.refused = true;
                self.health.failing("projection", reason);
                pause = FOREIGN_PAUSE;
            }
            WriteError::TooManyFail(failing) => {
                self.failures = 0;
                pause = Duration::ZERO;
                self.stop(failing);
            }
        }
        self.start_over(pause);
    }

    pub(super) fn refuse_store(&mut self, partition: Partition, offset: i64, found: Uuid) {
        let expected = self.store_id.unwrap_or_default();
        self.refuse(format!(
            "the record at offset {offset} of partition {partition} is of store {found}, the views are of store \
             {expected}: nothing is applied. Is KAFKA_TOPIC or PROJECTION_DATABASE_URL another installation's?"
        ));
    }

    /// What is read is not what the views are of: nothing goes on until it is.
    pub(super) fn refuse(&mut self, reason: String) {
        self.refused = true;
        self.health.failing("projection", reason);
        self.start_over(FOREIGN_PAUSE);
    }

    pub(super) fn start_over(&mut self, pause: Duration) {
        metrics::started_over();
        self.forget();
        // Of no epoch: what was read before is passed over until the next assignment.
        self.epoch = 0;
        self.link.start_over(pause);
    }
}

/// What is said when the log does not have the event that was applied.
pub(in crate::consumer) fn other_log(partition: Partition, position: i64) -> String {
    format!(
        "position {partition}-{position} of the log is not the event that the views have there: nothing is applied. Was \
         the log's database restored from a backup that is older than the views? Then the views must be made anew: see \
         \"After a restore\" in the README"
    )
}
