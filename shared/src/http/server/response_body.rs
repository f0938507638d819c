//! Body of a response on its way to hyper.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

use super::connection_state::ConnectionState;
use crate::http::budget::Share;

/// Maximum length of a frame, in bytes.
const MAX_FRAME: usize = 64 * 1024;

/// Body in frames of limited length. It holds its share of the budget until hyper has taken all of
/// it. Its drop is noted, which means the end of the response or of the connection.
#[derive(Debug)]
pub(super) struct ResponseBody {
    body: Body,
    /// Rest of the frame that is being passed on.
    rest: Bytes,
    state: Arc<ConnectionState>,
    _share: Option<Share>,
}

impl ResponseBody {
    pub(super) fn new(body: Body, state: Arc<ConnectionState>, share: Option<Share>) -> Self {
        Self { body, rest: Bytes::new(), state, _share: share }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.state.end_body();
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) if frame.data_ref().is_some_and(|data| data.len() > MAX_FRAME) => {
                    self.rest = frame.into_data().unwrap_or_default();
                }
                frame => return Poll::Ready(frame),
            }
        }
        let length = self.rest.len().min(MAX_FRAME);
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
