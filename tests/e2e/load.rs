//! Many clients that deposit and withdraw, each command with a key of its own, and remember what was acknowledged.
//! A client that gets no answer, or is told to come again, sends the same command again, as the contract asks.

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

/// Between two commands of a client: the point is faults, not figures.
const PAUSE: Duration = Duration::from_millis(8);
/// Before a command is sent again.
const AGAIN: Duration = Duration::from_millis(50);

/// A command that was answered 201.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledged {
    pub(crate) account: Uuid,
    pub(crate) key: String,
    pub(crate) position: String,
    pub(crate) version: i64,
}

/// Clients at work.
pub(crate) struct Load {
    clients: JoinSet<anyhow::Result<()>>,
    end: CancellationToken,
    done: Arc<Mutex<Vec<Acknowledged>>>,
    count: Arc<AtomicUsize>,
    /// The last answer to a command that was not acknowledged.
    trouble: Arc<Mutex<String>>,
}

impl Load {
    /// Opens `accounts` accounts, and has `clients` clients move money on them until told to stop.
    pub(crate) async fn start(
        client: &Client,
        clients: usize,
        accounts: usize,
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
            trouble: Arc::default(),
        };
        for number in 0..clients {
            let (client, opened, end) = (client.clone(), Arc::clone(&opened), load.end.clone());
            let (done, count, trouble) =
                (Arc::clone(&load.done), Arc::clone(&load.count), Arc::clone(&load.trouble));
            load.clients.spawn(async move {
                let mut turn = number;
                while !end.is_cancelled() {
                    turn += 1;
                    let account = opened[turn % opened.len()];
                    let acknowledged = send(&client, account, turn, &trouble).await?;
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(acknowledged);
                    count.fetch_add(1, Ordering::Relaxed);
                    sleep(PAUSE).await;
                }
                Ok(())
            });
        }
        Ok(load)
    }

    /// How many commands were acknowledged so far.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until `more` further commands have been acknowledged.
    pub(crate) async fn further(&self, more: usize) -> anyhow::Result<()> {
        let goal = self.count() + more;
        eventually("commands are acknowledged", async || {
            let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            anyhow::ensure!(
                self.count() >= goal,
                "{} of {goal}; the last trouble: {trouble}",
                self.count()
            );
            Ok(())
        })
        .await
    }

    /// Lets each client have its last command answered, and gives what was acknowledged.
    pub(crate) async fn stop(mut self) -> anyhow::Result<Vec<Acknowledged>> {
        self.end.cancel();
        while let Some(ended) = self.clients.join_next().await {
            ended??;
        }
        Ok(std::mem::take(&mut self.done.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// One command, until it is acknowledged.
async fn send(
    client: &Client,
    account: Uuid,
    turn: usize,
    trouble: &Mutex<String>,
) -> anyhow::Result<Acknowledged> {
    let key = Uuid::new_v4().to_string();
    // The initial deposit is large: no withdrawal is refused.
    let route = if turn.is_multiple_of(3) { "withdrawals" } else { "deposits" };
    let amount = 1 + turn % 7;
    let path = format!("/v1/accounts/{account}/{route}");
    let body = json!({"amount": amount, "reference": format!("turn {turn}")});
    eventually("a command is answered", async || {
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
            *trouble.lock().unwrap_or_else(PoisonError::into_inner) = format!("{status}: {text}");
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
