//! Kafka away, Postgres away.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::ground::Kafka;
use crate::load::Load;
use crate::process::{eventually, free_address};
use crate::site::{Pair, Site};

#[tokio::test(flavor = "multi_thread")]
async fn while_kafka_is_away_commands_go_on_and_the_relay_catches_up() -> anyhow::Result<()> {
    let site = Site::on("kafka_away", Kafka::own().await?).await?;
    let mut pair = Pair::start(site, 1).await?;
    let load = Load::start(&pair.command()?, 8, 40).await?;
    load.further(100).await?;
    pair.site.kafka.pause().await?;
    load.further(500).await?;
    let ready = pair.command()?.get("/health/ready").await?;
    ensure!(
        ready.status() == StatusCode::OK,
        "Kafka away is not a reason to refuse commands: {}",
        ready.text().await?
    );
    pair.site.kafka.resume().await?;
    let acknowledged = load.stop().await?;
    pair.holds(&acknowledged).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_refuses_commands_get_503_and_then_go_on() -> anyhow::Result<()> {
    postgres_away("postgres_refuses", State::Refusing).await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_hangs_commands_get_503_and_then_go_on() -> anyhow::Result<()> {
    postgres_away("postgres_hangs", State::Hanging).await
}

async fn postgres_away(name: &'static str, away: State) -> anyhow::Result<()> {
    let mut site = Site::new(name).await?;
    let (host, database) = site.command_role_url.rsplit_once('@').context("no host")?;
    let (address, database) = database.split_once('/').context("no database")?;
    let link = Link::start(address.parse()?).await?;
    site.command_role_url = format!("{host}@{}/{database}", link.address);
    let mut pair = Pair::start(site, 1).await?;
    let client = pair.command()?;
    let account = client.open().await?;
    client.deposit(account, None, 1).await?;

    link.set(away);
    let path = format!("/v1/accounts/{account}/deposits");
    for number in 0..5 {
        let asked = Instant::now();
        let response =
            client.post(&path, Some(&format!("away-{number}")), &json!({"amount": 1})).await?;
        let (took, status) = (asked.elapsed(), response.status());
        let may_come_again = response.headers().contains_key("retry-after");
        let problem: Value = serde_json::from_str(&response.text().await?)?;
        ensure!(status == StatusCode::SERVICE_UNAVAILABLE && may_come_again, "{status}: {problem}");
        // The first may have been on its way when the connection broke.
        let code = problem["code"].as_str().unwrap_or_default();
        ensure!(
            code == "store_unavailable" || (number == 0 && code == "outcome_unknown"),
            "{problem}"
        );
        // 2 s, and what a busy machine adds.
        ensure!(took < Duration::from_millis(2_500), "the answer took {took:?}");
    }
    eventually("the service says that it is not ready", async || {
        let status = client.get("/health/ready").await?.status();
        ensure!(status == StatusCode::SERVICE_UNAVAILABLE, "{status}");
        Ok(())
    })
    .await?;

    // Their account's past is read before they are in a lane.
    let long_ago = "2026-01-01T00:00:00Z";
    for (route, body) in [
        ("withdrawals", json!({"amount": 1, "effective_at": long_ago})),
        ("reversals", json!({"version": 2, "effective_at": long_ago})),
    ] {
        let asked = Instant::now();
        let response = client.post(&format!("/v1/accounts/{account}/{route}"), None, &body).await?;
        let (took, status) = (asked.elapsed(), response.status());
        let told = response.text().await?;
        ensure!(
            status == StatusCode::SERVICE_UNAVAILABLE && told.contains("store_unavailable"),
            "{status}: {told}"
        );
        ensure!(took < Duration::from_millis(2_500), "{route}: the answer took {took:?}");
    }
    let deposit = json!({"type": "deposit", "account_id": account, "amount": 1, "idempotency_key": "away-bulk"});
    for atomic in [false, true] {
        let response = client
            .post("/v1/commands", None, &json!({"atomic": atomic, "commands": [deposit]}))
            .await?;
        let (status, may_come_again) =
            (response.status(), response.headers().contains_key("retry-after"));
        let problem: Value = serde_json::from_str(&response.text().await?)?;
        let is_told = problem["code"] == "store_unavailable" && may_come_again;
        ensure!(
            status == StatusCode::SERVICE_UNAVAILABLE && is_told,
            "atomic {atomic}: {status}: {problem}"
        );
    }

    link.set(State::Open);
    eventually("commands are taken again", async || client.deposit(account, Some("back"), 1).await)
        .await?;
    let log = pair.holds(&[]).await?;
    let keys: Vec<_> = log
        .iter()
        .flatten()
        .filter_map(|e| e.metadata.context.idempotency_key.as_deref())
        .collect();
    // What was refused with `store_unavailable` was not done.
    ensure!(
        keys.iter().filter(|key| key.starts_with("away")).all(|key| *key == "away-0"),
        "{keys:?}"
    );
    Ok(())
}

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Refusing,
    Hanging,
}

/// A way to a server that can be cut.
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
                    // No listener: connections are refused.
                    changes.changed().await?;
                    continue;
                }
                let listener = TcpListener::bind(address).await?;
                while *changes.borrow() != State::Refusing {
                    tokio::select! {
                        accepted = listener.accept() => { tokio::spawn(carry(accepted?.0, server, changes.clone())); }
                        changed = changes.changed() => changed?,
                    }
                }
            }
            #[expect(unreachable_code, reason = "says what errors are")]
            anyhow::Ok(())
        });
        Ok(Self { address, state })
    }

    fn set(&self, state: State) {
        self.state.send_replace(state);
    }
}

/// Carries bytes both ways until the link is cut, or for as long as it hangs.
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
                ended = tokio::io::copy_bidirectional(&mut client, server) => return Ok(ended.map(drop)?),
                changed = changes.changed() => changed?,
            },
            (_, State::Hanging) => changes.changed().await?,
        }
    }
}
