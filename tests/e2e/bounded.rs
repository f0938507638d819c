//! Bounds of memory and of waiting, measured on service processes. Every figure is printed.

/// Commands while readers read.
mod fairness;
/// Accounts with many holds.
mod holds;
/// Hostile clients.
mod memory;
/// More clients than the service can serve.
mod overload;
/// One principal that sends as much as it can.
mod shares;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::client::Client;
use crate::environment::{Environment, Service};
use crate::infrastructure::known;

const MIB: u64 = 1024 * 1024;
const LIVE: &str = "GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Sampler of a process's resident memory, until dropped.
struct Peak {
    before: u64,
    most: Arc<AtomicU64>,
    sampling: JoinHandle<()>,
}

impl Peak {
    fn of(service: &Service) -> anyhow::Result<Self> {
        let process = service.id()?;
        let before = resident(process)?;
        let most = Arc::new(AtomicU64::new(before));
        let seen = Arc::clone(&most);
        let sampling = tokio::spawn(async move {
            while let Ok(now) = resident(process) {
                seen.fetch_max(now, Ordering::Relaxed);
                sleep(Duration::from_millis(10)).await;
            }
        });
        Ok(Self { before, most, sampling })
    }

    /// Returns the growth from the start to the peak, in MiB.
    fn added(&self) -> u64 {
        (self.most.load(Ordering::Relaxed) - self.before).div_ceil(MIB)
    }
}

impl Drop for Peak {
    fn drop(&mut self) {
        self.sampling.abort();
    }
}

/// Returns the resident memory of a process, in bytes.
fn resident(process: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// Connects from 127.0.0.`last`, with a small receive buffer.
async fn connect(addr: SocketAddr, last: u8) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into())?;
    Ok(socket.connect(addr).await?)
}

/// Sends a request over a new connection, and returns the beginning of the answer.
async fn exchange(addr: SocketAddr, last: u8, request: &str) -> anyhow::Result<String> {
    let mut stream = connect(addr, last).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = vec![0; 4096];
    let length = timeout(Duration::from_secs(10), stream.read(&mut answer)).await??;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

fn post(path: &str, body: &str) -> anyhow::Result<String> {
    let (length, known) = (body.len(), known()?);
    Ok(format!(
        "POST {path} HTTP/1.1\r\n{known}content-type: application/json\r\ncontent-length: \
        {length}\r\n\r\n{body}"
    ))
}

/// Makes 5,000 deposits on one account, of some 750 bytes each in the feed. Returns the account.
async fn full_partition(client: &Client) -> anyhow::Result<Uuid> {
    let account = client.open().await?;
    let text = "x".repeat(420);
    for _ in 0..5 {
        let deposit =
            json!({"type": "deposit", "account_id": account, "amount": 1, "metadata": {"a": text}});
        let answer =
            client.post("/v1/commands", None, &json!({"commands": vec![deposit; 1_000]})).await?;
        ensure!(answer.status() == 200, "{}", answer.text().await?);
    }
    Ok(account)
}
