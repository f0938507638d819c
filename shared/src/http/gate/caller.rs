//! Sender of a permitted request.

use std::sync::Arc;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue};

use super::checks::Checks;
use super::problems::{forbidden, rate_limited};
use super::rules::Rule;
use crate::access::key_table::Unauthenticated;
use crate::access::{Principal, Rate, Reach, Scope};
use crate::http::problem::Problem;

/// Sender of a permitted request. Handlers get it as an extension.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Principal of the key or token; `None` without authentication.
    principal: Option<Arc<Principal>>,
    /// Value of `Authorization`, hidden from debug output.
    authorization: Option<HeaderValue>,
    gate: Arc<Checks>,
}

impl Caller {
    /// Authenticates the sender of a request.
    pub(super) fn of(headers: &HeaderMap, gate: &Arc<Checks>) -> Result<Self, Unauthenticated> {
        let principal = gate.principal(headers)?;
        let mut authorization = headers.get(AUTHORIZATION).cloned();
        if let Some(value) = &mut authorization {
            value.set_sensitive(true);
        }
        Ok(Self { principal, authorization, gate: Arc::clone(gate) })
    }

    /// Returns true if the caller may send a request of an operation now. A long response checks it
    /// again and again, because a key can be revoked meanwhile, and a token can expire.
    pub fn is_still_permitted(&self, operation_id: &str) -> bool {
        let values = self.authorization.iter().cloned();
        let headers = values.map(|value| (AUTHORIZATION, value)).collect();
        Self::of(&headers, &self.gate)
            .is_ok_and(|caller| caller.check_operation(operation_id).is_ok())
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

    /// Takes a request from the caller's rates.
    ///
    /// # Errors
    /// 429 `rate_limited` if the rate does not permit it now.
    pub(super) fn charge(&self) -> Result<(), Problem> {
        self.rates().try_for_each(|rate| rate.take()).map_err(rate_limited)
    }

    /// Takes the further commands of a bulk request from the caller's rates.
    ///
    /// # Errors
    /// 429 `rate_limited` if the rate does not permit them now.
    pub fn charge_further(&self, commands: usize) -> Result<(), Problem> {
        self.rates().try_for_each(|rate| rate.take_parts(commands)).map_err(rate_limited)
    }

    /// Returns the rate of the principal, and that of its tenant.
    fn rates(&self) -> impl Iterator<Item = Rate> {
        let principal = self.principal.as_deref();
        let own = principal.and_then(|principal| principal.rate.clone());
        let tenant = principal.and_then(|principal| principal.reach.tenant.as_ref());
        own.into_iter().chain(tenant.and_then(|tenant| self.gate.rate_of(tenant)))
    }

    /// Checks that the caller may send a request of another operation, as a part of this one.
    ///
    /// # Errors
    /// 403 `forbidden` if the caller has none of the operation's scopes.
    pub fn check_operation(&self, operation_id: &str) -> Result<(), Problem> {
        match self.gate.rules.of_operation(operation_id) {
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
