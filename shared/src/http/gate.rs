//! Decision on the head of each request, before its body is read: the client, its key and its
//! scopes. A request that no rule of the OpenAPI document permits is refused.

mod browser;
mod caller;
mod checks;
mod holder;
mod problems;
mod rules;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, Method};
use utoipa::openapi::OpenApi;

pub use self::browser::AllowedHosts;
pub(super) use self::browser::check_host;
pub use self::caller::Caller;
pub use self::checks::Access;
use self::checks::Checks;
pub use self::holder::Holder;
pub(super) use self::problems::refusals;
use self::problems::{forbidden, unauthenticated};
pub(super) use self::rules::SCHEME;
use self::rules::{Rule, Rules};
use super::problem::Problem;
use crate::access::jwt::TokenFault;
use crate::access::key_table::Unauthenticated;
use crate::audit::AuditTrail;

/// Routes of the documentation, which is public.
const DOCUMENTATION: [&str; 4] = ["/docs", "/docs/", "/docs/{*rest}", "/openapi.json"];

/// Routes of probes, which use any name of an instance.
const HEALTH: [&str; 2] = ["/health/live", "/health/ready"];

/// Gate of a service.
#[derive(Debug)]
pub(super) struct Gate(Arc<Checks>);

impl Gate {
    /// Creates the gate with the rules of a document.
    ///
    /// # Errors
    /// An operation of the document declares no scope.
    pub(super) fn new(access: Access, document: &OpenApi) -> anyhow::Result<Self> {
        problems::register();
        Ok(Self(Arc::new(Checks { access, rules: Rules::of(document)? })))
    }

    /// Waits for a fetch of the issuer's keys, if a refused request has a token of an unknown key.
    /// Returns true if the request can be permitted now.
    pub(super) async fn fetches_key(&self, headers: &HeaderMap) -> bool {
        let unknown = Unauthenticated::Token(TokenFault::UnknownKey);
        match (&self.0.access.tokens, self.0.principal(headers)) {
            (Some(tokens), Err(fault)) if fault == unknown => {
                tokens.fetched().await;
                self.0.principal(headers).is_ok()
            }
            _ => false,
        }
    }

    /// Permits a request, which gets its [`Caller`] as an extension.
    ///
    /// # Errors
    /// 401 without a valid key, 429 beyond its rate, 403 without a scope of the operation or from
    /// another site.
    pub(super) fn admit(&self, request: &mut Request) -> Result<(), Problem> {
        let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        // Probes use the address of the instance, and learn nothing that a page must not.
        let of_site = match path {
            Some(path) if HEALTH.contains(&path) => Ok(()),
            _ => browser::check(&self.0.access.hosts, request.method(), request.headers()),
        };
        let rule = self.rule(request.method(), path);
        let caller = Caller::of(request.headers(), &self.0);
        // Also of a refused request, for the audit trail.
        if let Ok(caller) = &caller {
            request.extensions_mut().insert(caller.clone());
        }
        of_site?;
        match caller {
            Ok(caller) => permit(&caller, rule),
            // Health answers with fewer details.
            Err(_) if rule == Ok(Rule::Open) => Ok(()),
            Err(reason) => Err(unauthenticated(reason)),
        }
    }

    /// Returns the audit trail and the id of the request's operation, if the trail has its calls.
    pub(super) fn audited(&self, request: &Request) -> Option<(&AuditTrail, &str)> {
        let trail = self.0.access.audit.as_ref()?;
        let path = request.extensions().get::<MatchedPath>()?.as_str();
        Some((trail, self.0.rules.audited(request.method(), path)?))
    }

    /// Returns the rule of a request; a refusal, if the router has a route that the document lacks.
    fn rule(&self, method: &Method, path: Option<&str>) -> Result<Rule, Problem> {
        match path {
            // Only clients with a key learn which routes exist, and which methods they have.
            None => Ok(Rule::AnyKey),
            Some(path) if DOCUMENTATION.contains(&path) => Ok(Rule::Open),
            Some(path) => match (self.0.rules.of_route(method, path), self.0.rules.methods(path)) {
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
}

/// Checks that a caller may send a request with this rule now.
fn permit(caller: &Caller, rule: Result<Rule, Problem>) -> Result<(), Problem> {
    if rule != Ok(Rule::Open) {
        caller.charge()?;
    }
    match rule? {
        Rule::AnyOf(scopes) if !scopes.iter().any(|scope| caller.has(scope)) => {
            Err(forbidden(caller, scopes))
        }
        Rule::AnyOf(_) | Rule::Open | Rule::AnyKey => Ok(()),
    }
}
