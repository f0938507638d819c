//! The socket under hyper: notes what happens on it, and withholds what hyper says by itself.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::guest::{Guest, Phase};

/// The most that is kept of what hyper says by itself: a head without a body.
const KEPT: usize = 1024;

/// The socket.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) stream: TcpStream,
    guest: Arc<Guest>,
    /// Head that hyper wrote by itself, for a request that it could not parse.
    pub(super) withheld: Vec<u8>,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, guest: Arc<Guest>) -> Self {
        Self { stream, guest, withheld: Vec::new() }
    }

    /// Whether what is written answers a request that was executed. hyper parses a head only when
    /// all it had to write is written, so anything else is its own answer to what it can't parse.
    fn is_answer(&self) -> bool {
        self.guest.phase() == Phase::Busy
    }

    fn withhold(&mut self, bytes: &[u8]) -> usize {
        let room = KEPT.saturating_sub(self.withheld.len());
        self.withheld.extend_from_slice(&bytes[..bytes.len().min(room)]);
        bytes.len()
    }

    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.guest.wrote(written.is_ready());
        written
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        // Newlines ahead of a request are none (RFC 9112, section 2.2).
        if buf.filled()[before..].iter().any(|byte| !matches!(byte, b'\r' | b'\n')) {
            this.guest.begin_head();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.is_answer() {
            return Poll::Ready(Ok(this.withhold(bytes)));
        }
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.note(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.is_answer() {
            return Poll::Ready(Ok(parts.iter().map(|part| this.withhold(part)).sum()));
        }
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper calls it when all it had to write is written.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.guest.flushed();
        Poll::Ready(Ok(()))
    }

    /// Not yet: there may be something to say, and who closes before the other has read all loses
    /// it.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
