//! Connection of a client, encrypted or not.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::connection_state::ConnectionState;
use super::stopped;
use crate::shutdown::Stop;
use crate::tls::server::ServerTls;

/// Time limit of a handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Counter of failed handshakes.
const FAILED: &str = "passbook_http_tls_handshakes_failed_total";

/// Connection of a client.
#[derive(Debug)]
pub(super) enum Stream {
    /// Without encryption.
    Plain(Wire),
    /// Within TLS.
    Tls(Box<TlsStream<Wire>>),
}

impl Stream {
    /// Opens the connection: executes the handshake, if there is one. Returns `None` if it fails,
    /// or if the connection is evicted or the service stops before its end.
    pub(super) async fn open(
        tcp: TcpStream,
        tls: Option<&ServerTls>,
        state: &Arc<ConnectionState>,
        stop: &Stop,
    ) -> Option<Self> {
        let wire = Wire { tcp, state: Arc::clone(state) };
        let Some(tls) = tls else { return Some(Self::Plain(wire)) };
        tokio::select! {
            biased;
            shaken = timeout(HANDSHAKE, tls.acceptor().accept(wire)) => match shaken {
                Ok(Ok(stream)) => Some(Self::Tls(Box::new(stream))),
                Ok(Err(error)) => {
                    metrics::counter!(FAILED).increment(1);
                    tracing::debug!(%error, "a TLS handshake failed");
                    None
                }
                Err(_) => {
                    metrics::counter!(FAILED).increment(1);
                    None
                }
            },
            () = state.evicted() => None,
            () = stopped(stop) => None,
        }
    }

    /// Tells the client that no more data follows, unless that would have to wait.
    pub(super) fn finish(mut self) {
        if let Self::Tls(stream) = &mut self {
            // Without this record, the client cannot tell the end from an attack.
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let _ = pin!(stream).poll_shutdown(&mut cx);
        }
    }
}

/// Socket of a client, which notes the progress of writes.
#[derive(Debug)]
pub(super) struct Wire {
    tcp: TcpStream,
    state: Arc<ConnectionState>,
}

impl Wire {
    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.state.wrote(written.is_ready());
        written
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.tcp).poll_write(cx, bytes);
        this.note(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.tcp).poll_write_vectored(cx, parts);
        this.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
