//! An answer on its way to hyper.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

use super::guest::Guest;
use crate::http::budget::Share;

/// The most that is handed over at once, in bytes.
const PIECE: usize = 64 * 1024;

/// The body of an answer, in pieces: what hyper has not taken yet holds its share of the budget.
/// Its end, or its being given up, is noted.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    /// Of the body's frame that is handed over now.
    rest: Bytes,
    guest: Arc<Guest>,
    _share: Option<Share>,
}

impl Answer {
    pub(super) fn new(body: Body, guest: Arc<Guest>, share: Option<Share>) -> Self {
        Self { body, rest: Bytes::new(), guest, _share: share }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.guest.hand_over();
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) if frame.data_ref().is_some_and(|data| data.len() > PIECE) => {
                    self.rest = frame.into_data().unwrap_or_default();
                }
                frame => return Poll::Ready(frame),
            }
        }
        let length = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        match hint.exact() {
            Some(exact) => SizeHint::with_exact(exact + rest),
            None => hint,
        }
    }
}
