//! Socket under hyper, which notes its requests and responses, and withholds responses that hyper
//! makes itself.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection_state::{ConnectionState, Phase};
use super::stream::Stream;

/// Maximum number of bytes kept of hyper's own response, which is a head without a body.
const MAX_WITHHELD: usize = 1024;

/// Socket under hyper.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) stream: Stream,
    state: Arc<ConnectionState>,
    /// Head of hyper's own response to a request that it could not parse.
    pub(super) withheld: Vec<u8>,
}

impl Socket {
    pub(super) fn new(stream: Stream, state: Arc<ConnectionState>) -> Self {
        Self { stream, state, withheld: Vec::new() }
    }

    /// Returns true if a write belongs to the response of an executed request. hyper parses a head
    /// only after it has written everything, so any other write is its own response to an
    /// unparsable head.
    fn is_response(&self) -> bool {
        self.state.phase() == Phase::Busy
    }

    fn withhold(&mut self, bytes: &[u8]) -> usize {
        let room = MAX_WITHHELD.saturating_sub(self.withheld.len());
        self.withheld.extend_from_slice(&bytes[..bytes.len().min(room)]);
        bytes.len()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        // Empty lines before a request are ignored (RFC 9112, section 2.2).
        if buf.filled()[before..].iter().any(|byte| !matches!(byte, b'\r' | b'\n')) {
            this.state.begin_head();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.is_response() {
            return Poll::Ready(Ok(this.withhold(bytes)));
        }
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.is_response() {
            return Poll::Ready(Ok(parts.iter().map(|part| this.withhold(part)).sum()));
        }
        Pin::new(&mut this.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // hyper flushes after it has written everything.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        this.state.flushed();
        Poll::Ready(Ok(()))
    }

    // The connection's task shuts the socket down later, because it may still write a response of
    // its own.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
