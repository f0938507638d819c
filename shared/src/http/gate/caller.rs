//! Sender of a permitted request.

use std::sync::Arc;

use super::problems::{forbidden, rate_limited};
use super::rules::{Rule, Rules};
use crate::access::{Principal, Rate, Reach, Scope};
use crate::http::problem::Problem;

/// Sender of a permitted request. Handlers get it as an extension.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Principal of the key; `None` without authentication.
    principal: Option<Arc<Principal>>,
    rules: Arc<Rules>,
}

impl Caller {
    pub(super) fn new(principal: Option<Arc<Principal>>, rules: Arc<Rules>) -> Self {
        Self { principal, rules }
    }

    /// Returns the name that events record; `None` without authentication.
    pub fn actor(&self) -> Option<&str> {
        self.principal.as_ref().map(|principal| &*principal.name)
    }

    /// Returns the accounts that the caller's rights apply to; all without authentication.
    pub fn reach(&self) -> Reach {
        self.principal.as_ref().map(|principal| principal.reach.clone()).unwrap_or_default()
    }

    /// Returns true if the caller has the scope; always without authentication.
    pub fn has(&self, scope: Scope) -> bool {
        self.principal.as_ref().is_none_or(|principal| principal.scopes.has(scope))
    }

    /// Takes a request from the caller's rate.
    ///
    /// # Errors
    /// 429 `rate_limited` if the rate does not permit it now.
    pub(super) fn charge(&self) -> Result<(), Problem> {
        self.rate().map_or(Ok(()), Rate::take).map_err(rate_limited)
    }

    /// Takes the further commands of a bulk request from the caller's rate.
    ///
    /// # Errors
    /// 429 `rate_limited` if the rate does not permit them now.
    pub fn charge_further(&self, commands: usize) -> Result<(), Problem> {
        self.rate().map_or(Ok(()), |rate| rate.take_parts(commands)).map_err(rate_limited)
    }

    fn rate(&self) -> Option<&Rate> {
        self.principal.as_ref().and_then(|principal| principal.rate.as_ref())
    }

    /// Checks that the caller may send a request of another operation, as a part of this one.
    ///
    /// # Errors
    /// 403 `forbidden` if the caller has none of the operation's scopes.
    pub fn check_operation(&self, operation_id: &str) -> Result<(), Problem> {
        match self.rules.of_operation(operation_id) {
            Some(Rule::AnyOf(scopes)) if scopes.iter().any(|scope| self.has(scope)) => Ok(()),
            Some(Rule::AnyOf(scopes)) => Err(forbidden(self, scopes)),
            Some(Rule::Open | Rule::AnyKey) => Ok(()),
            None => {
                tracing::error!(operation_id, "an operation has no rule");
                Err(Problem::internal())
            }
        }
    }
}
