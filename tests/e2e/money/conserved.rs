//! Opposing transfers at full speed while the service that does them is killed: no ring of waiting, and no cent more or
//! less, at any moment, in the log or in the views.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use passbook_shared::event::AccountEvent;
use passbook_shared::shutdown::CancellationToken;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::client::Client;
use crate::load::Acknowledged;
use crate::process::eventually;
use crate::site::{Pair, Site};

const CLIENTS: usize = 64;
const ACCOUNTS: usize = 10;
/// On all accounts together, as [`Client::open`] makes them.
const TOTAL: i64 = 1_000_000 * ACCOUNTS as i64;

#[tokio::test(flavor = "multi_thread")]
async fn opposing_transfers_conserve_money_while_the_service_is_killed() -> anyhow::Result<()> {
    conserved("transfers_conserved_1", 1, Duration::from_secs(60)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn opposing_transfers_conserve_money_while_services_are_killed_with_two_of_each()
-> anyhow::Result<()> {
    conserved("transfers_conserved_2", 2, Duration::from_secs(20)).await
}

async fn conserved(name: &'static str, instances: usize, time: Duration) -> anyhow::Result<()> {
    let mut pair = Pair::start(Site::new(name).await?, instances).await?;
    let client = pair.command()?;
    let mut accounts = Vec::new();
    for _ in 0..ACCOUNTS {
        accounts.push(client.open().await?);
    }
    let accounts: Arc<[Uuid]> = accounts.into();
    let end = CancellationToken::new();
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(transfers(client.clone(), Arc::clone(&accounts), number, end.clone()));
    }
    let sums = tokio::spawn(watch(
        pair.site.database_url.clone(),
        pair.site.projection_database_url.clone(),
        end.clone(),
    ));
    let until = Instant::now() + time;
    for turn in 0.. {
        let moment = Duration::from_millis(1_000 + 8 * u64::from(Uuid::new_v4().as_bytes()[0]));
        sleep(moment.min(until.saturating_duration_since(Instant::now()))).await;
        if Instant::now() >= until {
            break;
        }
        pair.commands[turn % instances].kill_and_start().await?;
    }
    end.cancel();
    let (mut legs, mut transfers) = (Vec::new(), BTreeSet::new());
    while let Some(ended) = clients.join_next().await {
        let (own_legs, own) = ended??;
        legs.extend(own_legs);
        transfers.extend(own);
    }
    let looks = sums.await??;
    ensure!(transfers.len() > 3_000 && looks > 20, "{} transfers, {looks} looks", transfers.len());
    // Among the rest: each leg has its other one.
    let log = pair.holds(&legs).await?;
    let mut sent = BTreeSet::new();
    for event in log.iter().flatten() {
        if let AccountEvent::MoneySent(leg) = event.decode()? {
            ensure!(sent.insert(leg.transfer_id), "transfer {} is there twice", leg.transfer_id);
        }
    }
    // Each client has waited for its answers.
    ensure!(
        sent == transfers,
        "{} transfers in the log, {} acknowledged",
        sent.len(),
        transfers.len()
    );
    let mut database = PgConnection::connect(&pair.site.database_url).await?;
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let deadlocks: i64 = sqlx::query_scalar(deadlocks).fetch_one(&mut database).await?;
    ensure!(deadlocks == 0, "{deadlocks} deadlocks in Postgres");
    at_any_time(&pair.projection()?, &accounts, &log).await
}

/// Transfers from one account to another, until the end; each until it is acknowledged. Gives the legs of those that have
/// a key, and the ids of all.
async fn transfers(
    client: Client,
    accounts: Arc<[Uuid]>,
    number: usize,
    end: CancellationToken,
) -> anyhow::Result<(Vec<Acknowledged>, Vec<Uuid>)> {
    let (mut legs, mut transfers) = (Vec::new(), Vec::new());
    for turn in number.. {
        if end.is_cancelled() {
            break;
        }
        // Two clients after each other send to and fro between the same two.
        let (one, other) =
            (accounts[turn / 2 % ACCOUNTS], accounts[(turn / 2 + 1 + number / 20) % ACCOUNTS]);
        let (from, to) = if number.is_multiple_of(2) { (one, other) } else { (other, one) };
        let (key, transfer_id) = (Uuid::new_v4().to_string(), Uuid::new_v4());
        let body =
            json!({"from": from, "to": to, "amount": 1 + turn % 7, "transfer_id": transfer_id});
        // One without a key is known by its id.
        let sent_key = (turn % 3 > 0).then_some(key.as_str());
        let answer = eventually("a transfer is done", async || {
            let response = client.post("/v1/transfers", sent_key, &body).await?;
            let status = response.status();
            let text = response.text().await?;
            match status {
                StatusCode::CREATED => {
                    Ok(serde_json::from_str::<Value>(&text).map_err(anyhow::Error::from))
                }
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::CONFLICT => bail!("{status}: {text}"),
                _ => Ok(Err(anyhow!("a transfer was answered with {status}: {text}"))),
            }
        })
        .await??;
        ensure!(
            answer["from"]["account_id"] == json!(from) && answer["to"]["account_id"] == json!(to),
            "{answer}"
        );
        if let Some(key) = sent_key {
            for leg in ["from", "to"] {
                legs.push(Acknowledged {
                    account: answer[leg]["account_id"].as_str().context("no account")?.parse()?,
                    key: key.to_owned(),
                    position: answer[leg]["position"].as_str().context("no position")?.to_owned(),
                    version: answer[leg]["version"].as_i64().context("no version")?,
                });
            }
        }
        transfers.push(transfer_id);
    }
    Ok((legs, transfers))
}

/// What is on all accounts, again and again, each time as one moment of the database; gives how often.
async fn watch(
    log_url: String,
    views_url: String,
    end: CancellationToken,
) -> anyhow::Result<usize> {
    const LOG: &str = "SELECT coalesce(sum(coalesce((data ->> 'initial_deposit')::bigint, 0)
              + coalesce((data ->> 'amount')::bigint, 0) * CASE type WHEN 'MoneySent' THEN -1 ELSE 1 END), 0)::bigint
         FROM passbook.events";
    // The views get to know the two legs of a transfer from two partitions: what has left one account and not yet come to
    // the other is on its way.
    const VIEWS: &str = "SELECT ((SELECT coalesce(sum(balance), 0) FROM views.accounts)
              - (SELECT coalesce(sum(amount), 0) FROM (
                     SELECT sum(amount) AS amount FROM views.history WHERE transfer_id IS NOT NULL
                      GROUP BY transfer_id HAVING count(*) = 1) AS alone))::bigint";
    let (mut log, mut views) =
        (PgConnection::connect(&log_url).await?, PgConnection::connect(&views_url).await?);
    let (mut looks, mut opened) = (0, false);
    while !end.is_cancelled() {
        for (connection, sql) in [(&mut log, LOG), (&mut views, VIEWS)] {
            let sum: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await?;
            // The views may not have seen all openings yet.
            let opening = sql == VIEWS && !opened && sum < TOTAL;
            ensure!(sum == TOTAL || opening, "{sum}, not {TOTAL}, by {sql}");
            opened |= sql == VIEWS && sum == TOTAL;
        }
        looks += 1;
        sleep(Duration::from_millis(200)).await;
    }
    Ok(looks)
}

/// What was on all accounts at moments of the past, as the views tell it.
async fn at_any_time(
    views: &Client,
    accounts: &[Uuid],
    log: &crate::truth::Log,
) -> anyhow::Result<()> {
    let mut moments: Vec<_> = log.iter().flatten().map(|event| event.recorded_at).collect();
    moments.sort_unstable();
    let opened = log
        .iter()
        .flatten()
        .filter(|event| event.version == 1)
        .map(|event| event.recorded_at)
        .max();
    moments.retain(|moment| Some(*moment) >= opened);
    for moment in moments.iter().step_by(moments.len().div_ceil(40)) {
        let mut sum = 0;
        for account in accounts {
            let view = views.json(&format!("/v1/accounts/{account}?as_of={moment}")).await?;
            sum += view["balance"].as_i64().context("no balance")?;
        }
        ensure!(sum == TOTAL, "{sum}, not {TOTAL}, as of {moment}");
    }
    Ok(())
}
