//! Decision on the head of each request, before its body is read: the client, its key and its
//! scopes. A request that no rule of the OpenAPI document permits is refused.

mod browser;
mod caller;
mod problems;
mod rules;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::extract::{MatchedPath, Request};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method};
use utoipa::openapi::OpenApi;

pub use self::browser::AllowedHosts;
pub use self::caller::Caller;
pub(super) use self::problems::refusals;
use self::problems::{forbidden, unauthenticated};
pub(super) use self::rules::SCHEME;
use self::rules::{Rule, Rules};
use super::problem::Problem;
use crate::access::Principal;
use crate::access::api_key::is_prefixed;
use crate::access::jwt::Tokens;
use crate::access::key_table::Unauthenticated;
use crate::access::watch::WatchedKeys;
use crate::health::Health;
use crate::shutdown::Tasks;
use crate::timestamp::Timestamp;

/// Routes of the documentation, which is public.
const DOCUMENTATION: [&str; 4] = ["/docs", "/docs/", "/docs/{*rest}", "/openapi.json"];

/// Routes of probes, which use any name of an instance.
const HEALTH: [&str; 2] = ["/health/live", "/health/ready"];

/// Clients that a service serves.
#[derive(Debug, Clone)]
pub struct Access {
    /// Accepted keys; every request is permitted without them.
    pub keys: Option<WatchedKeys>,
    /// Verifier of tokens, which are accepted besides the keys.
    pub tokens: Option<Tokens>,
    /// Accepted values of `Host`.
    pub hosts: AllowedHosts,
}

impl Access {
    /// Permits everything, as in tests.
    pub fn unrestricted() -> Self {
        Self { keys: None, tokens: None, hosts: AllowedHosts::any() }
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
                tokens.authenticate(text, now).map_err(Unauthenticated::Token)
            }
            _ => keys.table().authenticate(text, now),
        }
    }
}

/// Gate of a service.
#[derive(Debug)]
pub(super) struct Gate {
    access: Access,
    rules: Arc<Rules>,
}

impl Gate {
    /// Creates the gate with the rules of a document.
    ///
    /// # Errors
    /// An operation of the document declares no scope.
    pub(super) fn new(access: Access, document: &OpenApi) -> anyhow::Result<Self> {
        problems::register();
        Ok(Self { access, rules: Arc::new(Rules::of(document)?) })
    }

    /// Permits a request, which gets its [`Caller`] as an extension.
    ///
    /// # Errors
    /// 401 without a valid key, 429 beyond its rate, 403 without a scope of the operation or from
    /// another site.
    pub(super) fn admit(&self, request: &mut Request) -> Result<(), Problem> {
        let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        // Probes use the address of the instance, and learn nothing that a page must not.
        if !path.is_some_and(|path| HEALTH.contains(&path)) {
            browser::check(&self.access.hosts, request.method(), request.headers())?;
        }
        let rule = self.rule(request.method(), path);
        let caller = match self.caller(request.headers()) {
            Ok(caller) => caller,
            // Health answers with fewer details.
            Err(_) if rule == Ok(Rule::Open) => return Ok(()),
            Err(reason) => return Err(unauthenticated(reason)),
        };
        if rule != Ok(Rule::Open) {
            caller.charge()?;
        }
        if let Rule::AnyOf(scopes) = rule?
            && !scopes.iter().any(|scope| caller.has(scope))
        {
            return Err(forbidden(&caller, scopes));
        }
        request.extensions_mut().insert(caller);
        Ok(())
    }

    /// Returns the rule of a request; a refusal, if the router has a route that the document lacks.
    fn rule(&self, method: &Method, path: Option<&str>) -> Result<Rule, Problem> {
        match path {
            // Only clients with a key learn which routes exist, and which methods they have.
            None => Ok(Rule::AnyKey),
            Some(path) if DOCUMENTATION.contains(&path) => Ok(Rule::Open),
            Some(path) => match (self.rules.of_route(method, path), self.rules.methods(path)) {
                (Some(rule), _) => Ok(rule),
                (None, Some(_)) if *method == Method::OPTIONS => Ok(Rule::AnyKey),
                (None, Some(methods)) => Err(Problem::method_not_allowed().allowing(&methods)),
                (None, None) => {
                    tracing::error!(path, "a route has no rule");
                    Err(Problem::internal())
                }
            },
        }
    }

    fn caller(&self, headers: &HeaderMap) -> Result<Caller, Unauthenticated> {
        let principal = match &self.access.keys {
            None => None,
            Some(keys) => Some(self.access.authenticate(keys, bearer(headers)?)?),
        };
        Ok(Caller::new(principal, Arc::clone(&self.rules)))
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
