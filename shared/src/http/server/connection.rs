//! Service of one connection, from its first request to its close.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::server::conn::http1::{Builder, Parts};
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::admission::Slot;
use super::connection_state::{ConnectionState, Overdue, Phase};
use super::response_body::ResponseBody;
use super::socket::Socket;
use super::stopped;
use super::stream::Stream;
use super::unparsed;
use crate::http::audit::Peer;
use crate::http::budget::Share;
use crate::http::limits::{self, Bounds, Limits};
use crate::http::observe;
use crate::shutdown::Stop;
use crate::tls::server::ServerTls;

/// Time for a client to read the last response and to finish sending, before its connection closes.
const LINGER: Duration = Duration::from_secs(2);
/// Maximum number of bytes discarded meanwhile.
const MAX_DISCARDED: u64 = 4 * 1024 * 1024;

/// Dependencies of the service of connections.
#[derive(Debug, Clone)]
pub(super) struct ServerContext {
    pub(super) http: Builder,
    /// Limits of the connections themselves.
    pub(super) limits: Limits,
    /// Bounds of the requests.
    pub(super) bounds: Bounds,
    pub(super) app: Router,
    pub(super) tls: Option<ServerTls>,
    pub(super) stop: Stop,
    /// True for connections beyond the maximum, which get 503 except for `/health`.
    pub(super) refuses: bool,
}

/// Reason for the end of a connection.
enum End {
    Done(hyper::Result<()>),
    Overdue(Overdue),
    /// The connection was evicted in favour of another.
    Evicted,
}

/// Serves a connection until it closes.
pub(super) async fn serve(context: Arc<ServerContext>, stream: TcpStream, slot: Slot) {
    let state = Arc::clone(&slot.state);
    let peer = stream.peer_addr().ok().map(|peer| Peer(peer.ip().to_canonical()));
    // Boxed, so that a handshake does not enlarge the future of every connection.
    let opening = Box::pin(Stream::open(stream, context.tls.as_ref(), &state, &context.stop));
    let Some(stream) = opening.await else { return };
    let service = {
        let (context, state) = (Arc::clone(&context), Arc::clone(&state));
        let bounds = Arc::new(context.bounds.of(state.address));
        service_fn(move |request| {
            let (context, bounds) = (Arc::clone(&context), Arc::clone(&bounds));
            respond(context, bounds, Arc::clone(&state), with_peer(request, peer))
        })
    };
    let socket = Socket::new(stream, Arc::clone(&state));
    let mut connection = context.http.serve_connection(TokioIo::new(socket), service);
    let end = watch(&mut connection, &state, &context).await;
    let Parts { io, read_buf, .. } = connection.into_parts();
    let Socket { stream, withheld, .. } = io.into_inner();
    let last = match end {
        End::Done(Ok(())) => None,
        End::Done(Err(error)) => {
            tracing::debug!(%error, "a connection ended");
            unparsed::response(&error, &withheld, &read_buf)
        }
        End::Overdue(Overdue::Head) => Some(unparsed::too_slow(&context.limits)),
        // No last response: there is no request, or the client does not read.
        End::Overdue(Overdue::Idle | Overdue::Stalled) | End::Evicted => {
            return stream.finish();
        }
    };
    if last.is_some() || state.lingers() {
        // Boxed, so that its buffer does not enlarge the future of every connection.
        Box::pin(close(stream, &last.unwrap_or_default(), &state)).await;
    } else {
        stream.finish();
    }
}

fn with_peer(mut request: Request<Incoming>, peer: Option<Peer>) -> Request<Incoming> {
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer);
    }
    request
}

/// Executes a request.
async fn respond(
    context: Arc<ServerContext>,
    bounds: Arc<Bounds>,
    state: Arc<ConnectionState>,
    mut request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    if !state.begin_response() {
        // The connection is evicted and about to close.
        return std::future::pending().await;
    }
    let is_refused = context.refuses && !request.uri().path().starts_with("/health/");
    let mut response = if is_refused {
        let mut response = limits::too_many_connections().into_response();
        observe::identify(request.headers(), &mut response);
        response
    } else {
        request.extensions_mut().insert(Arc::clone(&bounds));
        let Ok(response) = TowerToHyperService::new(context.app.clone()).call(request).await;
        response
    };
    if is_refused || context.stop.draining.is_cancelled() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if response.headers().get(CONNECTION).is_some_and(|value| value == "close") {
        state.linger();
    }
    // Kept by the body, because the memory is in use until it is written.
    let share = response.extensions_mut().remove::<Share>();
    Ok(response.map(|body: Body| ResponseBody::new(body, state, share)))
}

/// Drives a connection until it ends, is evicted or exceeds a time limit.
async fn watch<S>(
    connection: &mut hyper::server::conn::http1::Connection<TokioIo<Socket>, S>,
    state: &ConnectionState,
    context: &ServerContext,
) -> End
where
    S: Service<Request<Incoming>, Response = Response<ResponseBody>, Error = Infallible>,
{
    let (mut stopped, mut evicted) = (pin!(stopped(&context.stop)), pin!(state.evicted()));
    let (mut is_stopping, mut is_last) = (false, false);
    let mut timer = pin!(sleep_until(Instant::now() + context.limits.idle));
    poll_fn(|cx| {
        is_stopping = is_stopping || stopped.as_mut().poll(cx).is_ready();
        if let Poll::Ready(done) = Pin::new(&mut *connection).poll(cx) {
            return Poll::Ready(End::Done(done));
        }
        // hyper would also close a connection on which a part of a request has arrived.
        if is_stopping && !is_last && state.phase() != Phase::Head {
            is_last = true;
            Pin::new(&mut *connection).graceful_shutdown();
            if let Poll::Ready(done) = Pin::new(&mut *connection).poll(cx) {
                return Poll::Ready(End::Done(done));
            }
        }
        if evicted.as_mut().poll(cx).is_ready() {
            return Poll::Ready(End::Evicted);
        }
        loop {
            // The timer is set earlier at once, but later only when it fires: setting it for every
            // request would be expensive.
            let due = state.due(&context.limits);
            if let Some((at, _)) = due.filter(|(at, _)| *at < timer.deadline()) {
                timer.as_mut().reset(at);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            match due {
                Some((at, late)) if at <= now => return Poll::Ready(End::Overdue(late)),
                Some((at, _)) => timer.as_mut().reset(at),
                None => timer.as_mut().reset(now + context.limits.idle),
            }
        }
    })
    .await
}

/// Sends the last response, and closes after the client had time to read it. A socket that closes
/// with unread input resets the connection, and the client loses the response.
async fn close(mut stream: Stream, last: &[u8], state: &ConnectionState) {
    if !state.begin_closing() {
        return;
    }
    let closing = async {
        stream.write_all(last).await?;
        stream.shutdown().await?;
        let mut discarded = 0;
        let mut buffer = [0; 4096];
        while discarded < MAX_DISCARDED {
            match stream.read(&mut buffer).await? {
                0 => break,
                length => discarded += length as u64,
            }
        }
        std::io::Result::Ok(())
    };
    tokio::select! {
        _ = timeout(LINGER, closing) => {}
        () = state.evicted() => {}
    }
}
