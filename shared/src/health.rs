//! Readiness checks, which the parts of a service set and `GET /health/ready` returns.

mod streak;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use crate::fault::Occurrences;
use crate::shutdown::CancellationToken;
pub use streak::Streak;

/// Gauge of a check's state.
const CHECK: &str = "passbook_health_check_state";

/// Check that fails while the service stops.
const SHUTDOWN: &str = "shutdown";
/// Reason of this check.
const STOPPING: &str = "this instance is stopping: it serves requests until DRAIN_SECONDS have \
                        passed since the signal, then it accepts no more";

/// Time during which a check that was never ok is logged as starting, not as a fault.
const START: Duration = Duration::from_secs(30);

/// Checks of one service. Clones share their state.
#[derive(Debug, Clone, Default)]
pub struct Health {
    service: &'static str,
    parts: Arc<Mutex<BTreeMap<&'static str, Part>>>,
    draining: CancellationToken,
}

#[derive(Debug)]
struct Part {
    check: Check,
    /// Time of the first state, if the check was never ok and [`START`] has not passed.
    starting: Option<Instant>,
    /// Changes of the reason since the check entered its state.
    reasons: Occurrences,
}

/// State of one part of the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = HealthCheck)]
pub struct Check {
    /// `ok`; `degraded`: a fault that does not affect requests; `failing`: requests cannot be
    /// served.
    pub state: CheckState,
    /// Description of the fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// States of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = HealthState)]
pub enum CheckState {
    /// The part works.
    Ok,
    /// The part has a fault that does not affect requests.
    Degraded,
    /// Requests cannot be served.
    Failing,
}

impl Health {
    /// Creates the checks of a service, which metrics call `command` or `projection`.
    pub fn new(service: &'static str) -> Self {
        metrics::describe_gauge!(
            CHECK,
            "State of each readiness check: 0 ok, 1 degraded, 2 failing."
        );
        Self { service, ..Self::default() }
    }

    /// Makes the service unready once `draining` is cancelled. An orderly stop is no fault: it is
    /// neither logged nor in the metrics.
    #[must_use]
    pub fn until(self, draining: CancellationToken) -> Self {
        Self { draining, ..self }
    }

    /// Sets a check to ok. Logs that, if the state changes.
    pub fn ok(&self, name: &'static str) {
        self.set(name, Check { state: CheckState::Ok, reason: None });
    }

    /// Sets a check to degraded, for a fault that does not affect requests. Logs a new fault.
    pub fn degraded(&self, name: &'static str, reason: impl Into<String>) {
        self.set(name, Check { state: CheckState::Degraded, reason: Some(reason.into()) });
    }

    /// Sets a check to failing, which makes the service unready. Logs a new fault.
    pub fn failing(&self, name: &'static str, reason: impl Into<String>) {
        self.set(name, Check { state: CheckState::Failing, reason: Some(reason.into()) });
    }

    fn set(&self, name: &'static str, check: Check) {
        let now = Instant::now();
        let mut parts = self.parts.lock();
        let before = parts.get_mut(name);
        let since = before.as_ref().map_or(Some(now), |before| before.starting);
        let starting =
            since.filter(|since| check.state != CheckState::Ok && since.elapsed() < START);
        let part = match before {
            Some(part)
                if part.check.state == check.state
                    && part.starting.is_some() == starting.is_some() =>
            {
                if part.check == check {
                    return;
                }
                // A reason can contain a count that changes each second, so new reasons are logged
                // at growing intervals.
                if part.reasons.again(now) {
                    part.log(name, &check);
                }
                part.check = check;
                return;
            }
            _ => Part { check, starting, reasons: Occurrences::begin(now) },
        };
        metrics::gauge!(CHECK, "service" => self.service, "check" => name)
            .set(part.check.state.gauge());
        part.log(name, &part.check);
        parts.insert(name, part);
    }

    /// Returns all checks by name.
    pub fn checks(&self) -> BTreeMap<&'static str, Check> {
        let parts = self.parts.lock();
        let checks = parts.iter().map(|(name, part)| (*name, part.check.clone()));
        let stopping = || Check { state: CheckState::Failing, reason: Some(STOPPING.to_owned()) };
        checks.chain(self.draining.is_cancelled().then(|| (SHUTDOWN, stopping()))).collect()
    }

    /// Returns true if there is a check, none is failing, and the service does not stop.
    pub fn is_ready(&self) -> bool {
        let parts = self.parts.lock();
        // Without a check, no part has started yet.
        !parts.is_empty()
            && parts.values().all(|part| part.check.state != CheckState::Failing)
            && !self.draining.is_cancelled()
    }
}

impl CheckState {
    fn gauge(self) -> f64 {
        match self {
            Self::Ok => 0.0,
            Self::Degraded => 1.0,
            Self::Failing => 2.0,
        }
    }
}

impl Part {
    fn log(&self, name: &str, check: &Check) {
        match check.state {
            CheckState::Ok => tracing::info!(check = name, "ok"),
            // A part that is still starting has no fault yet.
            _ if self.starting.is_some() => {
                tracing::info!(check = name, reason = check.reason, "starting")
            }
            CheckState::Degraded => tracing::warn!(check = name, reason = check.reason, "degraded"),
            CheckState::Failing => tracing::error!(check = name, reason = check.reason, "failing"),
        }
    }
}

#[cfg(test)]
mod tests;
