//! Effective time of debits: money leaves as of a past time only if it was available then and ever
//! since.

use anyhow::ensure;
use serde_json::{Value, json};

use super::{day, done, refused};
use crate::environment::{Environment, Pair};

#[tokio::test(flavor = "multi_thread")]
async fn a_backdated_debit_needs_the_money_then_and_ever_since() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("backdated").await?, 2).await?;
    let client = pair.command()?;
    let [one, other] = [client.open().await?, client.open().await?];
    let path = |kind: &str| format!("/v1/accounts/{one}/{kind}");
    let as_of = |amount: i64, on: u32| json!({"amount": amount, "effective_at": day(on)});
    done(&client, &path("deposits"), as_of(100, 5)).await?;
    done(&client, &path("withdrawals"), as_of(80, 20)).await?;
    let short = async |path: &str, body: Value, available: i64, on: u32| -> anyhow::Result<()> {
        let problem = refused(&client, path, body, "insufficient_funds").await?;
        ensure!(problem["available"] == available && problem["at"] == day(on), "{problem}");
        Ok(())
    };
    short(&path("withdrawals"), as_of(1, 4), 0, 4).await?;
    short(&path("withdrawals"), as_of(21, 10), 20, 20).await?;
    let transfer = |amount: i64, on: u32| {
        json!({"from": one, "to": other, "amount": amount,
        "effective_at": day(on)})
    };
    short("/v1/transfers", transfer(21, 6), 20, 20).await?;
    // The reversal would take back on the 5th the money spent on the 20th.
    short(&path("reversals"), json!({"version": 2}), 20, 20).await?;

    // Each debit sees the earlier ones, of the same request and of other instances.
    for (amount, on) in [(15, 6), (5, 10)] {
        done(&client, &path("withdrawals"), as_of(amount, on)).await?;
    }
    short(&path("withdrawals"), as_of(1, 10), 0, 20).await?;
    let set = |first: i64, second: i64| {
        let command = |amount: i64, on: u32| {
            let (kind, at) = ("withdraw", day(on));
            json!({"type": kind, "account_id": one, "amount": amount, "effective_at": at})
        };
        let credit =
            json!({"type": "deposit", "account_id": one, "amount": 50, "effective_at": day(15)});
        json!({"atomic": true, "commands": [credit, command(first, 16), command(second, 17)]})
    };
    let failed = client.post("/v1/commands", None, &set(30, 21)).await?;
    let problem: Value = failed.json().await?;
    ensure!(
        problem["index"] == 2 && problem["available"] == 20 && problem["at"] == day(20),
        "{problem}"
    );
    let response = client.post("/v1/commands", None, &set(30, 20)).await?;
    ensure!(response.status().is_success(), "{}", response.text().await?);

    // A client may overdraw the past on request, and the event records the request.
    let mut waived = as_of(1, 10);
    waived["allow_backdated_overdraft"] = true.into();
    let answer = done(&client, &path("withdrawals"), waived).await?;
    ensure!(answer["events"][0]["data"]["allow_backdated_overdraft"] == true, "{answer}");
    let reversal = done(&client, &path("reversals"), json!({"version": 3})).await?;
    ensure!(reversal["events"][0]["data"]["effective_at"] == day(20), "{reversal}");
    let tomorrow = json!({"amount": 1, "effective_at": "2999-01-01T00:00:00Z"});
    refused(&client, &path("withdrawals"), tomorrow, "malformed_request").await?;
    pair.assert_consistent(&[]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_backdated_debits_never_overdraw_the_past() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("backdated_race").await?, 2).await?;
    let client = pair.command()?;
    let account = client.open().await?;
    let path = |kind: &str| format!("/v1/accounts/{account}/{kind}");
    // The balance is 100 on the 10th, and much more later.
    done(&client, &path("deposits"), json!({"amount": 100, "effective_at": day(10)})).await?;
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..8_u32 {
        let (client, path) = (client.clone(), path("withdrawals"));
        clients.spawn(async move {
            let mut taken = 0;
            for turn in 0..10 {
                let body = json!({"amount": 3, "effective_at": day(10 + (number + turn) % 5)});
                taken +=
                    i64::from(client.post(&path, None, &body).await?.status().is_success()) * 3;
            }
            anyhow::Ok(taken)
        });
    }
    let mut taken = 0;
    while let Some(ended) = clients.join_next().await {
        taken += ended??;
    }
    ensure!((3..=99).contains(&taken), "{taken}");
    let lowest =
        client.json(&format!("/v1/accounts/{account}/state?effective_at={}", day(15))).await?;
    ensure!(lowest["account"]["balance"] == 100 - taken, "{lowest}, {taken} withdrawn");
    let rest = json!({"amount": 100 - taken, "effective_at": day(10)});
    done(&client, &path("withdrawals"), rest).await?;
    refused(
        &client,
        &path("withdrawals"),
        json!({"amount": 1, "effective_at": day(10)}),
        "insufficient_funds",
    )
    .await?;
    pair.assert_consistent(&[]).await.map(drop)
}
