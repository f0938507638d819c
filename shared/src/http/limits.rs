//! How much of the service one client, or all together, may take up.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use clap::{Args, value_parser};

use super::budget::Budget;
use super::problem::Problem;

/// The most bytes the headers of a request may have, names and values together. The server
/// underneath has limits of its own: 64 KiB in all, and 100 fields.
pub const HEADERS_LIMIT: usize = 16 * 1024;

const MIB: usize = 1024 * 1024;

/// Settings of the HTTP server.
#[derive(Debug, Clone, Copy, Args)]
pub struct HttpConfig {
    /// Connections that may be open at once. A new one beyond them closes the one that was idle for
    /// longest.
    #[arg(long, env, default_value_t = 4_096, value_parser = value_parser!(u32).range(8..=1_000_000))]
    pub http_connections: u32,
    /// Connections that one address may have open; the same as HTTP_CONNECTIONS if all clients come
    /// through one proxy. A new one beyond them closes that address's longest idle one.
    #[arg(long, env, default_value_t = 1_024, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub http_connections_per_address: u32,
    /// Memory for the bodies of all requests that are larger than 16 KiB, in MiB. What goes beyond
    /// is answered 503.
    #[arg(long, env, default_value_t = 64, value_parser = value_parser!(u32).range(2..=100_000))]
    pub body_budget_mib: u32,
    /// Memory for all answers that are larger than 64 KiB, in MiB. What goes beyond is answered
    /// 503.
    #[arg(long, env, default_value_t = 64, value_parser = value_parser!(u32).range(8..=100_000))]
    pub answer_budget_mib: u32,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            http_connections: 4_096,
            http_connections_per_address: 1_024,
            body_budget_mib: 64,
            answer_budget_mib: 64,
        }
    }
}

/// Bounds of the server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Maximum number of open connections.
    pub connections: usize,
    /// Maximum number of open connections from one address.
    pub per_address: usize,
    /// Maximum number of further connections, which are answered 503 except for `/health`.
    pub refusals: usize,
    /// Time for the head of a request, from its first byte.
    pub headers: Duration,
    /// Time between two requests on a connection.
    pub idle: Duration,
    /// Time for the body of a request, from its first byte to its last.
    pub body: Duration,
    /// Time after which a client that takes nothing of its answer is cut off.
    pub stalled: Duration,
    /// Bytes that large bodies of requests share.
    pub body_budget: usize,
    /// Bytes that large answers share.
    pub answer_budget: usize,
    /// Time for running requests at the end.
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

/// Limits, what all requests share, and whose a request is. An extension of each request.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// The client's address; of IPv6, its /64.
    pub client: IpAddr,
    /// Limits.
    pub limits: Limits,
    /// For bodies of requests.
    pub bodies: Budget,
    /// For answers.
    pub answers: Budget,
}

impl Bounds {
    /// The bounds within limits.
    pub fn new(limits: Limits) -> Self {
        let (bodies, answers) =
            (Budget::new(limits.body_budget), Budget::new(limits.answer_budget));
        Self { client: Ipv4Addr::UNSPECIFIED.into(), limits, bodies, answers }
    }

    /// The same, for the requests of a client.
    pub(super) fn of(&self, client: IpAddr) -> Self {
        Self { client, ..self.clone() }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

/// 431 if the headers are too large.
pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), Problem> {
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size <= HEADERS_LIMIT {
        return Ok(());
    }
    Err(headers_too_large())
}

/// 431: the headers are too large, or too many.
pub(super) fn headers_too_large() -> Problem {
    let detail =
        format!("the headers may have at most {HEADERS_LIMIT} bytes, in at most 100 fields");
    Problem::new(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "request_header_fields_too_large",
        detail,
    )
}

/// 414: the URI is too long.
pub(super) fn uri_too_long() -> Problem {
    Problem::new(
        StatusCode::URI_TOO_LONG,
        "uri_too_long",
        "the URI of the request may have at most 65534 bytes",
    )
}

/// 408: the head of a request was not there in time.
pub(super) fn head_too_slow(time: Duration) -> Problem {
    let detail =
        format!("the head of the request was not received within {time:?}; nothing was changed");
    Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail)
}

/// 408: the body was not there in time.
pub fn body_too_slow(time: Duration) -> Problem {
    let detail = format!("the body was not received within {time:?}; nothing was changed");
    Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail)
}

/// 503: there are too many connections.
pub(super) fn too_many_connections() -> Problem {
    let detail =
        "this instance has as many connections as it may have; nothing was changed by this request";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail).retry_after(1)
}

/// 503: the bodies of all requests are too large.
pub fn too_many_bodies() -> Problem {
    let detail = "this instance has as many large bodies as it may have; nothing was changed by this request";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail).retry_after(1)
}

/// 503: the answers to all requests are too large.
pub fn too_many_answers() -> Problem {
    let detail = "this instance has as many large answers to send as it may have; nothing was done";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail).retry_after(1)
}
