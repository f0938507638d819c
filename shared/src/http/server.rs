//! HTTP server: hyper with limits on time and number of connections, which axum's own server lacks,
//! and an orderly shutdown.

mod admission;
mod connection;
mod connection_state;
mod response_body;
mod socket;
mod stream;
mod unparsed;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use hyper::server::conn::http1::Builder;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use self::admission::Admission;
use self::connection::ServerContext;
use super::limits::{Bounds, Limits};
use crate::shutdown::Stop;
use crate::tls::server::ServerTls;

/// Maximum number of bytes that a connection reads ahead.
const READ_AHEAD: usize = 64 * 1024;
/// Size of the system's send buffer of a connection, in bytes.
const SEND_BUFFER: u32 = 256 * 1024;
/// Maximum number of connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// Maximum number of connections of one address that are being refused.
const REFUSALS_PER_ADDRESS: usize = 32;
/// Time in which a connection beyond the maximum must send its request.
const REFUSAL: Duration = Duration::from_secs(5);

/// Listens on an address. `variable` is the setting that an error names.
///
/// # Errors
/// Fails if the address is in use or not of this machine.
pub async fn listen(addr: SocketAddr, variable: &str) -> anyhow::Result<TcpListener> {
    bind(addr).with_context(|| cannot_listen(addr, variable))
}

fn bind(addr: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Connections inherit it. By default, the system buffers up to 4 MiB for a client that does not
    // read.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Returns the context of an error of [`listen`].
pub fn cannot_listen(addr: SocketAddr, variable: &str) -> String {
    format!(
        "can't listen on {addr}: if another process is using the port, choose another with \
         {variable}"
    )
}

/// Serves requests until the shutdown, then lets running requests finish. With `tls`, it serves
/// HTTPS only. While the service drains,
/// each response closes its connection, so that the client continues elsewhere.
///
/// A connection beyond the maximum evicts the one that has been unused for longest. If all are
/// busy, it gets 503 except for `/health`. An unaccepted connection would tell neither a client nor
/// a load balancer that this instance is full.
///
/// # Errors
/// None at present: an error of a connection ends only that connection.
pub async fn serve(
    limits: impl Into<Limits>,
    listener: TcpListener,
    app: Router,
    tls: Option<ServerTls>,
    stop: impl Into<Stop>,
) -> anyhow::Result<()> {
    let (limits, stop) = (limits.into(), stop.into());
    let admissions = admissions(limits, &app, tls, &stop);
    let mut connections = JoinSet::new();
    let mut stopped = pin!(stopped(&stop));
    loop {
        let accepted = tokio::select! {
            biased;
            // The set keeps ended tasks until they are joined.
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
            // Last: the end of the listener resets connections that are not accepted yet.
            () = &mut stopped => break,
        };
        match accepted {
            Ok((stream, from)) => admit(&mut connections, &admissions, stream, from),
            Err(_) if stop.shutdown.is_cancelled() => break,
            Err(error) => {
                // The process is out of file descriptors, or the client has gone.
                tracing::warn!(%error, "a connection could not be accepted");
                admissions[0].1.evict_one();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    // A client is refused at once instead of waiting for a server that accepts no more.
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.grace, all_ended).await.is_err() {
        tracing::warn!("requests still ran after {:?} and are aborted", limits.grace);
    }
    connections.shutdown().await;
    Ok(())
}

/// Waits until the shutdown, and until the runtime knows of everything that has arrived before.
async fn stopped(stop: &Stop) {
    stop.shutdown.cancelled().await;
    // A task that yields runs again only after the runtime has asked the system for events.
    yield_now().await;
}

/// Returns the admission of connections to serve, and the one of connections to refuse.
fn admissions(
    limits: Limits,
    app: &Router,
    tls: Option<ServerTls>,
    stop: &Stop,
) -> [(Arc<ServerContext>, Arc<Admission>); 2] {
    let mut http = Builder::new();
    // A client that half-closes still waits for its responses. `connection` enforces time limits.
    http.half_close(true).header_read_timeout(None).max_buf_size(READ_AHEAD);
    let served = Arc::new(ServerContext {
        http,
        limits,
        bounds: Bounds::new(limits),
        app: app.clone(),
        tls,
        stop: stop.clone(),
        refuses: false,
    });
    let refused = Arc::new(ServerContext {
        limits: Limits { headers: REFUSAL, idle: REFUSAL, ..limits },
        refuses: true,
        ..ServerContext::clone(&served)
    });
    // A stalled connection is evicted sooner than it would time out.
    let patience = limits.stalled / 6;
    let refused_per_address = limits.per_address.min(REFUSALS_PER_ADDRESS);
    [
        (served, Admission::new(limits.connections, limits.per_address, patience)),
        (refused, Admission::new(limits.refusals, refused_per_address, patience)),
    ]
}

/// Serves a new connection if it is admitted, else refuses it if refusals are not at their maximum.
fn admit(
    connections: &mut JoinSet<()>,
    admissions: &[(Arc<ServerContext>, Arc<Admission>)],
    stream: TcpStream,
    from: SocketAddr,
) {
    // Only the latency depends on it, and a broken socket fails at its first read.
    let _ = stream.set_nodelay(true);
    for (context, admission) in admissions {
        if let Some(slot) = admission.admit(from.ip()) {
            connections.spawn(connection::serve(Arc::clone(context), stream, slot));
            return;
        }
        metrics::counter!("passbook_http_connections_refused_total").increment(1);
    }
}
