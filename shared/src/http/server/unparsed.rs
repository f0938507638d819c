//! Responses to requests that hyper cannot parse. hyper's own responses lack a body and a request
//! id, and are withheld.

use std::time::SystemTime;

use axum::http::StatusCode;

use crate::http::limits;
use crate::http::observe::new_id;
use crate::http::problem::Problem;

/// Connection preface of an HTTP/2 client.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Empty SETTINGS, then GOAWAY with the error HTTP_1_1_REQUIRED (RFC 9113, sections 3.4, 6.8 and
/// 7), which makes an HTTP/2 client retry with HTTP/1.1.
const HTTP2_GOAWAY: &[u8] = &[
    0, 0, 0, 4, 0, 0, 0, 0, 0, // SETTINGS
    0, 0, 8, 7, 0, 0, 0, 0, 0, // GOAWAY of 8 bytes
    0, 0, 0, 0, 0, 0, 0, 13, // no stream was processed, error 13
];

/// Returns the response to a request that could not be parsed; `None` if there was no request.
/// `own` is hyper's own response, and `rest` the input that it did not consume.
pub(super) fn response(error: &hyper::Error, own: &[u8], rest: &[u8]) -> Option<Vec<u8>> {
    if rest.starts_with(HTTP2_PREFACE) {
        return Some(HTTP2_GOAWAY.to_vec());
    }
    let status = own.get(9..12).and_then(|digits| StatusCode::from_bytes(digits).ok());
    let problem = match status {
        // hyper has the same status for an endless request line as for too many headers.
        Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE) if rest.contains(&b'\n') => {
            limits::headers_too_large()
        }
        Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE | StatusCode::URI_TOO_LONG) => {
            limits::uri_too_long()
        }
        Some(_) => unreadable(&error.to_string()),
        None if error.is_incomplete_message() && !rest.is_empty() => {
            unreadable("it ended within its head")
        }
        None => return None,
    };
    Some(written(&problem))
}

/// Returns the response to a request whose head did not arrive in time.
pub(super) fn too_slow(limits: &limits::Limits) -> Vec<u8> {
    written(&limits::head_too_slow(limits.headers))
}

fn unreadable(why: &str) -> Problem {
    let detail = format!("the request can't be parsed: {why}");
    Problem::new(StatusCode::BAD_REQUEST, "malformed_request", detail)
}

fn written(problem: &Problem) -> Vec<u8> {
    metrics::counter!("passbook_http_unparsed_total", "status" => problem.status.to_string())
        .increment(1);
    let body = serde_json::to_vec(problem).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
         x-request-id: {}\r\ncache-control: no-store\r\nconnection: close\r\ndate: {}\r\n\r\n",
        problem.status,
        problem.title,
        body.len(),
        new_id().to_str().unwrap_or_default(),
        httpdate::fmt_http_date(SystemTime::now()),
    );
    [head.into_bytes(), body].concat()
}
