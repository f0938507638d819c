//! Commands without faults: single ones, concurrent ones, repeated ones.

use anyhow::{Context, ensure};
use passbook_shared::partition::partition_of;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use crate::environment::{Environment, Pair};
use crate::infrastructure::PARTITIONS;
use crate::process::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_reaches_the_view() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("a_deposit_reaches_the_view").await?, 1).await?;
    let account = pair.command()?.open().await?;
    let answer = pair.command()?.deposit(account, None, 25_000).await?;
    ensure!(answer["version"] == 2 && answer["account"]["balance"] == 1_025_000, "{answer}");

    let view = pair.projection()?.json(&format!("/v1/accounts/{account}?min_version=2")).await?;
    ensure!(view["balance"] == 1_025_000 && view["version"] == 2, "{view}");
    let partition = partition_of(account, PARTITIONS).to_string();
    let position = answer["position"].as_str().context("no position")?;
    ensure!(
        view["position"] == position && position.split('-').next() == Some(&partition),
        "{view}"
    );

    let views = pair.projection()?;
    let list = views.json(&format!("/v1/accounts?at_least={position}")).await?;
    ensure!(list["data"][0]["version"] == 2, "{list}");
    // A position that can never exist is refused at once.
    for path in ["/v1/accounts?at_least=99-1", "/v1/stats?at_least=12-0"] {
        let answer = views.get(path).await?;
        let (status, problem) = (answer.status(), answer.text().await?);
        let problem: Value = serde_json::from_str(&problem)?;
        ensure!(
            status == StatusCode::BAD_REQUEST && problem["errors"][0]["field"] == "at_least",
            "{problem}"
        );
    }
    pair.assert_consistent(&[]).await.map(drop)
}

