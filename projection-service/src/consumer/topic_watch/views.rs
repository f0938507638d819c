//! Measures of the live views: their lag, and the content of the quarantine.

use std::time::Instant;

use passbook_shared::health::Streak;
use passbook_shared::store_error;

use super::Watched;
use crate::checkpoint::Checkpoint;
use crate::metrics;
use crate::store::{checkpoints, quarantine};

impl Watched {
    /// Reads the checkpoints; returns none while Postgres does not answer.
    pub(super) async fn measure(&self, streak: &mut Streak) -> Option<Vec<Checkpoint>> {
        self.views.pool().ok()?;
        let checkpoints = match self.views.read(checkpoints::all).await {
            Ok(checkpoints) => checkpoints,
            Err(error) => {
                if streak.failed(Instant::now()).is_some() {
                    let reason = store_error::reason(&error);
                    self.health.failing("postgres", format!("the views can't be read: {reason}"));
                }
                return None;
            }
        };
        streak.succeeded(Instant::now());
        self.health.ok("postgres");
        for checkpoint in &checkpoints {
            if let Some(lag) = self.ends.lag(checkpoint.partition, checkpoint.kafka_offset) {
                metrics::lag(checkpoint.partition, lag.events, lag.millis);
            }
        }
        // The size is only a measure, and the next round reads it again.
        if let Ok(held) = self.views.read(quarantine::size).await {
            metrics::in_quarantine(held.number);
            self.quarantine.holds(held);
        }
        Some(checkpoints)
    }
}
