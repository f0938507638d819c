//! `healthcheck` subcommand: asks `/health/ready` of its own service, in containers without curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::body::Body;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::access::client_key::{self, ClientKey};
use crate::config::TlsConfig;

const TIMEOUT: Duration = Duration::from_secs(3);

/// Checks that the service that listens on `addr` with these settings is ready. With a key, an
/// error has the reasons.
///
/// # Errors
/// Fails if the service is not ready or does not answer within 3 s.
pub async fn healthcheck(
    addr: SocketAddr,
    key: Option<&ClientKey>,
    tls: &TlsConfig,
) -> anyhow::Result<()> {
    // An unspecified address can be listened on, but is no portable destination.
    let addr = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, addr.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, addr.port()).into(),
        IpAddr::V4(_) | IpAddr::V6(_) => addr,
    };
    tokio::time::timeout(TIMEOUT, ask(addr, key, tls))
        .await
        .with_context(|| format!("{addr} gave no answer in {TIMEOUT:?}"))?
}

async fn ask(addr: SocketAddr, key: Option<&ClientKey>, tls: &TlsConfig) -> anyhow::Result<()> {
    let stream =
        TcpStream::connect(addr).await.with_context(|| format!("nothing listens on {addr}"))?;
    if tls.scheme() == "http" {
        return ask_over(stream, addr, key).await;
    }
    let connector = TlsConnector::from(Arc::new(tls.own_client()?));
    let stream = connector.connect(addr.ip().into(), stream).await;
    ask_over(stream.with_context(|| format!("the TLS handshake with {addr} failed"))?, addr, key)
        .await
}

async fn ask_over(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    addr: SocketAddr,
    key: Option<&ClientKey>,
) -> anyhow::Result<()> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request =
        hyper::Request::get("/health/ready").header("host", addr.to_string()).body(Body::empty())?;
    request.headers_mut().extend(client_key::headers(key));
    let response = sender.send_request(request).await?;
    if response.status() != hyper::StatusCode::OK {
        let body = axum::body::to_bytes(Body::new(response.into_body()), 64 * 1024).await?;
        bail!("not ready: {}", String::from_utf8_lossy(&body));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
