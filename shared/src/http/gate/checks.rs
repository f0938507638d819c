//! Authentication of requests.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use super::browser::AllowedHosts;
use super::rules::Rules;
use crate::access::api_key::is_prefixed;
use crate::access::jwt::{TokenFault, Tokens};
use crate::access::key_table::Unauthenticated;
use crate::access::watch::WatchedKeys;
use crate::access::{Principal, Rate};
use crate::audit::AuditTrail;
use crate::health::Health;
use crate::shutdown::Tasks;
use crate::tenant::Tenant;
use crate::timestamp::Timestamp;

/// Clients that a service serves.
#[derive(Debug, Clone)]
pub struct Access {
    /// Accepted keys; every request is permitted without them.
    pub keys: Option<WatchedKeys>,
    /// Verifier of tokens, which are accepted besides the keys.
    pub tokens: Option<Tokens>,
    /// Audit trail of the calls of operators.
    pub audit: Option<AuditTrail>,
    /// Accepted values of `Host`.
    pub hosts: AllowedHosts,
}

impl Access {
    /// Permits everything, as in tests.
    pub fn unrestricted() -> Self {
        Self { keys: None, tokens: None, audit: None, hosts: AllowedHosts::any() }
    }

    /// Starts the tasks that reload the keys, if there are any.
    pub fn watch(&self, tasks: &mut Tasks, health: &Health) {
        if let Some(keys) = &self.keys {
            let watching = keys.clone().watch(health.clone(), tasks.shutdown());
            tasks.spawn("the watch of the API keys", watching);
        }
        if let Some(tokens) = &self.tokens {
            let watching = tokens.clone().watch(health.clone(), tasks.shutdown());
            tasks.spawn("the watch of the keys of tokens", watching);
        }
    }
}

/// Checks of a gate, which its callers share.
#[derive(Debug)]
pub(super) struct Checks {
    pub(super) access: Access,
    pub(super) rules: Rules,
}

impl Checks {
    /// Returns the sender of a request; `None` without authentication.
    pub(super) fn principal(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<Arc<Principal>>, Unauthenticated> {
        match &self.access.keys {
            None => Ok(None),
            Some(keys) => self.access.authenticate(keys, bearer(headers)?).map(Some),
        }
    }

    /// Returns the rate of a tenant, if it has one.
    pub(super) fn rate_of(&self, tenant: &Tenant) -> Option<Rate> {
        self.access.keys.as_ref()?.table().quotas(tenant)?.rate.clone()
    }
}

impl Access {
    /// Returns the principal of an API key or of a token.
    fn authenticate(
        &self,
        keys: &WatchedKeys,
        text: &str,
    ) -> Result<Arc<Principal>, Unauthenticated> {
        let now = Timestamp::now();
        match &self.tokens {
            Some(tokens) if !is_prefixed(text) => {
                let principal = tokens.authenticate(text, now).map_err(Unauthenticated::Token)?;
                // An issuer's subject must not act under the name of a key.
                if keys.table().has_principal(&principal.name) {
                    return Err(Unauthenticated::Token(TokenFault::Subject));
                }
                Ok(principal)
            }
            _ => keys.table().authenticate(text, now),
        }
    }
}

/// Returns the token of `Authorization: Bearer` (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Result<&str, Unauthenticated> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Unauthenticated::Missing)?;
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    let (scheme, token) =
        text.and_then(|text| text.split_once(' ')).ok_or(Unauthenticated::Malformed)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(token.trim_start_matches(' '))
    } else {
        Err(Unauthenticated::Malformed)
    }
}
