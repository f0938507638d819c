//! Limits of the server, per client and in total.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use clap::{Args, value_parser};

use super::budget::Budget;
use super::problem::Problem;

/// Maximum size of the headers of a request, names and values together, in bytes. hyper has further
/// limits: 64 KiB for the head, and 100 fields.
pub const HEADERS_LIMIT: usize = 16 * 1024;

const MIB: usize = 1024 * 1024;

/// Settings of the HTTP server.
#[derive(Debug, Clone, Copy, Args)]
pub struct HttpConfig {
    /// Maximum number of open connections. A new connection beyond it closes the longest idle one.
    #[arg(long, env, default_value_t = 4_096,
          value_parser = value_parser!(u32).range(8..=1_000_000))]
    pub http_connections: u32,
    /// Maximum number of open connections of one address; use the value of HTTP_CONNECTIONS if all
    /// clients come through one proxy. A new connection beyond it closes the longest idle one of
    /// the address.
    #[arg(long, env, default_value_t = 1_024,
          value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub http_connections_per_address: u32,
    /// Memory for all request bodies larger than 16 KiB, in MiB. Requests beyond it get 503.
    #[arg(long, env, default_value_t = 64, value_parser = value_parser!(u32).range(2..=100_000))]
    pub body_budget_mib: u32,
    /// Memory for all response bodies larger than 64 KiB, in MiB. Requests beyond it get 503.
    #[arg(long, env, default_value_t = 64, value_parser = value_parser!(u32).range(8..=100_000))]
    pub answer_budget_mib: u32,
    /// Time between SIGTERM and the end of the acceptance of requests, in seconds. Meanwhile the
    /// service is not ready, and each response closes its connection.
    #[arg(long, env, default_value_t = 0, value_parser = value_parser!(u32).range(0..=3_600))]
    pub drain_seconds: u32,
}

impl HttpConfig {
    /// Returns the time between SIGTERM and the end of the acceptance of requests.
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds.into())
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            http_connections: 4_096,
            http_connections_per_address: 1_024,
            body_budget_mib: 64,
            answer_budget_mib: 64,
            drain_seconds: 0,
        }
    }
}

/// Limits that the server enforces.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Maximum number of open connections.
    pub connections: usize,
    /// Maximum number of open connections from one address.
    pub per_address: usize,
    /// Maximum number of further connections, which get 503 except for `/health`.
    pub refusals: usize,
    /// Time limit for the head of a request, from its first byte.
    pub headers: Duration,
    /// Maximum time between two requests of a connection.
    pub idle: Duration,
    /// Time limit for the body of a request.
    pub body: Duration,
    /// Time after which a connection is closed whose client takes nothing of its response.
    pub stalled: Duration,
    /// Memory that large request bodies share, in bytes.
    pub body_budget: usize,
    /// Memory that large response bodies share, in bytes.
    pub answer_budget: usize,
    /// Time that running requests have to finish after a shutdown.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        HttpConfig::default().into()
    }
}

impl From<HttpConfig> for Limits {
    fn from(config: HttpConfig) -> Self {
        let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        Self {
            connections: size(config.http_connections),
            per_address: size(config.http_connections_per_address),
            refusals: 256,
            headers: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            body: Duration::from_secs(30),
            stalled: Duration::from_secs(30),
            body_budget: size(config.body_budget_mib) * MIB,
            answer_budget: size(config.answer_budget_mib) * MIB,
            grace: Duration::from_secs(10),
        }
    }
}

/// Limits, shared budgets, and the client of a request. Every request has it as an extension.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Address of the client; its /64 for IPv6.
    pub client: IpAddr,
    /// Limits of the server.
    pub limits: Limits,
    /// Budget of request bodies.
    pub bodies: Budget,
    /// Budget of response bodies.
    pub answers: Budget,
}

impl Bounds {
    /// Creates bounds without a client.
    pub fn new(limits: Limits) -> Self {
        let bodies = Budget::new("requests", limits.body_budget);
        let answers = Budget::new("responses", limits.answer_budget);
        Self { client: Ipv4Addr::UNSPECIFIED.into(), limits, bodies, answers }
    }

    /// Returns these bounds for a request of a principal.
    pub(super) fn of_principal(&self, name: &str) -> Self {
        let name: Arc<str> = name.into();
        let (bodies, answers) = (self.bodies.of(Arc::clone(&name)), self.answers.of(name));
        Self { bodies, answers, ..*self }
    }

    /// Returns these bounds for the requests of a client.
    pub(super) fn of(&self, client: IpAddr) -> Self {
        Self { client, ..self.clone() }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

/// Checks the size of the headers.
///
/// # Errors
/// 431 if the headers are too large.
pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), Problem> {
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size <= HEADERS_LIMIT {
        return Ok(());
    }
    Err(headers_too_large())
}

/// Returns 431: the headers are too large, or too many.
pub(super) fn headers_too_large() -> Problem {
    let detail = format!("the headers must not exceed {HEADERS_LIMIT} bytes and 100 fields");
    Problem::new(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "request_header_fields_too_large",
        detail,
    )
}

/// Returns 414: the URI is too long.
pub(super) fn uri_too_long() -> Problem {
    Problem::new(StatusCode::URI_TOO_LONG, "uri_too_long", "the URI must not exceed 65534 bytes")
}

/// Returns 408: the head of a request did not arrive in time.
pub(super) fn head_too_slow(time: Duration) -> Problem {
    let detail = format!(
        "the head of the request was not received within {time:?}; the request changed nothing"
    );
    Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail)
}

/// Returns 408: the body did not arrive in time.
pub fn body_too_slow(time: Duration) -> Problem {
    let detail = format!("the body was not received within {time:?}; the request changed nothing");
    Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail)
}

/// Returns 503: there are too many connections.
pub(super) fn too_many_connections() -> Problem {
    let detail =
        "this instance has reached its maximum of connections; the request changed nothing";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail).retry_after(1)
}

/// Returns 503: the bodies of all requests are too large.
pub(crate) fn too_many_bodies() -> Problem {
    let detail =
        "this instance has no memory left for large request bodies; the request changed nothing";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail).retry_after(1)
}

/// Returns 503: the responses to all requests are too large.
pub fn too_many_answers() -> Problem {
    let detail =
        "this instance has no memory left for large response bodies; the request changed nothing";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail).retry_after(1)
}

#[cfg(test)]
mod tests;
