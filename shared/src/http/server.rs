//! The server: hyper with limits on time and number (axum's own has none), and an orderly end.

mod answer;
mod connection;
mod guest;
mod room;
mod unparsed;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use hyper::server::conn::http1::Builder;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::connection::Host;
use self::room::Room;
use super::limits::{Bounds, Limits};

/// The most a connection reads ahead, in bytes.
const READ_AHEAD: usize = 64 * 1024;
/// The most that the system keeps of an answer for its client, in bytes.
const SEND_BUFFER: u32 = 256 * 1024;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;
/// The most connections of one address that are refused at once.
const REFUSED_PER_ADDRESS: usize = 32;
/// Time for a connection that is one too many to ask, and to be told.
const REFUSAL: Duration = Duration::from_secs(5);

/// Takes the address.
///
/// # Errors
/// It is taken, or not ours; `variable` names the setting it came from.
pub async fn listen(addr: SocketAddr, variable: &str) -> anyhow::Result<TcpListener> {
    bind(addr).with_context(|| cannot_listen(addr, variable))
}

fn bind(addr: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Connections have it from here. Left to itself, the system keeps up to 4 MiB for a client that
    // does not read.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// What is said when an address can't be had; why, is in the error that it is said of.
pub fn cannot_listen(addr: SocketAddr, variable: &str) -> String {
    format!(
        "can't listen on {addr}: if another process is using the port, choose another with {variable}"
    )
}

/// Answers requests until the shutdown, then lets those that run finish.
///
/// A connection that is one too many has the longest unused one closed. If all are at work, it is
/// answered 503, but for `/health`: left waiting unaccepted, its client would not know why nothing
/// happens, and a load balancer not that it is to ask another instance.
///
/// # Errors
/// None at present: a connection's error is its own.
pub async fn serve(
    limits: impl Into<Limits>,
    listener: TcpListener,
    app: Router,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let limits = limits.into();
    let mut http = Builder::new();
    // Who half-closes has asked, and waits for the answer. Times are watched by `connection`.
    http.half_close(true).header_read_timeout(None).max_buf_size(READ_AHEAD);
    let bounds = Bounds::new(limits);
    let host = |limits, refuses| {
        let bounds = bounds.clone();
        Arc::new(Host {
            http: http.clone(),
            limits,
            bounds,
            app: app.clone(),
            shutdown: shutdown.clone(),
            refuses,
        })
    };
    // Sooner than without need.
    let patience = limits.stalled / 6;
    let refused = Limits { headers: REFUSAL, idle: REFUSAL, ..limits };
    let places = [
        (host(limits, false), Room::new(limits.connections, limits.per_address, patience)),
        (
            host(refused, true),
            Room::new(limits.refusals, limits.per_address.min(REFUSED_PER_ADDRESS), patience),
        ),
    ];
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => admit(&mut connections, &places, stream, from),
            Err(error) => {
                // Out of file descriptors, or the client went away already: others may still be
                // served.
                tracing::warn!(%error, "a connection could not be accepted");
                places[0].1.make_room();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.grace, all_ended).await.is_err() {
        tracing::warn!("requests were still running after {:?} and are cut off", limits.grace);
    }
    connections.shutdown().await;
    Ok(())
}

/// Serves a new connection where there is room for it, if there is.
fn admit(
    connections: &mut JoinSet<()>,
    places: &[(Arc<Host>, Arc<Room>)],
    stream: TcpStream,
    from: SocketAddr,
) {
    let _ = stream.set_nodelay(true);
    for (host, room) in places {
        if let Some(seat) = room.admit(from.ip()) {
            connections.spawn(connection::serve(Arc::clone(host), stream, seat));
            return;
        }
        metrics::counter!("passbook_http_connections_refused_total").increment(1);
    }
}
