//! What a service says of its own condition at `GET /health/ready`: named checks that its parts set.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// The checks of one service. Cheap to clone; all clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Health {
    checks: Arc<Mutex<BTreeMap<&'static str, Check>>>,
}

/// How one part of the service stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
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
pub enum CheckState {
    /// All is well.
    Ok,
    /// Something is wrong that requests do not feel.
    Degraded,
    /// Requests can't be served.
    Failing,
}

impl Health {
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
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        let before = checks.get(name);
        if before == Some(&check) {
            return;
        }
        match check.state {
            // At the start nothing has gone wrong yet.
            _ if before.is_none() => tracing::info!(check = name, reason = check.reason, "starting"),
            CheckState::Ok => tracing::info!(check = name, "ok"),
            CheckState::Degraded => tracing::warn!(check = name, reason = check.reason, "degraded"),
            CheckState::Failing => tracing::error!(check = name, reason = check.reason, "failing"),
        }
        checks.insert(name, check);
    }

    /// Every check, by name.
    pub fn checks(&self) -> BTreeMap<&'static str, Check> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether no check is failing, and there is at least one.
    pub fn is_ready(&self) -> bool {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        !checks.is_empty() && checks.values().all(|check| check.state != CheckState::Failing)
    }
}
