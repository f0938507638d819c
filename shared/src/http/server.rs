//! The server: hyper with limits on time and number (axum's own has none), and an orderly end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::response::IntoResponse;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::limits::{self, BodyTime, Limits};
use super::observe;

/// The most a connection reads ahead, in bytes.
const READ_AHEAD: usize = 64 * 1024;
/// The most headers of a request.
const MAX_HEADERS: usize = 1_000;
/// How long a connection that is one too many may take to ask, and to be told.
const REFUSAL: Duration = Duration::from_secs(5);

/// Takes the address.
///
/// # Errors
/// It is taken, or not ours; `variable` names the setting it came from.
pub async fn listen(addr: SocketAddr, variable: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr).await.with_context(|| cannot_listen(addr, variable))
}

/// What is said when an address can't be had; why, is in the error that it is said of.
pub fn cannot_listen(addr: SocketAddr, variable: &str) -> String {
    format!("can't listen on {addr}: if another process is using the port, choose another with {variable}")
}

/// Answers requests until the shutdown, then lets those that run finish.
///
/// # Errors
/// None at present: a connection's error is its own.
pub async fn serve(listener: TcpListener, app: Router, shutdown: CancellationToken) -> anyhow::Result<()> {
    serve_within(Limits::default(), listener, app, shutdown).await;
    Ok(())
}

/// The same, with limits of one's own.
///
/// A connection that is one too many is answered 503. Left waiting unaccepted, its client would not know why nothing
/// happens, and a load balancer not that it is to ask another instance.
pub async fn serve_within(limits: Limits, listener: TcpListener, app: Router, shutdown: CancellationToken) {
    let mut http = Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.headers).pipeline_flush(true).max_buf_size(READ_AHEAD);
    // Their size is limited elsewhere, with a problem as the answer.
    http.max_headers(MAX_HEADERS);
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            // Those that have ended make room before another is counted.
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, or the client went away already: others may still be served.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        if connections.len() < limits.connections {
            let router = TowerToHyperService::new(app.clone());
            let service = service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(BodyTime(limits.body));
                router.call(request)
            });
            let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
            connections.spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended");
                }
            });
        } else {
            metrics::counter!("passbook_http_connections_refused_total").increment(1);
            if connections.len() < limits.connections + limits.refusals {
                connections.spawn(refuse(stream));
            }
        }
    }
    drop(listener);
    if timeout(limits.grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still running after {:?} and are cut off", limits.grace);
    }
    connections.shutdown().await;
}

/// Answers the first request with 503, and closes.
async fn refuse(stream: TcpStream) {
    let service = service_fn(|request: Request<Incoming>| async move {
        let mut response = limits::too_many_connections().into_response();
        observe::identify(request.headers(), &mut response);
        Ok::<_, Infallible>(response)
    });
    let connection = Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
    let _ = timeout(REFUSAL, connection).await;
}
