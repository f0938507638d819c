//! How much of the service one client, or all together, may take up.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};

use super::problem::Problem;

/// The most bytes the headers of a request may have, names and values together. The server underneath has limits of
/// its own, 64 KiB in all and 1,000 fields, and closes the connection beyond them.
pub const HEADERS_LIMIT: usize = 16 * 1024;

/// What the server bears.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many connections may be open at once.
    pub connections: usize,
    /// How many more are told that there are too many. What comes beyond is closed without a word.
    pub refusals: usize,
    /// How long a client may take over the headers of a request, idle time between requests included.
    pub headers: Duration,
    /// How long a client may take over the body of a request, from its first byte to its last.
    pub body: Duration,
    /// How long requests have to finish at the end.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            refusals: 256,
            headers: Duration::from_secs(60),
            body: Duration::from_secs(30),
            grace: Duration::from_secs(10),
        }
    }
}

/// For the reader of a body: how long it may take. An extension of each request.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyTime(pub(super) Duration);

impl Default for BodyTime {
    fn default() -> Self {
        Self(Limits::default().body)
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

/// 431: the headers are too large.
pub(super) fn headers_too_large() -> Problem {
    let detail = format!("the headers may have at most {HEADERS_LIMIT} bytes");
    Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "request_header_fields_too_large", detail)
}

/// 408: the body was not there in time.
pub fn body_too_slow(time: Duration) -> Problem {
    let detail = format!("the body was not received within {time:?}; nothing was changed");
    Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail)
}

/// 503: there are too many connections.
pub(super) fn too_many_connections() -> Problem {
    let detail = "this instance has as many connections as it bears; nothing was changed by this request";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail).retry_after(1)
}
