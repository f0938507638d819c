//! What a service says of its own condition at `GET /health/ready`: named checks that its parts set.

mod streak;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use crate::fault::Run;
pub use streak::Streak;

/// Gauge of each check.
const CHECK: &str = "passbook_health_check_state";

/// How long a part that was never well may still be starting. After that, what it lacks is logged as what it is.
const START: Duration = Duration::from_secs(30);

/// The checks of one service. Cheap to clone; all clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Health {
    service: &'static str,
    parts: Arc<Mutex<BTreeMap<&'static str, Part>>>,
}

#[derive(Debug)]
struct Part {
    check: Check,
    /// Since when, if it was never well and it is not too long ago.
    starting: Option<Instant>,
    /// Reasons given since the check came to its state, and when the next is logged.
    reasons: Run,
}

/// How one part of the service stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = HealthCheck)]
pub struct Check {
    /// `ok`; `degraded`: something is wrong that requests do not feel; `failing`: requests can't be served.
    pub state: CheckState,
    /// What is wrong, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The states of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = HealthState)]
pub enum CheckState {
    /// All is well.
    Ok,
    /// Something is wrong that requests do not feel.
    Degraded,
    /// Requests can't be served.
    Failing,
}

impl Health {
    /// The checks of a service, as metrics name it: `command` or `projection`.
    pub fn new(service: &'static str) -> Self {
        metrics::describe_gauge!(
            CHECK,
            "State of each readiness check: 0 ok, 1 degraded, 2 failing."
        );
        Self { service, parts: Arc::default() }
    }

    /// The part is well. Logged if it was not before.
    pub fn ok(&self, name: &'static str) {
        self.set(name, Check { state: CheckState::Ok, reason: None });
    }

    /// Something is wrong with the part that requests do not feel. Logged if it is new.
    pub fn degraded(&self, name: &'static str, reason: impl Into<String>) {
        self.set(name, Check { state: CheckState::Degraded, reason: Some(reason.into()) });
    }

    /// The part can't do its work, so the service is not ready. Logged if it is new.
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
                // Another reason for the same, such as a count: at growing intervals.
                if part.reasons.again(now) {
                    part.log(name, &check);
                }
                part.check = check;
                return;
            }
            _ => Part { check, starting, reasons: Run::begin(now) },
        };
        metrics::gauge!(CHECK, "service" => self.service, "check" => name)
            .set(part.check.state.gauge());
        part.log(name, &part.check);
        parts.insert(name, part);
    }

    /// Every check, by name.
    pub fn checks(&self) -> BTreeMap<&'static str, Check> {
        let parts = self.parts.lock();
        parts.iter().map(|(name, part)| (*name, part.check.clone())).collect()
    }

    /// Whether no check is failing, and there is at least one.
    pub fn is_ready(&self) -> bool {
        let parts = self.parts.lock();
        !parts.is_empty() && parts.values().all(|part| part.check.state != CheckState::Failing)
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
            // Nothing has gone wrong yet.
            _ if self.starting.is_some() => {
                tracing::info!(check = name, reason = check.reason, "starting")
            }
            CheckState::Degraded => tracing::warn!(check = name, reason = check.reason, "degraded"),
            CheckState::Failing => tracing::error!(check = name, reason = check.reason, "failing"),
        }
    }
}
