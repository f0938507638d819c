//! The whole body is read before anything is decided. Were a request refused before, the rest of its body would be left on the
//! connection, which could only be closed, and whoever had sent the next request on it would not know what came of that.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use super::BODY_LIMIT;
use super::limits::{self, BodyTime};
use super::problem::Problem;

/// Reads the body, and goes on with it in memory.
pub(super) async fn whole(request: Request, next: Next) -> Response {
    let BodyTime(time) = request.extensions().get().copied().unwrap_or_default();
    let (parts, body) = request.into_parts();
    let mut reading = Request::new(body);
    // Its limit is among them.
    *reading.extensions_mut() = parts.extensions.clone();
    match timeout(time, Bytes::from_request(reading, &())).await {
        Ok(Ok(body)) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = format!("a body may have at most {BODY_LIMIT} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail).into_response()
        }
        Ok(Err(_)) => Problem::malformed("body", "could not be read to its end").into_response(),
        Err(_) => limits::body_too_slow(time).into_response(),
    }
}
