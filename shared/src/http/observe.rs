//! Id, span and metrics of every request.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::header::{CACHE_CONTROL, ETAG, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::{Instrument, Span};
use uuid::Uuid;

use super::gate::Gate;
use super::headers::{self, TRACEPARENT};
use super::problem::Problem;
use super::{audit, body, host, limits};
use crate::trace::{self, RequestSpan};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID: usize = 128;
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");

pub(super) async fn observe(
    service: &'static str,
    gate: Arc<Gate>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let request_id = request_id(request.headers());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        // All unknown paths have one value: clients must not create time series.
        .map_or_else(|| "none".to_owned(), |r| r.as_str().to_owned());
    let method = request.method().clone();
    let trace = begin_trace(service, &mut request);
    let span = request_span(&request, request_id.to_str().unwrap_or_default(), &route);

    let mut checked = check(&gate, &mut request);
    if checked.is_err() && gate.fetches_key(request.headers()).await {
        checked = check(&gate, &mut request);
    }
    let audited = audit::Pending::of(&gate, &request, &request_id);
    let mut response = match checked {
        Ok(()) => next.run(request).instrument(span).await,
        Err(problem) => body::refuse(request, problem.into_response()).await,
    };
    if let Some(call) = audited {
        call.record(response.status());
    }

    response.headers_mut().insert(REQUEST_ID, request_id);
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    keep_from_caches(&method, &mut response);
    if let Some(trace) = trace {
        response.headers_mut().extend(value_of(&trace).map(|value| (TRACEPARENT, value)));
        trace.end(method_label(&method).as_ref(), &route, response.status().as_u16());
    }
    let labels = [
        ("service", metrics::SharedString::const_str(service)),
        ("method", method_label(&method)),
        ("route", route.into()),
        ("status", response.status().as_str().to_owned().into()),
    ];
    metrics::counter!("passbook_http_requests_total", &labels).increment(1);
    // Without the status, which would multiply the buckets.
    metrics::histogram!("passbook_http_request_seconds", &labels[..3]).record(started.elapsed());
    response
}

/// Begins the trace of a sampled request. The span becomes the parent of all that follows: it takes
/// the place of the sender's in `traceparent`, which events store.
fn begin_trace(service: &'static str, request: &mut Request) -> Option<RequestSpan> {
    let trace = RequestSpan::begin(service, || headers::traceparent(request.headers()))?;
    if let Some(value) = value_of(&trace) {
        request.headers_mut().insert(TRACEPARENT, value);
    }
    Some(trace)
}

fn value_of(trace: &RequestSpan) -> Option<HeaderValue> {
    HeaderValue::from_str(&trace.traceparent).ok()
}

/// Returns the span of the log lines of a request. They name its trace, sampled or not.
fn request_span(request: &Request, id: &str, route: &str) -> Span {
    let method = request.method();
    let trace_id = headers::traceparent(request.headers()).and_then(trace::trace_id);
    // At the highest level, so that no log level separates a message from its request.
    tracing::error_span!("request", id, %method, route, trace_id)
}

/// Checks the head of a request.
fn check(gate: &Gate, request: &mut Request) -> Result<(), Problem> {
    host::check(request.version(), request.headers())?;
    limits::check_headers(request.headers())?;
    gate.admit(request)
}

/// Forbids caches to store account data. A client may store a tagged response, but must revalidate
/// it.
fn keep_from_caches(method: &Method, response: &mut Response) {
    let headers = response.headers_mut();
    if headers.contains_key(CACHE_CONTROL) {
        return;
    }
    let is_tagged = method == Method::GET && headers.contains_key(ETAG);
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static(if is_tagged { "private, no-cache" } else { "no-store" }),
    );
}

/// Forbids caches to store a response for operators, and browsers to guess its type.
pub(super) async fn keep_from_browsers(mut response: Response) -> Response {
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Adds the request id to a response.
pub(super) fn identify(request: &HeaderMap, response: &mut Response) {
    response.headers_mut().insert(REQUEST_ID, request_id(request));
}

fn request_id(request: &HeaderMap) -> HeaderValue {
    request.get(REQUEST_ID).filter(|id| acceptable(id)).cloned().unwrap_or_else(new_id)
}

fn acceptable(id: &HeaderValue) -> bool {
    (1..=MAX_REQUEST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
}

/// Returns a new request id.
pub(super) fn new_id() -> HeaderValue {
    let mut text = [0; 36];
    let text = Uuid::new_v4().hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

/// Returns the method as a label, whose number of values clients cannot increase.
fn method_label(method: &Method) -> metrics::SharedString {
    metrics::SharedString::const_str(match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        _ => "other",
    })
}

#[cfg(test)]
mod tests;
