//! Refusals of the gate.

use std::time::Duration;

use axum::http::StatusCode;

use super::Caller;
use crate::access::Scopes;
use crate::access::jwt::TokenFault;
use crate::access::key_table::Unauthenticated;
use crate::http::problem::Problem;

const COUNTER: &str = "passbook_http_access_refusals_total";

/// Registers the counter of each reason at 0.
pub(super) fn register() {
    metrics::describe_counter!(COUNTER, "Requests refused before their body, by reason.");
    let reasons: [&'static str; 5] = [
        Unauthenticated::Missing.into(),
        Unauthenticated::Malformed.into(),
        Unauthenticated::Unknown.into(),
        Unauthenticated::Expired.into(),
        Unauthenticated::Token(TokenFault::Malformed).into(),
    ];
    for reason in reasons.into_iter().chain(["forbidden", "rate_limited", "host", "cross_site"]) {
        metrics::counter!(COUNTER, "reason" => reason).absolute(0);
    }
}

fn count(reason: &'static str) {
    metrics::counter!(COUNTER, "reason" => reason).increment(1);
}

/// Returns the problems of every operation that needs a key.
pub(in crate::http) fn refusals() -> [Problem; 4] {
    [
        too_fast(Duration::from_secs(1)),
        not_authenticated(Unauthenticated::Missing),
        lacks("payroll", "`money:move`"),
        other_site("`Origin` is not the origin of this service"),
    ]
}

/// Returns 401 `unauthenticated`.
pub(super) fn unauthenticated(reason: Unauthenticated) -> Problem {
    count(reason.into());
    not_authenticated(reason)
}

fn not_authenticated(reason: Unauthenticated) -> Problem {
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", reason.to_string());
    // RFC 6750, section 3.1: a request without credentials gets no error code.
    Problem { invalid_token: reason != Unauthenticated::Missing, ..problem }
}

/// Returns 403 `forbidden`: the principal lacks a scope.
pub(super) fn forbidden(caller: &Caller, scopes: Scopes) -> Problem {
    count("forbidden");
    let names: Vec<_> = scopes.iter().map(|scope| format!("`{}`", scope.as_str())).collect();
    lacks(caller.actor().unwrap_or_default(), &names.join(" or "))
}

fn lacks(principal: &str, scopes: &str) -> Problem {
    let detail = format!("{principal} lacks the scope {scopes}");
    Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
}

/// Returns 429 `rate_limited`: the principal sends more requests than its rate permits.
pub(super) fn rate_limited(wait: Duration) -> Problem {
    count("rate_limited");
    too_fast(wait)
}

fn too_fast(wait: Duration) -> Problem {
    let detail = "the principal sends more requests per second than it may; the \
        request changed nothing";
    let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).retry_after(seconds)
}

/// Returns 403 `cross_site_request`: the request comes from a page of another site.
pub(super) fn cross_site(detail: &str) -> Problem {
    count("cross_site");
    other_site(detail)
}

fn other_site(detail: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "cross_site_request", detail)
}

/// Returns 403 `host_not_allowed`: the request is for another host.
pub(super) fn other_host(host: &str) -> Problem {
    count("host");
    let detail = format!(
        "`Host`: {host} is not a name of this service; ALLOWED_HOSTS of the service can add it"
    );
    Problem::new(StatusCode::FORBIDDEN, "host_not_allowed", detail)
}
