//! Load over HTTP on persistent connections, one request at a time on each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use axum::body::{Body, Bytes};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::AUTHORIZATION;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use uuid::Uuid;

use crate::keys;
use crate::samples::Samples;
use crate::tls;

/// Maximum size of a response, in bytes.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;
/// Commands in a bulk request.
pub(crate) const BULK: usize = 100;

/// A persistent HTTP connection.
pub(crate) struct Connection {
    sender: SendRequest<Body>,
    host: String,
}

impl Connection {
    pub(crate) async fn open(addr: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        match tls::connector() {
            None => Self::over(stream, addr).await,
            Some(tls) => Self::over(tls.connect(addr.ip().into(), stream).await?, addr).await,
        }
    }

    async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        addr: SocketAddr,
    ) -> anyhow::Result<Self> {
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, host: addr.to_string() })
    }

    /// Sends a request and reads the whole response.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Option<String>,
        key: Option<Uuid>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let mut request = Request::builder().method(method).uri(path).header("host", &self.host);
        if let Some(key) = keys::operator() {
            request = request.header(AUTHORIZATION, key.header());
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key.to_string());
        }
        let request = request.body(body.map_or_else(Body::empty, Body::from))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        Ok((status, axum::body::to_bytes(Body::new(response.into_body()), ANSWER_LIMIT).await?))
    }

    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<serde_json::Value> {
        let (status, body) = self.send(Method::GET, path, None, None).await?;
        if status != StatusCode::OK {
            bail!("GET {path}: {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(serde_json::from_slice(&body)?)
    }

    pub(crate) async fn created(&mut self, path: &str, body: String) -> anyhow::Result<Bytes> {
        let (status, answer) =
            self.send(Method::POST, path, Some(body), Some(Uuid::new_v4())).await?;
        if status != StatusCode::CREATED {
            bail!("POST {path}: {status}: {}", String::from_utf8_lossy(&answer));
        }
        Ok(answer)
    }

    pub(crate) async fn deposit(&mut self, account: Uuid) -> anyhow::Result<Bytes> {
        let body = r#"{"amount":1250,"reference":"invoice 2026-0001"}"#.to_owned();
        self.created(&format!("/v1/accounts/{account}/deposits"), body).await
    }

    async fn transfer(&mut self, from: Uuid, to: Uuid) -> anyhow::Result<()> {
        let body = format!(
            r#"{{"from":"{from}","to":"{to}","amount":1250,"reference":"invoice 2026-0001"}}"#
        );
        self.created("/v1/transfers", body).await.map(drop)
    }

    async fn hold_and_capture(&mut self, account: Uuid) -> anyhow::Result<()> {
        let (holds, hold) = (format!("/v1/accounts/{account}/holds"), Uuid::new_v4());
        self.created(
            &holds,
            format!(r#"{{"hold_id":"{hold}","amount":1250,"reference":"room 12"}}"#),
        )
        .await?;
        self.created(&format!("{holds}/{hold}/capture"), r#"{"amount":1000}"#.to_owned())
            .await
            .map(drop)
    }

    /// Sends commands in one request.
    pub(crate) async fn bulk(&mut self, commands: Vec<serde_json::Value>) -> anyhow::Result<()> {
        const DONE: &[u8] = br#""status":201,"#;
        let count = commands.len();
        let body = serde_json::json!({ "commands": commands }).to_string();
        let (status, answer) = self.send(Method::POST, "/v1/commands", Some(body), None).await?;
        let done = answer.windows(DONE.len()).filter(|part| *part == DONE).count();
        if status != StatusCode::OK || done != count {
            bail!("POST /v1/commands: {status}: {}", String::from_utf8_lossy(&answer));
        }
        Ok(())
    }
}

/// Commands of a load, each on the next of the accounts.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// Deposits.
    Deposits(Arc<[Uuid]>),
    /// Transfers between the accounts.
    Transfers(Arc<[Uuid]>),
    /// Holds with a partial capture each: two requests.
    Holds(Arc<[Uuid]>),
    /// Bulk requests of this number of deposits.
    Bulk(Arc<[Uuid]>, usize),
}

impl Work {
    /// Number of commands in the time of one sample.
    pub(crate) fn commands_per_sample(&self) -> usize {
        match self {
            Self::Deposits(_) | Self::Transfers(_) => 1,
            Self::Holds(_) => 2,
            Self::Bulk(_, size) => *size,
        }
    }

    async fn once(&self, connection: &mut Connection, turn: usize) -> anyhow::Result<()> {
        match self {
            Self::Deposits(accounts) => {
                connection.deposit(accounts[turn % accounts.len()]).await.map(drop)
            }
            Self::Transfers(accounts) => {
                // At least one step, because no account can send money to itself.
                let (from, steps) =
                    (turn % accounts.len(), 1 + turn / accounts.len() % (accounts.len() - 1));
                connection.transfer(accounts[from], accounts[(from + steps) % accounts.len()]).await
            }
            Self::Holds(accounts) => {
                connection.hold_and_capture(accounts[turn % accounts.len()]).await
            }
            Self::Bulk(accounts, size) => {
                let deposit = |n| {
                    serde_json::json!({
                        "type": "deposit",
                        "account_id": accounts[(turn * size + n) % accounts.len()],
                        "idempotency_key": Uuid::new_v4(),
                        "amount": 1250,
                        "reference": "invoice 2026-0001",
                    })
                };
                connection.bulk((0..*size).map(deposit).collect()).await
            }
        }
    }
}

/// Sends commands over `connections` connections for `time`, at `rate` a second or else as fast as
/// responses arrive. Returns latencies and elapsed seconds. A latency at a rate starts when its
/// request was due, so that a stall counts against all requests it delays.
pub(crate) async fn load(
    addr: SocketAddr,
    connections: usize,
    work: &Work,
    time: Duration,
    rate: Option<f64>,
) -> anyhow::Result<(Samples, f64)> {
    let stop = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let pace = rate.map(|rate| Duration::from_secs_f64(fraction(connections, 1) / rate));
    let mut tasks = Vec::new();
    for number in 0..connections {
        let mut connection = Connection::open(addr).await.context("cannot connect the load")?;
        let (stop, work) = (Arc::clone(&stop), work.clone());
        tasks.push(tokio::spawn(async move {
            let mut samples = Samples::default();
            let mut turn = number;
            // Spread over one interval, so that the connections do not send all at once.
            let mut due = started + pace.unwrap_or_default().mul_f64(fraction(number, connections));
            while !stop.load(Ordering::Relaxed) {
                match pace {
                    Some(pace) => {
                        tokio::time::sleep_until(due).await;
                        work.once(&mut connection, turn).await?;
                        samples.add(due.elapsed());
                        due += pace;
                    }
                    None => {
                        let sent = Instant::now();
                        work.once(&mut connection, turn).await?;
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
