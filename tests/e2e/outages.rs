//! Outages of Kafka and of Postgres.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::environment::{Environment, Pair};
use crate::infrastructure::Kafka;
use crate::load::Load;
use crate::process::{eventually, free_address};

#[tokio::test(flavor = "multi_thread")]
async fn without_kafka_commands_continue_and_the_relay_catches_up() -> anyhow::Result<()> {
    let environment = Environment::on("kafka_outage", Kafka::own().await?).await?;
    let mut pair = Pair::start(environment, 1).await?;
    let load = Load::start(&pair.command()?, 8, 40).await?;
    load.further(100).await?;
    pair.environment.kafka.pause().await?;
    load.further(500).await?;
    let ready = pair.command()?.get("/health/ready").await?;
    ensure!(
        ready.status() == StatusCode::OK,
        "commands do not need Kafka: {}",
        ready.text().await?
    );
    pair.environment.kafka.resume().await?;
    let acknowledged = load.stop().await?;
    pair.assert_consistent(&acknowledged).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_refuses_connections_commands_get_503() -> anyhow::Result<()> {
    postgres_outage("postgres_refuses", State::Refusing).await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_hangs_commands_get_503() -> anyhow::Result<()> {
    postgres_outage("postgres_hangs", State::Hanging).await
}

async fn postgres_outage(name: &'static str, outage: State) -> anyhow::Result<()> {
    let mut environment = Environment::new(name).await?;
    let (host, database) = environment.command_role_url.rsplit_once('@').context("no host")?;
    let (address, database) = database.split_once('/').context("no database")?;
    let link = Link::start(address.parse()?).await?;
    environment.command_role_url = format!("{host}@{}/{database}", link.address);
    let mut pair = Pair::start(environment, 1).await?;
    let client = pair.command()?;
    let account = client.open().await?;
    client.deposit(account, None, 1).await?;

    link.set(outage);
    let path = format!("/v1/accounts/{account}/deposits");
    for number in 0..5 {
        let asked = Instant::now();
        let response =
            client.post(&path, Some(&format!("away-{number}")), &json!({"amount": 1})).await?;
        let (took, status) = (asked.elapsed(), response.status());
        let has_retry_after = response.headers().contains_key("retry-after");
        let problem: Value = serde_json::from_str(&response.text().await?)?;
        ensure!(
            status == StatusCode::SERVICE_UNAVAILABLE && has_retry_after,
            "{status}: {problem}"
        );
        // The first command may have been sent before the connection broke.
        let code = problem["code"].as_str().unwrap_or_default();
        ensure!(
            code == "store_unavailable" || (number == 0 && code == "outcome_unknown"),
            "{problem}"
        );
        // 2 s, and a reserve for a busy machine.
        ensure!(took < Duration::from_millis(2_500), "the answer took {took:?}");
    }
    eventually("the service is not ready", async || {
        let status = client.get("/health/ready").await?.status();
        ensure!(status == StatusCode::SERVICE_UNAVAILABLE, "{status}");
        Ok(())
    })
    .await?;

    // Backdated debits read the account's past before they enter a lane.
    let long_ago = "2026-01-01T00:00:00Z";
    for (route, body) in [
        ("withdrawals", json!({"amount": 1, "effective_at": long_ago})),
        ("reversals", json!({"version": 2, "effective_at": long_ago})),
    ] {
        let asked = Instant::now();
        let response = client.post(&format!("/v1/accounts/{account}/{route}"), None, &body).await?;
        let (took, status) = (asked.elapsed(), response.status());
        let problem = response.text().await?;
        ensure!(
            status == StatusCode::SERVICE_UNAVAILABLE && problem.contains("store_unavailable"),
            "{status}: {problem}"
        );
        ensure!(took < Duration::from_millis(2_500), "{route}: the answer took {took:?}");
    }
    let deposit = json!({
        "type": "deposit", "account_id": account, "amount": 1, "idempotency_key": "away-bulk",
    });
    for atomic in [false, true] {
        let response = client
            .post("/v1/commands", None, &json!({"atomic": atomic, "commands": [deposit]}))
            .await?;
        let (status, has_retry_after) =
            (response.status(), response.headers().contains_key("retry-after"));
        let problem: Value = serde_json::from_str(&response.text().await?)?;
        let is_refused = problem["code"] == "store_unavailable" && has_retry_after;
        ensure!(
            status == StatusCode::SERVICE_UNAVAILABLE && is_refused,
            "atomic {atomic}: {status}: {problem}"
        );
    }

    link.set(State::Open);
    eventually("commands are accepted again", async || {
        client.deposit(account, Some("back"), 1).await
    })
    .await?;
    let log = pair.assert_consistent(&[]).await?;
    let keys: Vec<_> = log
        .iter()
        .flatten()
        .filter_map(|e| e.metadata.context.idempotency_key.as_deref())
        .collect();
    // Commands refused with `store_unavailable` had no effect.
    ensure!(
        keys.iter().filter(|key| key.starts_with("away")).all(|key| *key == "away-0"),
        "{keys:?}"
    );
    Ok(())
}

/// State of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Refusing,
    Hanging,
}

/// Proxy of a server that can refuse and suspend connections.
struct Link {
    address: SocketAddr,
    state: Arc<watch::Sender<State>>,
}

impl Link {
    async fn start(server: SocketAddr) -> anyhow::Result<Self> {
        let address = free_address()?;
        let state = Arc::new(watch::Sender::new(State::Open));
        let mut changes = state.subscribe();
        tokio::spawn(async move {
            loop {
                let now = *changes.borrow_and_update();
                if now == State::Refusing {
                    // Without a listener, connections are refused.
                    changes.changed().await?;
                    continue;
                }
                let listener = TcpListener::bind(address).await?;
                while *changes.borrow() != State::Refusing {
                    tokio::select! {
                        accepted = listener.accept() => {
                            tokio::spawn(carry(accepted?.0, server, changes.clone()));
                        }
                        changed = changes.changed() => changed?,
                    }
                }
            }
            #[expect(unreachable_code, reason = "names the error type")]
            anyhow::Ok(())
        });
        Ok(Self { address, state })
    }

    fn set(&self, state: State) {
        self.state.send_replace(state);
    }
}

/// Copies bytes both ways while the link is open, and closes the connection when it refuses.
async fn carry(
    mut client: TcpStream,
    server: SocketAddr,
    mut changes: watch::Receiver<State>,
) -> anyhow::Result<()> {
    let first = *changes.borrow_and_update();
    let mut there = match first {
        State::Open => Some(TcpStream::connect(server).await?),
        State::Hanging | State::Refusing => None,
    };
    loop {
        let state = *changes.borrow_and_update();
        match (&mut there, state) {
            (_, State::Refusing) | (None, State::Open) => return Ok(()),
            (Some(server), State::Open) => tokio::select! {
                ended = tokio::io::copy_bidirectional(&mut client, server) => {
                    return Ok(ended.map(drop)?);
                }
                changed = changes.changed() => changed?,
            },
            (_, State::Hanging) => changes.changed().await?,
        }
    }
}
