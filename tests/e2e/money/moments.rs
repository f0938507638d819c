//! Lists and sums as of a moment, while money moves between the listed accounts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};
use passbook_shared::timestamp::Timestamp;
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::client::Client;
use crate::environment::{Environment, Pair};

const ACCOUNTS: usize = 20;
/// Balance of each account, as [`Client::open`] opens it.
const BALANCE: i64 = 1_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_sums_as_of_a_moment_contain_whole_transfers() -> anyhow::Result<()> {
    let pair = Pair::start(Environment::new("moments").await?, 1).await?;
    let (client, views) = (pair.command()?, pair.projection()?);
    let mut accounts = Vec::new();
    for _ in 0..ACCOUNTS {
        accounts.push(client.open().await?);
    }
    let (accounts, stop): (Arc<[Uuid]>, _) = (accounts.into(), Arc::new(AtomicBool::new(false)));
    let mut transfers = JoinSet::new();
    for first in 0..4 {
        let (client, accounts, stop) = (client.clone(), Arc::clone(&accounts), Arc::clone(&stop));
        transfers.spawn(async move {
            let mut turn = first;
            while !stop.load(Ordering::Relaxed) {
                turn += 7;
                let (from, to) =
                    (accounts[turn % ACCOUNTS], accounts[(turn + 1 + first) % ACCOUNTS]);
                client
                    .post("/v1/transfers", None, &json!({"from": from, "to": to, "amount": 5_000}))
                    .await?;
            }
            anyhow::Ok(turn)
        });
    }
    let all = i64::try_from(ACCOUNTS)? * BALANCE;
    for _ in 0..25 {
        let moment = Timestamp::now();
        for sort in ["opened_at", "-balance", "last_activity"] {
            let sum = sum_of_pages(&views, &format!("as_of={moment}&sort={sort}&limit=7")).await?;
            ensure!(sum == (ACCOUNTS, all), "{moment} by {sort}: {sum:?}");
        }
        let stats = views.json(&format!("/v1/stats?as_of={moment}")).await?;
        ensure!(
            stats["currencies"][0]["balance"] == all && stats["as_of"] == json!(moment),
            "{stats}"
        );
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = transfers.join_next().await {
        ensure!(ended?? > 100, "too few transfers");
    }
    let past = views.json("/v1/stats?as_of=2020-01-01T00:00:00Z").await?;
    ensure!(past["accounts"] == 0, "{past}");
    let future = views.get("/v1/accounts?as_of=2999-01-01T00:00:00Z").await?;
    ensure!(future.status() == 400, "{}", future.text().await?);
    Ok(())
}

/// Returns the number of accounts on all pages of a list, and the sum of their balances.
async fn sum_of_pages(views: &Client, list: &str) -> anyhow::Result<(usize, i64)> {
    let (mut count, mut sum, mut cursor) = (0, 0, String::new());
    loop {
        let page = views.json(&format!("/v1/accounts?{list}{cursor}")).await?;
        let accounts = page["data"].as_array().context("no list")?;
        count += accounts.len();
        sum += accounts.iter().filter_map(|account| account["balance"].as_i64()).sum::<i64>();
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok((count, sum)),
        }
    }
}
