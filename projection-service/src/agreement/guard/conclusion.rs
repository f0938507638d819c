//! Effect of a comparison on the state of the guard.

use std::sync::atomic::Ordering;

use passbook_shared::partition::Partition;

use super::Guard;
use crate::agreement::look::Verdict;
use crate::metrics;

impl Guard {
    pub(super) fn conclude(&self, partition: Partition, verdict: Verdict) {
        let changed = match verdict {
            Verdict::Agrees => self.halted.lock().remove(&partition).is_some(),
            Verdict::Moved => false,
            Verdict::Disagrees(disagreement) => {
                self.halted.lock().insert(partition, disagreement).is_none()
            }
            Verdict::Corrected(corrected) => {
                let (from, common, to) = (corrected.from, corrected.common, corrected.to);
                metrics::corrected(from - common);
                if common < from {
                    tracing::warn!(
                        partition = partition.get(),
                        from,
                        common,
                        to,
                        "the views had other events than the log: corrected"
                    );
                }
                self.halted.lock().remove(&partition);
                true
            }
        };
        if changed {
            self.changed.store(true, Ordering::Release);
        }
    }
}
