//! Instances that stop while others serve, at half of the load that they can bear: no request of a
//! client that follows the rules fails.

/// Client behind a load balancer.
mod balanced;
/// Rate of the clients.
mod pace;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use passbook_shared::shutdown::CancellationToken;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::environment::{Environment, Pair};
use crate::load::Acknowledged;
use balanced::{Balanced, Balancer};
use pace::Pace;

/// Number of signals, unless `PASSBOOK_TEST_SIGNALS` has another one: each round stops an instance
/// of both services.
const SIGNALS: usize = 24;
const DRAIN: Duration = Duration::from_secs(1);
/// Number of clients of each service.
const CLIENTS: usize = 16;
/// Time for which the capacity is measured.
const MEASURED: Duration = Duration::from_secs(4);

fn rounds() -> anyhow::Result<usize> {
    let signals = std::env::var_os("PASSBOOK_TEST_SIGNALS");
    let signals = signals.map(|signals| signals.to_string_lossy().parse());
    Ok(signals.unwrap_or(Ok(SIGNALS))?.div_ceil(2))
}

/// Requests of one client.
struct Requests {
    client: Balanced,
    account: Uuid,
    end: CancellationToken,
    pace: Arc<Pace>,
}

impl Requests {
    async fn deposit(mut self) -> anyhow::Result<Vec<Acknowledged>> {
        let Self { account, .. } = self;
        let (mut acknowledged, mut turn) = (Vec::new(), Instant::now());
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
            self.pace.answered(&mut turn).await;
        }
        Ok(acknowledged)
    }

    async fn read(mut self) -> anyhow::Result<Vec<Acknowledged>> {
        let head = format!("GET /v1/accounts/{} HTTP/1.1\r\n", self.account);
        let mut turn = Instant::now();
        while !self.end.is_cancelled() {
            let (status, answer) = self.client.exchange(&head, "").await?;
            ensure!(status == 200, "{status}: {answer}");
            self.pace.answered(&mut turn).await;
        }
        Ok(Vec::new())
    }
}

/// Starts the clients, each with its own account.
async fn clients(
    pair: &Pair,
    [commands, queries]: [&Arc<Balancer>; 2],
    end: &CancellationToken,
    pace: &Arc<Pace>,
) -> anyhow::Result<JoinSet<anyhow::Result<Vec<Acknowledged>>>> {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let account = pair.command()?.open().await?;
        pair.projection()?.json(&format!("/v1/accounts/{account}?min_version=1")).await?;
        let requests = |balancer: &Arc<Balancer>| Requests {
            client: Balanced::new(Arc::clone(balancer)),
            account,
            end: end.clone(),
            pace: Arc::clone(pace),
        };
        clients.spawn(requests(commands).deposit());
        clients.spawn(requests(queries).read());
    }
    Ok(clients)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_instances_stop_one_after_the_other_at_half_load()
-> anyhow::Result<()> {
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
    let (end, pace) = (CancellationToken::new(), Arc::<Pace>::default());
    let mut clients = clients(&pair, [&commands, &queries], &end, &pace).await?;
    let capacity = pace.measure(MEASURED).await;
    let goal = capacity / 2.0;
    pace.limit(goal, 2 * CLIENTS);

    let (begun, rounds, at_first) = (Instant::now(), rounds()?, pace.count());
    for number in 0..rounds {
        let (command, projection) =
            (&mut pair.commands[number % 2], &mut pair.projections[number % 2]);
        let (stopping, before) = (Instant::now(), pace.count());
        tokio::try_join!(command.stop(), projection.stop())?;
        ensure!(stopping.elapsed() >= DRAIN, "no drain: {:?}", stopping.elapsed());
        ensure!(pace.count() > before, "nothing was requested meanwhile");
        command.start()?;
        projection.start()?;
        command.ready().await?;
        projection.ready().await?;
        Balancer::both_ready([&commands, &queries]).await?;
        if let Some(ended) = clients.try_join_next() {
            ended??;
        }
    }
    let (requests, took) = (pace.count() - at_first, begun.elapsed());
    eprintln!(
        "{} signals in {took:.0?}: {requests} requests, {:.0} of {goal:.0} per second (capacity \
         {capacity:.0}), {} connections closed by a response, {} requests sent again after 503",
        2 * rounds,
        requests as f64 / took.as_secs_f64(),
        commands.closed() + queries.closed(),
        commands.unavailable() + queries.unavailable(),
    );
    end.cancel();
    let mut acknowledged = Vec::new();
    while let Some(ended) = clients.join_next().await {
        acknowledged.extend(ended??);
    }
    // Each stop made every client continue elsewhere: all of them used the other instance since the
    // previous stop.
    for balancer in [&commands, &queries] {
        ensure!(balancer.closed() >= CLIENTS * (rounds - 1), "{}", balancer.closed());
    }
    pair.assert_consistent(&acknowledged).await.map(drop)
}
