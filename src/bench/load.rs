//! Load over HTTP: connections that are kept, one request at a time on each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use axum::body::{Body, Bytes};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;
use uuid::Uuid;

use super::samples::Samples;

/// The largest answer that is read, in bytes.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;

/// One connection.
pub(super) struct Connection {
    sender: SendRequest<Body>,
    host: String,
}

impl Connection {
    pub(super) async fn open(addr: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, host: addr.to_string() })
    }

    /// Sends a request and reads the whole answer.
    pub(super) async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let mut request = Request::builder().method(method).uri(path).header("host", &self.host);
        if body.is_some() {
            request = request
                .header("content-type", "application/json")
                .header("idempotency-key", Uuid::new_v4().to_string());
        }
        let request = request.body(body.map_or_else(Body::empty, Body::from))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        Ok((status, axum::body::to_bytes(Body::new(response.into_body()), ANSWER_LIMIT).await?))
    }

    pub(super) async fn get(&mut self, path: &str) -> anyhow::Result<serde_json::Value> {
        let (status, body) = self.send(Method::GET, path, None).await?;
        if status != StatusCode::OK {
            bail!("GET {path}: {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(serde_json::from_slice(&body)?)
    }

    pub(super) async fn created(&mut self, path: &str, body: String) -> anyhow::Result<Bytes> {
        let (status, answer) = self.send(Method::POST, path, Some(body)).await?;
        if status != StatusCode::CREATED {
            bail!("POST {path}: {status}: {}", String::from_utf8_lossy(&answer));
        }
        Ok(answer)
    }

    pub(super) async fn deposit(&mut self, account: Uuid) -> anyhow::Result<Bytes> {
        let body = r#"{"amount":1250,"reference":"invoice 2026-0001"}"#.to_owned();
        self.created(&format!("/v1/accounts/{account}/deposits"), body).await
    }
}

/// Opens so many accounts over 64 connections.
pub(super) async fn open_accounts(addr: SocketAddr, count: usize) -> anyhow::Result<Arc<[Uuid]>> {
    let accounts: Arc<[Uuid]> = (0..count).map(|_| Uuid::new_v4()).collect();
    let tasks: Vec<_> = accounts
        .chunks(count.div_ceil(64))
        .map(|some| {
            let some = some.to_vec();
            tokio::spawn(async move {
                let mut connection = Connection::open(addr).await?;
                for account in some {
                    let body = format!(r#"{{"account_id":"{account}","owner":"bench","currency":"EUR"}}"#);
                    connection.created("/v1/accounts", body).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(accounts)
}

/// Deposits over `connections` connections for some time; at `rate` a second in all, if given, else as fast as they
/// are answered. The times are of answers; at a rate, from when the request was due.
pub(super) async fn deposits(
    addr: SocketAddr,
    connections: usize,
    accounts: &Arc<[Uuid]>,
    time: Duration,
    rate: Option<f64>,
) -> anyhow::Result<(Samples, f64)> {
    let stop = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let pace = rate.map(|rate| Duration::from_secs_f64(fraction(connections, 1) / rate));
    let mut tasks = Vec::new();
    for number in 0..connections {
        let mut connection = Connection::open(addr).await.context("a connection of the load")?;
        let (stop, accounts) = (Arc::clone(&stop), Arc::clone(accounts));
        tasks.push(tokio::spawn(async move {
            let mut samples = Samples::default();
            let mut turn = number;
            let mut due = started + pace.unwrap_or_default().mul_f64(fraction(number, connections));
            while !stop.load(Ordering::Relaxed) {
                match pace {
                    Some(pace) => {
                        tokio::time::sleep_until(due).await;
                        connection.deposit(accounts[turn % accounts.len()]).await?;
                        samples.add(due.elapsed());
                        due += pace;
                    }
                    None => {
                        let sent = Instant::now();
                        connection.deposit(accounts[turn % accounts.len()]).await?;
                        samples.add(sent.elapsed());
                    }
                }
                turn += connections;
            }
            anyhow::Ok(samples)
        }));
    }
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let mut samples = Samples::default();
    for task in tasks {
        samples.merge(task.await??);
    }
    Ok((samples, started.elapsed().as_secs_f64()))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn fraction(part: usize, of: usize) -> f64 {
    part as f64 / of as f64
}
