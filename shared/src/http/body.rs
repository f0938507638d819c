//! Bodies of requests. A handler reads its body last: route, headers and parameters are checked
//! before, and whoever is refused until then costs no memory.

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

use super::BODY_LIMIT;
use super::budget::Share;
use super::limits::{self, Bounds};
use super::problem::Problem;

/// Bytes of a body that need no share of the budget: those of a single command, and more.
const FREE: usize = 16 * 1024;
/// Bytes that are taken from the budget at once.
const STEP: usize = 64 * 1024;
/// The most that is read of the body of a refused request, so that the connection can be used for
/// another.
const DISCARDED: u64 = 64 * 1024;
/// Time for that.
const DISCARDING: Duration = Duration::from_secs(1);

/// What became of a body that was lent to a handler.
#[derive(Debug, Default)]
enum Lent {
    /// The handler has it.
    #[default]
    Out,
    /// It was not read to its end.
    Unread(Body),
    /// It was given up.
    Broken,
}

/// A lent body, as seen by both sides.
#[derive(Debug, Default)]
struct Record {
    left: Lent,
    /// For what was received, which the handler has in memory until it has answered.
    shares: Vec<Share>,
}

type Loan = Arc<Mutex<Record>>;

/// Reads on what the handler left of the body, if that is little, so that the next request can
/// follow; else has the connection closed.
pub(super) async fn lend(request: Request, bounds: Arc<Bounds>, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let waits_for_continue = request.headers().contains_key(EXPECT);
    let loan = Loan::default();
    let (parts, body) = request.into_parts();
    let lent = Borrowed { body: Some(body), loan: Arc::clone(&loan), bounds, received: 0 };
    let mut response = next.run(Request::from_parts(parts, Body::new(lent))).await;
    let left = std::mem::take(&mut loan.lock().left);
    let is_usable = match left {
        Lent::Out => true,
        Lent::Unread(body) => !waits_for_continue && discard(body).await,
        Lent::Broken => false,
    };
    if !is_usable {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Whether the body has ended, with no more than a little being read.
async fn discard(mut body: Body) -> bool {
    if body.size_hint().lower() > DISCARDED {
        return false;
    }
    let reading = async {
        let mut discarded = 0;
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            discarded += frame.ok()?.data_ref().map_or(0, Bytes::len) as u64;
            if discarded > DISCARDED {
                return None;
            }
        }
        Some(())
    };
    timeout(DISCARDING, reading).await.is_ok_and(|read| read.is_some())
}

/// A body at a handler. What it has of it is within the budget.
#[derive(Debug)]
struct Borrowed {
    body: Option<Body>,
    loan: Loan,
    bounds: Arc<Bounds>,
    received: usize,
}

#[derive(Debug, Error)]
enum Excess {
    #[error("the body is too large")]
    OfOne,
    #[error("the bodies of all requests are too large")]
    OfAll,
}

impl Borrowed {
    /// Counts bytes that have come.
    fn receive(&mut self, bytes: usize) -> Result<(), Excess> {
        self.received += bytes;
        if self.received > BODY_LIMIT {
            return Err(Excess::OfOne);
        }
        if self.received > FREE {
            let mut record = self.loan.lock();
            while self.received > FREE + record.shares.len() * STEP {
                record.shares.push(self.bounds.bodies.take(STEP).ok_or(Excess::OfAll)?);
            }
        }
        Ok(())
    }

    fn leave(&self, left: Lent) {
        self.loan.lock().left = left;
    }
}

impl HttpBody for Borrowed {
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
            self.leave(Lent::Broken);
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

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            self.leave(Lent::Unread(body));
        }
    }
}

/// The whole body of a request.
///
/// # Errors
/// 413 `payload_too_large`, 408 `request_timeout`, 503 `overloaded`, and 400 if it breaks off.
pub(super) async fn read(request: Request) -> Result<Bytes, Problem> {
    let time = request
        .extensions()
        .get::<Arc<Bounds>>()
        .map_or(Bounds::default().limits.body, |b| b.limits.body);
    let body = request.into_body();
    if body.size_hint().lower() > BODY_LIMIT as u64 {
        return Err(too_large());
    }
    let read = timeout(time, collect(body)).await.map_err(|_| limits::body_too_slow(time))?;
    read.map_err(|error| match error.into_inner().downcast_ref::<Excess>() {
        Some(Excess::OfOne) => too_large(),
        Some(Excess::OfAll) => limits::too_many_bodies(),
        None => Problem::malformed("body", "could not be read to its end"),
    })
}

async fn collect(mut body: Body) -> Result<Bytes, axum::Error> {
    let length = body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
    let mut all = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame?.into_data() else { continue };
        if all.is_empty() {
            if length == Some(data.len()) {
                return Ok(data);
            }
            // What is not written to is not in memory.
            all.reserve_exact(length.unwrap_or_default());
        }
        all.extend_from_slice(&data);
    }
    Ok(all.into())
}

/// 413: the body is too large.
pub fn too_large() -> Problem {
    let detail = format!("a body may have at most {BODY_LIMIT} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail)
}
