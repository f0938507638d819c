//! Statements and balances by value date, and accounts imported with a past.

use anyhow::{Context, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{day, done, refused};
use crate::client::Client;
use crate::environment::{Environment, Pair};

#[tokio::test(flavor = "multi_thread")]
async fn statements_and_balances_by_value_date() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("value_dates").await?, 1).await?;
    let (client, views) = (pair.command()?, pair.projection()?);
    let account = client.open().await?;
    let path = |kind: &str| format!("/v1/accounts/{account}/{kind}");
    for (kind, amount, on) in [
        ("deposits", 100, 20),
        ("deposits", 40, 5),
        ("withdrawals", 30, 10),
        ("deposits", 7, 20),
        ("withdrawals", 1, 25),
    ] {
        done(&client, &path(kind), json!({"amount": amount, "effective_at": day(on)})).await?;
    }
    client.deposit(account, None, 3).await?;
    client.deposit(account, None, 4).await?;
    let statement = format!("/v1/accounts/{account}/entries?order=effective&min_version=8");
    let whole = views.json(&statement).await?;
    let lines = |page: &Value| -> Vec<(i64, i64)> {
        let data = page["data"].as_array().cloned().unwrap_or_default();
        data.iter()
            .filter_map(|entry| Some((entry["version"].as_i64()?, entry["balance"].as_i64()?)))
            .collect()
    };
    // By value date: 3 (+40), 4 (-30), 2 (+100), 5 (+7), 6 (-1); then those without one, by
    // recording.
    let expected = [
        (8, 1_000_123),
        (7, 1_000_119),
        (1, 1_000_116),
        (6, 116),
        (5, 117),
        (2, 110),
        (4, 10),
        (3, 40),
    ];
    ensure!(lines(&whole) == expected, "{whole}");
    ensure!(whole["opening_balance"] == 0 && whole["closing_balance"] == 1_000_123, "{whole}");

    // Pages and filters give the same lines.
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = views.json(&format!("{statement}&limit=2{cursor}")).await?;
        paged.extend(lines(&page));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    ensure!(paged == expected, "{paged:?}");
    let withdrawals = views.json(&format!("{statement}&type=MoneyWithdrawn")).await?;
    ensure!(lines(&withdrawals) == [(6, 116), (4, 10)], "{withdrawals}");
    let period = views.json(&format!("{statement}&from={}&to={}", day(10), day(25))).await?;
    ensure!(lines(&period) == [(5, 117), (2, 110), (4, 10)], "{period}");
    ensure!(period["opening_balance"] == 40 && period["closing_balance"] == 117, "{period}");

    // As of a time before the last two deposits.
    let known = views.json(&format!("/v1/accounts/{account}/entries?limit=3")).await?;
    let as_of = known["data"][2]["recorded_at"].as_str().context("no time")?.to_owned();
    let then = views.json(&format!("{statement}&as_of={as_of}&to={}", day(26))).await?;
    ensure!(lines(&then) == [(6, 116), (5, 117), (2, 110), (4, 10), (3, 40)], "{then}");

    let chart = |order: &str, views: Client| {
        let path = format!(
            "/v1/accounts/{account}/balances?order={order}&from={}&to={}&interval=week",
            day(1),
            day(29)
        );
        async move { views.json(&path).await }
    };
    let balances = |chart: &Value| -> Vec<i64> {
        let data = chart["data"].as_array().cloned().unwrap_or_default();
        data.iter().filter_map(|bucket| bucket["balance"].as_i64()).collect()
    };
    let effective = chart("effective", views.clone()).await?;
    ensure!(balances(&effective) == [10, 10, 116, 116], "{effective}");
    ensure!(
        effective["data"][0]["from"] == day(5),
        "the first bucket is not that of the first entry: {effective}"
    );
    ensure!(
        balances(&chart("recorded", views.clone()).await?).is_empty(),
        "a balance from before the opening"
    );
    pair.assert_consistent(&[]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_account_has_its_money_since_its_effective_time() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("imported").await?, 1).await?;
    let (client, views) = (pair.command()?, pair.projection()?);
    let account = Uuid::new_v4();
    let opening = |effective_at: &str| {
        json!({"account_id": account, "owner": "ada", "currency": "EUR", "initial_deposit": 100,
            "effective_at": effective_at})
    };
    let problem =
        refused(&client, "/v1/accounts", opening("2999-01-01T00:00:00Z"), "malformed_request")
            .await?;
    ensure!(problem["errors"][0]["field"] == "effective_at", "{problem}");
    let answer = done(&client, "/v1/accounts", opening(&day(5))).await?;
    ensure!(answer["events"][0]["data"]["effective_at"] == day(5), "{answer}");
    let withdrawals = format!("/v1/accounts/{account}/withdrawals");
    refused(
        &client,
        &withdrawals,
        json!({"amount": 1, "effective_at": day(4)}),
        "insufficient_funds",
    )
    .await?;
    done(&client, &withdrawals, json!({"amount": 30, "effective_at": day(10)})).await?;

    for (on, balance) in [(5, Some(100)), (9, Some(100)), (10, Some(70)), (4, None)] {
        let response =
            client.get(&format!("/v1/accounts/{account}/state?effective_at={}", day(on))).await?;
        let found =
            (response.status() == StatusCode::OK).then_some(response.json::<Value>().await?);
        ensure!(
            found.as_ref().and_then(|state| state["account"]["balance"].as_i64()) == balance,
            "{on}: {found:?}"
        );
    }
    let path = format!(
        "/v1/accounts/{account}/entries?order=effective&min_version=2&from={}&to={}",
        day(1),
        day(8)
    );
    let chart = format!(
        "/v1/accounts/{account}/balances?order=effective&from={}&to={}&interval=day",
        day(4),
        day(7)
    );
    let chart = views.json(&chart).await?;
    ensure!(chart["data"][0]["from"] == day(5), "{chart}");
    let statement = views.json(&path).await?;
    ensure!(statement["data"][0]["effective_at"] == day(5), "{statement}");
    ensure!(
        statement["opening_balance"] == 0 && statement["closing_balance"] == 100,
        "{statement}"
    );

    // One request imports an account with a later debit.
    let import = |on: u32, out: u32| {
        let opening = json!({"type": "open", "account_id": Uuid::new_v4(), "owner": "ada",
            "currency": "EUR",
            "initial_deposit": 100, "effective_at": day(on)});
        let withdrawal = json!({
            "type": "withdraw", "account_id": opening["account_id"], "amount": 100,
            "effective_at": day(out),
        });
        json!({"atomic": true, "commands": [opening, withdrawal]})
    };
    let response = client.post("/v1/commands", None, &import(5, 6)).await?;
    ensure!(response.status().is_success(), "{}", response.text().await?);
    let problem: Value = client.post("/v1/commands", None, &import(6, 5)).await?.json().await?;
    ensure!(problem["index"] == 1 && problem["at"] == day(5), "{problem}");
    let mut late = import(5, 6);
    late["commands"][0]["effective_at"] = "2999-01-01T00:00:00Z".into();
    let problem: Value = client.post("/v1/commands", None, &late).await?.json().await?;
    ensure!(problem["errors"][0]["field"] == "commands[0].effective_at", "{problem}");
    pair.assert_consistent(&[]).await.map(drop)
}
