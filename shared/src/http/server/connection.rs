//! One connection, from its first request to its end.

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
use tokio_util::sync::CancellationToken;

use super::answer::Answer;
use super::guest::{Guest, Late};
use super::room::Seat;
use super::unparsed;
use super::wire::Wire;
use crate::http::budget::Share;
use crate::http::limits::{self, Bounds, Limits};
use crate::http::observe;

/// Time for a client to read the last answer before its connection is closed, and to send what it
/// was sending.
const LINGER: Duration = Duration::from_secs(2);
/// The most that is discarded meanwhile, in bytes.
const DISCARDED: u64 = 4 * 1024 * 1024;

/// What connections are served with.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) http: Builder,
    /// For connections.
    pub(super) limits: Limits,
    /// For requests.
    pub(super) bounds: Bounds,
    pub(super) app: Router,
    pub(super) shutdown: CancellationToken,
    /// One too many: only health is answered.
    pub(super) refuses: bool,
}

/// Why a connection is over.
enum End {
    Done(hyper::Result<()>),
    Late(Late),
    /// Others need the room.
    Left,
}

/// Serves a connection to its end.
pub(super) async fn serve(host: Arc<Host>, stream: TcpStream, seat: Seat) {
    let guest = Arc::clone(&seat.guest);
    let service = {
        let (host, guest) = (Arc::clone(&host), Arc::clone(&guest));
        let bounds = Arc::new(host.bounds.of(guest.address));
        service_fn(move |request| {
            answer(Arc::clone(&host), Arc::clone(&bounds), Arc::clone(&guest), request)
        })
    };
    let wire = Wire::new(stream, Arc::clone(&guest));
    let mut connection = host.http.serve_connection(TokioIo::new(wire), service);
    let end = watch(&mut connection, &guest, &host).await;
    let Parts { io, read_buf, .. } = connection.into_parts();
    let Wire { stream, withheld, .. } = io.into_inner();
    let last = match end {
        End::Done(Ok(())) => None,
        End::Done(Err(error)) => {
            tracing::debug!(%error, "a connection ended");
            unparsed::answer(&error, &withheld, &read_buf)
        }
        End::Late(Late::Head) => Some(unparsed::too_slow(&host.limits)),
        End::Late(Late::Idle | Late::Stalled) | End::Left => return,
    };
    if last.is_some() || guest.lingers() {
        // Apart: its buffer is not to be part of each connection.
        Box::pin(close(stream, &last.unwrap_or_default(), &guest)).await;
    }
}

/// Answers a request.
async fn answer(
    host: Arc<Host>,
    bounds: Arc<Bounds>,
    guest: Arc<Guest>,
    mut request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    if !guest.begin_answer() {
        // The connection is about to be closed, and the request is not executed.
        return std::future::pending().await;
    }
    let mut response = if host.refuses && !request.uri().path().starts_with("/health/") {
        let mut response = limits::too_many_connections().into_response();
        observe::identify(request.headers(), &mut response);
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    } else {
        request.extensions_mut().insert(Arc::clone(&bounds));
        let Ok(response) = TowerToHyperService::new(host.app.clone()).call(request).await;
        response
    };
    if response.headers().get(CONNECTION).is_some_and(|value| value == "close") {
        guest.linger();
    }
    let share = response.extensions_mut().remove::<Share>();
    Ok(response.map(|body: Body| Answer::new(body, guest, share)))
}

/// Drives a connection until it is done or has to end.
async fn watch<S>(
    connection: &mut hyper::server::conn::http1::Connection<TokioIo<Wire>, S>,
    guest: &Guest,
    host: &Host,
) -> End
where
    S: Service<Request<Incoming>, Response = Response<Answer>, Error = Infallible>,
{
    let (mut stop, mut leave) = (pin!(host.shutdown.cancelled()), pin!(guest.asked_to_leave()));
    let mut stopping = false;
    let mut timer = pin!(sleep_until(Instant::now() + host.limits.idle));
    poll_fn(|cx| {
        if !stopping && stop.as_mut().poll(cx).is_ready() {
            stopping = true;
            Pin::new(&mut *connection).graceful_shutdown();
        }
        if let Poll::Ready(done) = Pin::new(&mut *connection).poll(cx) {
            return Poll::Ready(End::Done(done));
        }
        if leave.as_mut().poll(cx).is_ready() {
            return Poll::Ready(End::Left);
        }
        loop {
            // Brought forward where need be, and else corrected when it fires: no request pays for
            // it.
            let due = guest.due(&host.limits);
            if let Some((at, _)) = due.filter(|(at, _)| *at < timer.deadline()) {
                timer.as_mut().reset(at);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            match due {
                Some((at, late)) if at <= now => return Poll::Ready(End::Late(late)),
                Some((at, _)) => timer.as_mut().reset(at),
                None => timer.as_mut().reset(now + host.limits.idle),
            }
        }
    })
    .await
}

/// Sends the last words, and closes once the client has had the time to read them: a socket that is
/// closed with something unread takes them back.
async fn close(mut stream: TcpStream, last: &[u8], guest: &Guest) {
    if !guest.begin_closing() {
        return;
    }
    let closing = async {
        stream.write_all(last).await?;
        stream.shutdown().await?;
        let mut discarded = 0;
        let mut buffer = [0; 4096];
        while discarded < DISCARDED {
            match stream.read(&mut buffer).await? {
                0 => break,
                length => discarded += length as u64,
            }
        }
        std::io::Result::Ok(())
    };
    tokio::select! {
        _ = timeout(LINGER, closing) => {}
        () = guest.asked_to_leave() => {}
    }
}
