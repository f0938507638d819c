//! Instances that stop while others serve: no request of a client that follows the rules fails.

/// Client behind a load balancer.
mod balanced;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use passbook_shared::shutdown::CancellationToken;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use crate::environment::{Environment, Pair};
use crate::load::Acknowledged;
use balanced::{Balanced, Balancer};

/// Number of times that each of the two instances of both services stops.
const STOPS: usize = 5;
const DRAIN: Duration = Duration::from_secs(1);
/// Number of clients of each service.
const CLIENTS: usize = 4;
/// Pause of a client between two requests.
const PAUSE: Duration = Duration::from_millis(5);

/// Requests of one client.
struct Requests {
    client: Balanced,
    account: Uuid,
    end: CancellationToken,
    /// Number of responses, of all clients.
    answered: Arc<AtomicUsize>,
}

impl Requests {
    async fn deposit(mut self) -> anyhow::Result<Vec<Acknowledged>> {
        let Self { account, .. } = self;
        let mut acknowledged = Vec::new();
        while !self.end.is_cancelled() {
            let key = Uuid::new_v4().to_string();
            let body = json!({"amount": 1}).to_string();
            let head = format!(
                "POST /v1/accounts/{account}/deposits HTTP/1.1\r\nidempotency-key: {key}\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n",
                body.len()
            );
            let (status, answer) = self.client.exchange(&head, &body).await?;
            ensure!(status == 201, "{status}: {answer}");
            let answer: Value = serde_json::from_str(&answer)?;
            let position = answer["position"].as_str().context("no position")?.to_owned();
            let version = answer["version"].as_i64().context("no version")?;
            acknowledged.push(Acknowledged { account, key, position, version });
            self.pause().await;
        }
        Ok(acknowledged)
    }

    async fn read(mut self) -> anyhow::Result<Vec<Acknowledged>> {
        let head = format!("GET /v1/accounts/{} HTTP/1.1\r\n", self.account);
        while !self.end.is_cancelled() {
            let (status, answer) = self.client.exchange(&head, "").await?;
            ensure!(status == 200, "{status}: {answer}");
            self.pause().await;
        }
        Ok(Vec::new())
    }

    async fn pause(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        sleep(PAUSE).await;
    }
}

/// Starts the clients, each with its own account.
async fn clients(
    pair: &Pair,
    [commands, queries]: [&Arc<Balancer>; 2],
    end: &CancellationToken,
    answered: &Arc<AtomicUsize>,
) -> anyhow::Result<JoinSet<anyhow::Result<Vec<Acknowledged>>>> {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let account = pair.command()?.open().await?;
        pair.projection()?.json(&format!("/v1/accounts/{account}?min_version=1")).await?;
        let requests = |balancer: &Arc<Balancer>| Requests {
            client: Balanced::new(Arc::clone(balancer)),
            account,
            end: end.clone(),
            answered: Arc::clone(answered),
        };
        clients.spawn(requests(commands).deposit());
        clients.spawn(requests(queries).read());
    }
    Ok(clients)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_instances_stop_one_after_the_other() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("draining").await?, 2).await?;
    for service in pair.commands.iter_mut().chain(&mut pair.projections) {
        service.stop().await?;
        service.set("drain-seconds", &DRAIN.as_secs().to_string());
        service.start()?;
    }
    for service in pair.commands.iter_mut().chain(&mut pair.projections) {
        service.ready().await?;
    }
    let [commands, queries] = [&pair.commands, &pair.projections]
        .map(|services| Balancer::start(services.iter().map(|service| service.addr)));
    let (end, answered) = (CancellationToken::new(), Arc::<AtomicUsize>::default());
    let mut clients = clients(&pair, [&commands, &queries], &end, &answered).await?;

    let begun = Instant::now();
    for number in 0..2 * STOPS {
        let (command, projection) =
            (&mut pair.commands[number % 2], &mut pair.projections[number % 2]);
        let (stopping, before) = (Instant::now(), answered.load(Ordering::Relaxed));
        tokio::try_join!(command.stop(), projection.stop())?;
        ensure!(stopping.elapsed() >= DRAIN, "no drain: {:?}", stopping.elapsed());
        ensure!(answered.load(Ordering::Relaxed) > before, "nothing was requested meanwhile");
        command.start()?;
        projection.start()?;
        command.ready().await?;
        projection.ready().await?;
        Balancer::both_ready([&commands, &queries]).await?;
        if let Some(ended) = clients.try_join_next() {
            ended??;
        }
    }
    eprintln!(
        "{} signals in {:?}, {} requests, {} connections closed by a response",
        4 * STOPS,
        begun.elapsed(),
        answered.load(Ordering::Relaxed),
        commands.closed() + queries.closed(),
    );
    end.cancel();
    let mut acknowledged = Vec::new();
    while let Some(ended) = clients.join_next().await {
        acknowledged.extend(ended??);
    }
    // Each stop made every client continue elsewhere: all of them used the other instance since the
    // previous stop.
    for balancer in [&commands, &queries] {
        ensure!(balancer.closed() >= CLIENTS * (2 * STOPS - 1), "{}", balancer.closed());
    }
    pair.assert_consistent(&acknowledged).await.map(drop)
}
