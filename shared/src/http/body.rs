//! Bodies of requests. A handler reads its body after the checks of route, headers and parameters,
//! so that a refused request takes no memory.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::{CONNECTION, EXPECT};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::time::timeout;

use super::budget::Share;
use super::limits::{self, Bounds};
use super::problem::Problem;

/// Maximum size of a request body, in bytes.
const BODY_LIMIT: usize = 2 * 1024 * 1024;
/// Maximum size of a body that needs no share of the budget, in bytes; a single command fits.
const FREE: usize = 16 * 1024;
/// Number of bytes taken from the budget at once.
const STEP: usize = 64 * 1024;
/// Maximum number of bytes read of a refused request's body, so that the connection can be reused.
const MAX_DISCARDED: u64 = 64 * 1024;
/// Time limit for discarding.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// Rest of a body after its handler.
#[derive(Debug, Default)]
enum Rest {
    /// The handler read the whole body, or still has it.
    #[default]
    None,
    /// The body was not read to its end.
    Unread(Body),
    /// The body failed or exceeded a limit.
    Broken,
}

/// State that a body and its middleware share.
#[derive(Debug, Default)]
struct BodyState {
    rest: Rest,
    /// Shares for the received bytes, which stay in memory until the response.
    shares: Vec<Share>,
}

/// Limits the body of a request. Discards a small rest that the handler did not read, so that the
/// connection can be reused; closes the connection after a large one.
pub(super) async fn limit(request: Request, bounds: Arc<Bounds>, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let waits_for_continue = request.headers().contains_key(EXPECT);
    let state = Arc::<Mutex<BodyState>>::default();
    let (parts, body) = request.into_parts();
    let limited = LimitedBody { body: Some(body), state: Arc::clone(&state), bounds, received: 0 };
    let mut response = next.run(Request::from_parts(parts, Body::new(limited))).await;
    let rest = std::mem::take(&mut state.lock().rest);
    let is_reusable = match rest {
        Rest::None => true,
        // A client that waits for `100 Continue` has not sent its body.
        Rest::Unread(body) => !waits_for_continue && discard(body).await,
        Rest::Broken => false,
    };
    if !is_reusable {
        close_after(&mut response);
    }
    response
}

/// Returns the response to a request that is refused for its head. Treats the body as [`limit`]
/// treats one that its handler did not read.
pub(super) async fn refuse(request: Request, mut response: Response) -> Response {
    let waits_for_continue = request.headers().contains_key(EXPECT);
    let body = request.into_body();
    let is_reusable = body.is_end_stream() || (!waits_for_continue && discard(body).await);
    if !is_reusable {
        close_after(&mut response);
    }
    response
}

fn close_after(response: &mut Response) {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
}

/// Reads a small body to its end. Returns false if the body is large or slow, or fails.
async fn discard(mut body: Body) -> bool {
    if body.size_hint().lower() > MAX_DISCARDED {
        return false;
    }
    let reading = async {
        let mut discarded = 0;
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            discarded += frame.ok()?.data_ref().map_or(0, Bytes::len) as u64;
            if discarded > MAX_DISCARDED {
                return None;
            }
        }
        Some(())
    };
    timeout(DISCARD_TIMEOUT, reading).await.is_ok_and(|read| read.is_some())
}

/// Body within the limits, as the handler gets it.
#[derive(Debug)]
struct LimitedBody {
    body: Option<Body>,
    state: Arc<Mutex<BodyState>>,
    bounds: Arc<Bounds>,
    received: usize,
}

#[derive(Debug, Error)]
enum Excess {
    #[error("the body is too large")]
    Limit,
    #[error("the bodies of all requests are too large")]
    Budget,
}

impl LimitedBody {
    /// Counts received bytes, and takes shares of the budget for them.
    fn receive(&mut self, bytes: usize) -> Result<(), Excess> {
        self.received += bytes;
        if self.received > BODY_LIMIT {
            return Err(Excess::Limit);
        }
        if self.received > FREE {
            let mut state = self.state.lock();
            while self.received > FREE + state.shares.len() * STEP {
                state.shares.push(self.bounds.bodies.take(STEP).ok_or(Excess::Budget)?);
            }
        }
        Ok(())
    }

    fn leave(&self, rest: Rest) {
        self.state.lock().rest = rest;
    }
}

impl HttpBody for LimitedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        let counted = match frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                self.receive(bytes).map(|()| frame).map_err(BoxError::from)
            }
            Some(Err(error)) => Err(error.into()),
            None => {
                self.body = None;
                return Poll::Ready(None);
            }
        };
        if counted.is_err() {
            self.body = None;
            // The connection closes, so the rest need not be read.
            self.leave(Rest::Broken);
        }
        Poll::Ready(Some(counted))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for LimitedBody {
    fn drop(&mut self) {
        // A handler that refuses a request drops the body unread.
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            self.leave(Rest::Unread(body));
        }
    }
}

/// Reads the whole body of a request.
///
/// # Errors
/// 413 `payload_too_large`, 408 `request_timeout`, 503 `overloaded`, or 400 if the body breaks off.
pub(super) async fn read(request: Request) -> Result<Bytes, Problem> {
    let time = request
        .extensions()
        .get::<Arc<Bounds>>()
        .map_or(Bounds::default().limits.body, |b| b.limits.body);
    let body = request.into_body();
    // A declared length is refused before a byte is read.
    if body.size_hint().lower() > BODY_LIMIT as u64 {
        return Err(too_large());
    }
    let read = timeout(time, collect(body)).await.map_err(|_| limits::body_too_slow(time))?;
    read.map_err(|error| match error.into_inner().downcast_ref::<Excess>() {
        Some(Excess::Limit) => too_large(),
        Some(Excess::Budget) => limits::too_many_bodies(),
        None => Problem::malformed("body", "could not be read to its end"),
    })
}

async fn collect(mut body: Body) -> Result<Bytes, axum::Error> {
    let length = body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
    let mut all = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame?.into_data() else { continue };
        if all.is_empty() {
            // A body that arrived as one frame is not copied.
            if length == Some(data.len()) {
                return Ok(data);
            }
            // Reserved memory that is not written takes no physical memory.
            all.reserve_exact(length.unwrap_or_default());
        }
        all.extend_from_slice(&data);
    }
    Ok(all.into())
}

/// Returns 413: the body is too large.
pub fn too_large() -> Problem {
    let detail = format!("the body must not exceed {BODY_LIMIT} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail)
}
