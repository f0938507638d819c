//! Many clients that deposit and withdraw, each command with its own key, and record what was
//! acknowledged. As the contract asks, a client sends a command again if it gets no answer, a 409
//! or a 503.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use passbook_shared::shutdown::CancellationToken;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use crate::client::Client;
use crate::process::eventually;

/// Pause of a client between two commands. The tests are about faults, not about throughput.
const PAUSE: Duration = Duration::from_millis(8);
/// Pause of a client before it sends a command again.
const AGAIN: Duration = Duration::from_millis(50);

/// Command that was answered with 201.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledged {
    pub(crate) account: Uuid,
    pub(crate) key: String,
    pub(crate) position: String,
    pub(crate) version: i64,
}

/// Clients that write until they are stopped.
pub(crate) struct Load {
    clients: JoinSet<anyhow::Result<()>>,
    end: CancellationToken,
    done: Arc<Mutex<Vec<Acknowledged>>>,
    count: Arc<AtomicUsize>,
    /// Last answer other than 201.
    failure: Arc<Mutex<String>>,
}

impl Load {
    /// Opens `accounts` accounts and starts `clients` clients that move money on them.
    pub(crate) async fn start(
        client: &Client,
        clients: usize,
        accounts: usize,
    ) -> anyhow::Result<Self> {
        Self::start_with(client, clients, accounts, PAUSE).await
    }

    /// Starts a load whose clients pause for `pause` between two commands.
    pub(crate) async fn start_with(
        client: &Client,
        clients: usize,
        accounts: usize,
        pause: Duration,
    ) -> anyhow::Result<Self> {
        let mut opened = Vec::new();
        for _ in 0..accounts {
            opened.push(client.open().await?);
        }
        let opened: Arc<[Uuid]> = opened.into();
        let mut load = Self {
            clients: JoinSet::new(),
            end: CancellationToken::new(),
            done: Arc::default(),
            count: Arc::default(),
            failure: Arc::default(),
        };
        for number in 0..clients {
            let (client, opened, end) = (client.clone(), Arc::clone(&opened), load.end.clone());
            let (done, count, failure) =
                (Arc::clone(&load.done), Arc::clone(&load.count), Arc::clone(&load.failure));
            load.clients.spawn(async move {
                let mut turn = number;
                while !end.is_cancelled() {
                    turn += 1;
                    let account = opened[turn % opened.len()];
                    let acknowledged = send(&client, account, turn, &failure).await?;
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(acknowledged);
                    count.fetch_add(1, Ordering::Relaxed);
                    sleep(pause).await;
                }
                Ok(())
            });
        }
        Ok(load)
    }

    /// Returns the number of commands acknowledged so far.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until `more` further commands have been acknowledged.
    pub(crate) async fn further(&self, more: usize) -> anyhow::Result<()> {
        let goal = self.count() + more;
        eventually("commands are acknowledged", async || {
            let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            anyhow::ensure!(
                self.count() >= goal,
                "{} of {goal}; the last failure: {failure}",
                self.count()
            );
            Ok(())
        })
        .await
    }

    /// Stops each client once its last command is acknowledged, and returns all acknowledged
    /// commands.
    pub(crate) async fn stop(mut self) -> anyhow::Result<Vec<Acknowledged>> {
        self.end.cancel();
        while let Some(ended) = self.clients.join_next().await {
            ended??;
        }
        Ok(std::mem::take(&mut self.done.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Sends one command until it is acknowledged.
async fn send(
    client: &Client,
    account: Uuid,
    turn: usize,
    failure: &Mutex<String>,
) -> anyhow::Result<Acknowledged> {
    let key = Uuid::new_v4().to_string();
    // The initial deposit is large: no withdrawal is refused.
    let route = if turn.is_multiple_of(3) { "withdrawals" } else { "deposits" };
    let amount = 1 + turn % 7;
    let path = format!("/v1/accounts/{account}/{route}");
    let body = json!({"amount": amount, "reference": format!("turn {turn}")});
    eventually("a command is acknowledged", async || {
        let response = match client.post(&path, Some(&key), &body).await {
            Ok(response) => response,
            Err(error) => {
                sleep(AGAIN).await;
                return Err(error);
            }
        };
        let status = response.status();
        let text = response.text().await?;
        if status != StatusCode::CREATED {
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = format!("{status}: {text}");
        }
        match status {
            StatusCode::CREATED => acknowledged(account, &key, &text).map(Ok),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::CONFLICT => {
                sleep(AGAIN).await;
                bail!("{status}: {text}")
            }
            _ => Ok(Err(anyhow::anyhow!("POST {path}: {status}: {text}"))),
        }
    })
    .await?
}

fn acknowledged(account: Uuid, key: &str, body: &str) -> anyhow::Result<Acknowledged> {
    let answer: Value = serde_json::from_str(body)?;
    let position = answer["position"].as_str().context("no position")?.to_owned();
    let version = answer["version"].as_i64().context("no version")?;
    Ok(Acknowledged { account, key: key.to_owned(), position, version })
}
