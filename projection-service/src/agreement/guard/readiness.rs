//! Readiness of the views' agreement with the log.

use super::{CHECK, Guard};
use crate::agreement::disagreement::Disagreement;

/// Number of partitions that readiness names in full.
const NAMED: usize = 3;

impl Guard {
    pub(super) fn report(&self) {
        let halted = self.halted.lock().clone();
        let Some(first) = halted.values().next() else {
            self.health.ok(CHECK);
            return;
        };
        let reason = if let Disagreement::Foreign { .. } = first {
            first.to_string()
        } else {
            let named = halted
                .iter()
                .take(NAMED)
                .map(|(partition, why)| format!("partition {partition}: {why}"));
            let mut named = named.collect::<Vec<_>>().join("; ");
            if halted.len() > NAMED {
                named.push_str(&format!("; and {} more partitions", halted.len() - NAMED));
            }
            named
        };
        // A comparison ends by itself within seconds, so the service stays ready.
        match halted.values().all(Disagreement::ends_by_itself) {
            true => self.health.degraded(CHECK, reason),
            false => self.health.failing(CHECK, reason),
        }
    }
}
