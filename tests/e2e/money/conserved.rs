//! Opposing transfers at full speed while the command-services are killed: no deadlock, and the
//! same sum of money at every moment, in the log and in the views.

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
use crate::environment::{Environment, Pair};
use crate::load::Acknowledged;
use crate::process::eventually;

const CLIENTS: usize = 64;
const ACCOUNTS: usize = 10;
/// Sum over all accounts, as [`Client::open`] opens them.
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
    let mut pair = Pair::start(Environment::new(name).await?, instances).await?;
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
        pair.environment.database_url.clone(),
        pair.environment.projection_database_url.clone(),
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
    let count = sums.await??;
    ensure!(transfers.len() > 3_000 && count > 20, "{} transfers, {count} sums", transfers.len());
    // This also checks that each leg has its counterpart.
    let log = pair.assert_consistent(&legs).await?;
    let mut sent = BTreeSet::new();
    for event in log.iter().flatten() {
        if let AccountEvent::MoneySent(leg) = event.decode()? {
            ensure!(sent.insert(leg.transfer_id), "transfer {} is there twice", leg.transfer_id);
        }
    }
    // Every client has waited for its answers.
    ensure!(
        sent == transfers,
        "{} transfers in the log, {} acknowledged",
        sent.len(),
        transfers.len()
    );
    let mut database = PgConnection::connect(&pair.environment.database_url).await?;
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let deadlocks: i64 = sqlx::query_scalar(deadlocks).fetch_one(&mut database).await?;
    ensure!(deadlocks == 0, "{deadlocks} deadlocks in Postgres");
    was_conserved(&pair.projection()?, &accounts, &log).await
}

/// Makes transfers until `end`, each until it is acknowledged. Returns the legs of those with a
/// key, and all ids.
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
        // Two successive clients send in opposite directions between the same accounts.
        let (one, other) =
            (accounts[turn / 2 % ACCOUNTS], accounts[(turn / 2 + 1 + number / 20) % ACCOUNTS]);
        let (from, to) = if number.is_multiple_of(2) { (one, other) } else { (other, one) };
        let (key, transfer_id) = (Uuid::new_v4().to_string(), Uuid::new_v4());
        let body =
            json!({"from": from, "to": to, "amount": 1 + turn % 7, "transfer_id": transfer_id});
        // A transfer without a key is recognized by its id.
        let sent_key = (turn % 3 > 0).then_some(key.as_str());
        let answer = eventually("a transfer is acknowledged", async || {
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

/// Sums up all accounts until `end`, each time in one snapshot of the database. Returns the number
/// of sums.
async fn watch(
    log_url: String,
    views_url: String,
    end: CancellationToken,
) -> anyhow::Result<usize> {
    const LOG: &str = "SELECT coalesce(sum(coalesce((data ->> 'initial_deposit')::bigint, 0)
              + coalesce((data ->> 'amount')::bigint, 0)
                * CASE type WHEN 'MoneySent' THEN -1 ELSE 1 END), 0)::bigint
         FROM passbook.events";
    // The views apply the two legs of a transfer from two partitions. Money of a transfer with one
    // leg is in transit.
    const VIEWS: &str = "SELECT ((SELECT coalesce(sum(balance), 0) FROM views.accounts)
              - (SELECT coalesce(sum(amount), 0) FROM (
                     SELECT sum(amount) AS amount FROM views.history WHERE transfer_id IS NOT NULL
                      GROUP BY transfer_id HAVING count(*) = 1) AS alone))::bigint";
    let (mut log, mut views) =
        (PgConnection::connect(&log_url).await?, PgConnection::connect(&views_url).await?);
    let (mut count, mut opened) = (0, false);
    while !end.is_cancelled() {
        for (connection, sql) in [(&mut log, LOG), (&mut views, VIEWS)] {
            let sum: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await?;
            // The views may not have applied all openings yet.
            let opening = sql == VIEWS && !opened && sum < TOTAL;
            ensure!(sum == TOTAL || opening, "{sum}, not {TOTAL}, by {sql}");
            opened |= sql == VIEWS && sum == TOTAL;
        }
        count += 1;
        sleep(Duration::from_millis(200)).await;
    }
    Ok(count)
}

/// Checks the sum over all accounts at many past moments, as the views answer it.
async fn was_conserved(
    views: &Client,
    accounts: &[Uuid],
    log: &crate::invariants::Log,
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
