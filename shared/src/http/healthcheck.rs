//! `healthcheck` subcommand: asks `/health/ready` of its own service, in containers without curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use axum::body::Body;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

const TIMEOUT: Duration = Duration::from_secs(3);

/// Checks that the service that listens on `addr` is ready. The listener for operators gives an
/// error its reasons.
///
/// # Errors
/// Fails if the service is not ready or does not answer within 3 s.
pub async fn healthcheck(addr: SocketAddr) -> anyhow::Result<()> {
    // An unspecified address can be listened on, but is no portable destination.
    let addr = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, addr.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, addr.port()).into(),
        IpAddr::V4(_) | IpAddr::V6(_) => addr,
    };
    tokio::time::timeout(TIMEOUT, ask(addr))
        .await
        .with_context(|| format!("{addr} gave no answer in {TIMEOUT:?}"))?
}

async fn ask(addr: SocketAddr) -> anyhow::Result<()> {
    let stream =
        TcpStream::connect(addr).await.with_context(|| format!("nothing listens on {addr}"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request =
        hyper::Request::get("/health/ready").header("host", addr.to_string()).body(Body::empty())?;
    let response = sender.send_request(request).await?;
    if response.status() != hyper::StatusCode::OK {
        let body = axum::body::to_bytes(Body::new(response.into_body()), 64 * 1024).await?;
        bail!("not ready: {}", String::from_utf8_lossy(&body));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
