//! Failures to apply a batch. Readiness reports the reason, and reading restarts from the
//! checkpoints.

use std::time::Duration;

use passbook_shared::store_error::{
    is_connection_lost, is_missing, is_unavailable, reason, violated_constraint,
};

use super::Applier;
use crate::consumer::writer::WriteError;
use crate::metrics;
use crate::store::apply::OUTRUN;

/// First and longest pause before a restart from the checkpoints.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Pause before a restart after a page from the log of another store.
const FOREIGN_PAUSE: Duration = Duration::from_secs(5);

impl Applier {
    pub(super) fn fail(&mut self, error: WriteError) {
        let (first, longest) = BACKOFF;
        let mut pause =
            first.saturating_mul(2_u32.saturating_pow(self.failures.min(8))).min(longest);
        self.failures += 1;
        match error {
            // Also after a switch whose former generation has been dropped since the last batch.
            WriteError::Store(error)
                if violated_constraint(&error) == Some(OUTRUN)
                    || self.failures == 1 && is_missing(&error) =>
            {
                tracing::info!(
                    "another writer changed the views: starting over from the checkpoints"
                );
                // Only the first restart is immediate, so that two writers do not conflict in a
                // tight loop.
                if self.failures == 1 {
                    pause = Duration::ZERO;
                }
            }
            WriteError::Store(error) if is_connection_lost(&error) => {
                let why = reason(&error);
                self.health.degraded(
                    "projection",
                    format!("events are applied when Postgres is back: {why}"),
                );
            }
            WriteError::Store(error) if is_unavailable(&error) => {
                self.health.degraded(
                    "projection",
                    format!("Postgres can't apply events now: {}", reason(&error)),
                );
            }
            WriteError::Store(error) => {
                // Postgres refuses this batch itself, so waiting may not help: not ready.
                self.refused = true;
                self.health
                    .failing("projection", format!("events can't be applied: {}", reason(&error)));
            }
            WriteError::TooManyFail(failing) => {
                // Postgres works, so the other partitions restart at once.
                self.failures = 0;
                pause = Duration::ZERO;
                self.stop(failing);
            }
        }
        self.start_over(pause);
    }

    /// Stops applying events until the command-service serves the log of these views.
    pub(super) fn refuse(&mut self, reason: String) {
        self.refused = true;
        self.health.failing("projection", reason);
        self.start_over(FOREIGN_PAUSE);
    }

    pub(super) fn start_over(&mut self, pause: Duration) {
        metrics::started_over();
        self.forget();
        // No assignment has the number 0, so records are ignored until the next assignment.
        self.epoch = 0;
        self.handoff.start_over(pause);
    }
}