/// Goes through opening, overdraft, freezing and closing.
#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_an_account_reaches_the_view() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("the_life_of_an_account").await?, 1).await?;
    let client = pair.command()?;
    let account = Uuid::new_v4();
    let opening = json!({"account_id": account, "owner": "customer-4711", "currency": "JPY",
        "overdraft_limit": 500,
                         "initial_deposit": 100, "metadata": {"branch": "Kyoto"}});
    let steps = [
        ("", opening),
        ("/withdrawals", json!({"amount": 600, "reference": "more than the balance"})),
        ("/freeze", json!({"reason": "a question", "block_credits": true})),
        ("/unfreeze", json!({})),
        ("/deposits", json!({"amount": 500, "metadata": {"till": "3"}})),
        ("/freeze", json!({})),
        ("/close", json!({"reason": "moved away"})),
    ];
    for (step, body) in &steps {
        let path = if step.is_empty() {
            "/v1/accounts".to_owned()
        } else {
            format!("/v1/accounts/{account}{step}")
        };
        let response = client.post(&path, None, body).await?;
        let status = response.status();
        ensure!(status.is_success(), "POST {path}: {status}: {}", response.text().await?);
        let answer: Value = serde_json::from_str(&response.text().await?)?;
        let position = answer["position"].as_str().context("no position")?;
        pair.projection()?.json(&format!("/v1/stats?at_least={position}")).await?;
    }
    let view = pair.projection()?.json(&format!("/v1/accounts/{account}")).await?;
    ensure!(
        view["status"] == "closed" && view["balance"] == 0 && view["version"] == steps.len(),
        "{view}"
    );
    pair.assert_consistent(&[]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_on_one_hot_account_lose_nothing() -> anyhow::Result<()> {
    hot_account("hot_account_1", 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_on_one_hot_account_lose_nothing_with_two_of_each() -> anyhow::Result<()> {
    hot_account("hot_account_2", 2).await
}

/// Lets 32 writers deposit on one account.
async fn hot_account(name: &'static str, instances: usize) -> anyhow::Result<()> {
    const WRITERS: i64 = 32;
    const DEPOSITS: i64 = 25;
    let mut pair = Pair::start(Environment::new(name).await?, instances).await?;
    let client = pair.command()?;
    let account = client.open().await?;
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let client = client.clone();
        writers.spawn(async move {
            for _ in 0..DEPOSITS {
                let key = Uuid::new_v4().to_string();
                let path = format!("/v1/accounts/{account}/deposits");
                eventually("a deposit is accepted", async || {
                    // 409: the command lost the race against the other instance too often.
                    let response = client.post(&path, Some(&key), &json!({"amount": 3})).await?;
                    let status = response.status();
                    ensure!(status == StatusCode::CREATED, "{status}: {}", response.text().await?);
                    Ok(())
                })
                .await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended??;
    }
    let version = 1 + WRITERS * DEPOSITS;
    // A group with two new members may assign its partitions later than one query waits.
    let (views, path) =
        (pair.projection()?, format!("/v1/accounts/{account}?min_version={version}"));
    let view = eventually("the view shows every deposit", async || views.json(&path).await).await?;
    ensure!(
        view["version"] == version && view["balance"] == 1_000_000 + 3 * WRITERS * DEPOSITS,
        "{view}"
    );
    pair.assert_consistent(&[]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_with_one_key_have_one_effect_and_the_same_bytes() -> anyhow::Result<()> {
    same_key("same_key_1", 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_with_one_key_have_one_effect_and_the_same_bytes_with_two_of_each()
-> anyhow::Result<()> {
    same_key("same_key_2", 2).await
}

/// 50 requests at once.
async fn same_key(name: &'static str, instances: usize) -> anyhow::Result<()> {
    const REQUESTS: usize = 50;
    let mut pair = Pair::start(Environment::new(name).await?, instances).await?;
    let client = pair.command()?;
    let account = client.open().await?;
    let path = format!("/v1/accounts/{account}/deposits");
    let mut requests = JoinSet::new();
    for _ in 0..REQUESTS {
        let (client, path) = (client.clone(), path.clone());
        requests.spawn(async move {
            loop {
                let response =
                    client.post(&path, Some("the-key"), &json!({"amount": 25_000})).await?;
                let status = response.status();
                let replayed = response.headers().contains_key("idempotency-replayed");
                let body = response.text().await?;
                // 409 request_in_progress: the same key is being worked on.
                if status != StatusCode::CONFLICT {
                    return anyhow::Ok((status, replayed, body));
                }
                sleep(std::time::Duration::from_millis(10)).await;
            }
        });
    }
    let (mut first, mut originals) = (None, 0);
    while let Some(answer) = requests.join_next().await {
        let (status, replayed, body) = answer??;
        ensure!(status == StatusCode::CREATED, "{status}: {body}");
        originals += usize::from(!replayed);
        let first = first.get_or_insert_with(|| body.clone());
        ensure!(first == &body, "two answers:\n{first}\n{body}");
    }
    ensure!(originals == 1, "{originals} answers are not marked as replayed");

    let other = client.post(&path, Some("the-key"), &json!({"amount": 1})).await?;
    ensure!(
        other.status() == StatusCode::UNPROCESSABLE_ENTITY,
        "another request with the key: {}",
        other.status()
    );
    let log = pair.assert_consistent(&[]).await?;
    ensure!(
        log.iter().map(Vec::len).sum::<usize>() == 2,
        "the key had more than one effect: {log:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_opens_an_account_for_each_owner() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("key_of_an_opening").await?, 1).await?;
    let client = pair.command()?;
    let open = async |owner: &str| {
        let response = client
            .post("/v1/accounts", Some("open-1"), &json!({"owner": owner, "currency": "EUR"}))
            .await?;
        let (status, replayed) =
            (response.status(), response.headers().contains_key("idempotency-replayed"));
        let answer: Value = serde_json::from_str(&response.text().await?)?;
        ensure!(
            status == StatusCode::CREATED && answer["events"][0]["data"]["owner"] == owner,
            "{status}: {answer}"
        );
        anyhow::Ok((answer["account_id"].clone(), replayed))
    };
    let (one, other, again) = (open("ada").await?, open("grace").await?, open("ada").await?);
    ensure!(one.0 != other.0 && !one.1 && !other.1, "{one:?} {other:?}");
    ensure!(again == (one.0.clone(), true), "{one:?} {again:?}");
    pair.assert_consistent(&[]).await.map(drop)
}
