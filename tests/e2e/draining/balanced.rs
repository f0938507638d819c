//! HTTP client behind a load balancer. It connects to a ready instance, keeps its connection until
//! a response closes it, and connects elsewhere only if a connection is refused. It sends a request
//! again after a 503, once `Retry-After` has passed, and never otherwise. It gives up a connection
//! without requests before a drain could end in that time.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use passbook_shared::http::healthcheck::healthcheck;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::infrastructure::known;
use crate::process::eventually;

/// Pause between two questions about readiness.
const PROBE: Duration = Duration::from_millis(50);
/// Longest time for which a connection without requests is kept, shorter than the drain.
const IDLE: Duration = Duration::from_millis(500);

/// Knows which instances are ready. Its probes end when it is dropped.
pub(super) struct Balancer {
    instances: Vec<Arc<Instance>>,
    closed: AtomicUsize,
    unavailable: AtomicUsize,
}

struct Instance {
    address: SocketAddr,
    is_ready: AtomicBool,
}

impl Balancer {
    pub(super) fn start(addresses: impl Iterator<Item = SocketAddr>) -> Arc<Self> {
        let instance = |address| Arc::new(Instance { address, is_ready: AtomicBool::new(true) });
        let instances: Vec<_> = addresses.map(instance).collect();
        for instance in &instances {
            let instance = Arc::downgrade(instance);
            tokio::spawn(async move {
                while let Some(instance) = instance.upgrade() {
                    let is_ready = healthcheck(instance.address).await.is_ok();
                    instance.is_ready.store(is_ready, Ordering::Relaxed);
                    drop(instance);
                    sleep(PROBE).await;
                }
            });
        }
        let (closed, unavailable) = Default::default();
        Arc::new(Self { instances, closed, unavailable })
    }

    /// Waits until all instances are known as ready.
    pub(super) async fn both_ready(balancers: [&Self; 2]) -> anyhow::Result<()> {
        eventually("the balancers know that the instances are ready", async || {
            let mut instances = balancers.iter().flat_map(|balancer| &balancer.instances);
            ensure!(instances.all(|instance| instance.is_ready.load(Ordering::Relaxed)));
            Ok(())
        })
        .await
    }

    /// Returns the number of connections that a response has closed.
    pub(super) fn closed(&self) -> usize {
        self.closed.load(Ordering::Relaxed)
    }

    /// Returns the number of responses that asked to send the request again.
    pub(super) fn unavailable(&self) -> usize {
        self.unavailable.load(Ordering::Relaxed)
    }

    /// Connects to a ready instance, or else to another one.
    async fn connect(&self) -> anyhow::Result<TcpStream> {
        let mut instances: Vec<_> = self.instances.iter().collect();
        instances.sort_by_key(|instance| !instance.is_ready.load(Ordering::Relaxed));
        for instance in instances {
            match TcpStream::connect(instance.address).await {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                connected => return Ok(connected?),
            }
        }
        bail!("all instances refuse connections")
    }
}

/// One client, with at most one connection.
pub(super) struct Balanced {
    balancer: Arc<Balancer>,
    /// Connection, and the time of its last response.
    connection: Option<(BufReader<TcpStream>, Instant)>,
}

impl Balanced {
    pub(super) fn new(balancer: Arc<Balancer>) -> Self {
        Self { balancer, connection: None }
    }

    /// Sends a request, and returns the status and the body of its response.
    ///
    /// # Errors
    /// The connection breaks before the end of the response, or a 503 does not say when to send the
    /// request again.
    pub(super) async fn exchange(
        &mut self,
        head: &str,
        body: &str,
    ) -> anyhow::Result<(u16, String)> {
        loop {
            let (response, answer) = self.exchange_once(head, body).await?;
            if response.status != 503 {
                return Ok((response.status, answer));
            }
            self.balancer.unavailable.fetch_add(1, Ordering::Relaxed);
            let pause =
                response.retry_after.with_context(|| format!("no Retry-After: {answer}"))?;
            sleep(Duration::from_secs(pause)).await;
        }
    }

    async fn exchange_once(
        &mut self,
        head: &str,
        body: &str,
    ) -> anyhow::Result<(Response, String)> {
        let mut connection = match self.connection.take() {
            Some((connection, last)) if last.elapsed() < IDLE => connection,
            _ => BufReader::new(self.balancer.connect().await?),
        };
        let request = format!("{head}{}\r\n{body}", known()?);
        connection.write_all(request.as_bytes()).await.context("the request is not sent")?;
        let response = read_head(&mut connection).await?;
        let mut answer = vec![0; response.length];
        connection.read_exact(&mut answer).await.context("the response is not complete")?;
        if response.closes {
            self.balancer.closed.fetch_add(1, Ordering::Relaxed);
        } else {
            self.connection = Some((connection, Instant::now()));
        }
        Ok((response, String::from_utf8(answer)?))
    }
}

/// Head of a response.
struct Response {
    status: u16,
    /// Length of the body.
    length: usize,
    /// True if it closes the connection.
    closes: bool,
    /// Pause before the request is sent again, in seconds.
    retry_after: Option<u64>,
}

async fn read_head(connection: &mut BufReader<TcpStream>) -> anyhow::Result<Response> {
    let (mut head, mut line) = (Vec::new(), String::new());
    loop {
        line.clear();
        let read = connection.read_line(&mut line).await.context("no response")?;
        ensure!(read > 0, "the connection closed after {head:?}");
        if line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_ascii_lowercase());
    }
    let status = head[0].split(' ').nth(1).with_context(|| head[0].clone())?.parse()?;
    let field = |name: &str| head.iter().find_map(|line| line.strip_prefix(name));
    let length = field("content-length: ").context("no content-length")?.parse()?;
    let closes = field("connection: ") == Some("close");
    let retry_after = field("retry-after: ").map(str::parse).transpose()?;
    Ok(Response { status, length, closes, retry_after })
}
