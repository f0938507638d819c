//! Statements of past periods, cursors, and reads of accounts that the views have not seen.

use anyhow::{Context, ensure};
use passbook_shared::timestamp::Timestamp;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::done;
use crate::client::Client;
use crate::environment::{Environment, Pair};
use crate::process::eventually;

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "prints a figure")]
async fn the_first_statement_of_a_past_period_is_final() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("periods").await?, 1).await?;
    let (client, views) = (pair.command()?, pair.projection()?);
    let account = client.open().await?;
    let mut balance = 1_000_000;
    let mut wrong = 0;
    for _ in 0..40 {
        let answer = client.deposit(account, None, 1).await?;
        balance += 1;
        // The period ends right after the deposit.
        let recorded =
            answer["events"][0]["recorded_at"].as_str().context("no time")?.parse::<Timestamp>();
        let to = recorded.map_err(anyhow::Error::msg)?.as_micros() + 1;
        let to = Timestamp::from_micros(to).context("the time is out of range")?;
        let (entries, chart) = (
            format!("/v1/accounts/{account}/entries?to={to}&limit=1"),
            format!("/v1/accounts/{account}/balances?to={to}&interval=month"),
        );
        let (first, chart) = (views.json(&entries).await?, views.json(&chart).await?);
        let charted = chart["data"]
            .as_array()
            .and_then(|data| data.last())
            .map(|bucket| bucket["balance"].clone());
        wrong += i32::from(first["closing_balance"] != balance || charted != Some(json!(balance)));
        // Later deposits do not change it.
        client.deposit(account, None, 1_000).await?;
        balance += 1_000;
        wrong += i32::from(views.json(&entries).await? != first);
        let found = client.json(&format!("/v1/events?from={to}&to={to}")).await?;
        ensure!(found["data"] == json!([]), "{found}");
    }
    println!("{wrong} of 40 statements of past periods were not final");
    ensure!(wrong == 0, "{wrong} of 40");
    // A statement of an open period has all entries so far.
    let open = views
        .json(&format!("/v1/accounts/{account}/entries?to=2999-01-01T00:00:00Z&min_version=81"))
        .await?;
    ensure!(open["closing_balance"] == balance, "{open}");

    // Without the log, no period can be made final.
    let now = client.deposit(account, None, 1).await?["events"][0]["recorded_at"].clone();
    let to = now.as_str().context("no time")?;
    pair.commands[0].stop().await?;
    for path in ["entries", "balances"] {
        let response = views.get(&format!("/v1/accounts/{account}/{path}?to={to}")).await?;
        let (status, problem): (_, Value) = (response.status(), response.json().await?);
        ensure!(
            status == StatusCode::SERVICE_UNAVAILABLE
                && ["log_unavailable", "view_behind"]
                    .contains(&problem["code"].as_str().unwrap_or_default()),
            "{path}: {status}: {problem}"
        );
    }
    pair.commands[0].start()?;
    pair.assert_consistent(&[]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_accepted_only_by_its_own_list() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("cursors").await?, 1).await?;
    let (client, views) = (pair.command()?, pair.projection()?);
    let [one, other] = [client.open().await?, client.open().await?];
    for account in [one, other] {
        for amount in [1, 2, 3] {
            done(&client, &format!("/v1/accounts/{account}/holds"), json!({"amount": amount}))
                .await?;
            client.deposit(account, None, amount).await?;
        }
    }
    let entries = format!("/v1/accounts/{one}/entries?");
    let cases: [(&Client, String, Vec<String>); 4] = [
        (
            &views,
            "/v1/accounts?owner=ada&sort=balance".to_owned(),
            vec![
                "/v1/accounts?owner=bob&sort=balance".to_owned(),
                "/v1/accounts?owner=ada".to_owned(),
            ],
        ),
        (
            &views,
            entries.clone(),
            vec![
                format!("/v1/accounts/{other}/entries?"),
                format!("{entries}type=MoneyDeposited"),
                format!("{entries}from=2026-01-01T00:00:00Z"),
                format!("{entries}metadata[till]=3"),
            ],
        ),
        (
            &views,
            format!("/v1/accounts/{one}/holds?"),
            vec![format!("/v1/accounts/{one}/holds?status=open"), entries.clone()],
        ),
        (
            &client,
            "/v1/events?type=MoneyDeposited".to_owned(),
            vec!["/v1/events?".to_owned(), "/v1/events?type=HoldPlaced".to_owned()],
        ),
    ];
    views.json(&format!("/v1/accounts/{one}?min_version=7")).await?;
    views.json(&format!("/v1/accounts/{other}?min_version=7")).await?;
    for (client, list, others) in &cases {
        let page = client.json(&format!("{list}&limit=1")).await?;
        let cursor = page["next_cursor"].as_str().with_context(|| format!("{list}: {page}"))?;
        // The size of a page may change.
        client.json(&format!("{list}&limit=2&cursor={cursor}")).await?;
        for other in others {
            let response = client.get(&format!("{other}&limit=1&cursor={cursor}")).await?;
            let (status, problem): (_, Value) = (response.status(), response.json().await?);
            ensure!(
                status == StatusCode::BAD_REQUEST && problem["code"] == "malformed_request",
                "{other}: {problem}"
            );
            ensure!(problem["errors"][0]["field"] == "cursor", "{other}: {problem}");
        }
    }
    for path in [
        "/v1/accounts?min_balance=2&max_balance=1",
        "/v1/accounts?opened_since=2026-01-02T00:00:00Z&opened_until=2026-01-01T00:00:00Z",
        &format!("{entries}from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z"),
    ] {
        let response = views.get(path).await?;
        ensure!(response.status() == StatusCode::BAD_REQUEST, "{path}: {}", response.status());
    }
    pair.assert_consistent(&[]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_unknown_to_the_views_is_not_found_only_if_the_log_lacks_it()
-> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("unseen").await?, 1).await?;
    let (client, views) = (pair.command()?, pair.projection()?);
    // Without Kafka, the views receive nothing.
    pair.projections[0].set("kafka-brokers", "127.0.0.1:9");
    pair.projections[0].kill_and_start().await?;
    eventually("queries are answered", async || views.json("/v1/accounts").await).await?;
    let opened = json!({"owner": "ada", "currency": "EUR", "initial_deposit": 5});
    let response = client.post("/v1/accounts", Some("open-1"), &opened).await?;
    let location = response.headers().get("location").context("no Location")?.to_str()?.to_owned();
    let account: Value = response.json().await?;
    let account = account["account_id"].as_str().context("no id")?;
    ensure!(client.json(&location).await?["account"]["balance"] == 5, "{location}");
    let code = async |path: String| -> anyhow::Result<(u16, Value)> {
        let response = views.get(&path).await?;
        Ok((response.status().as_u16(), response.json::<Value>().await?["code"].clone()))
    };
    for path in ["", "/entries", "/holds", "/balances", "/entries/1"] {
        let found = code(format!("/v1/accounts/{account}{path}?min_version=1")).await?;
        ensure!(found == (503, json!("view_behind")), "{path}: {found:?}");
    }
    let unknown = uuid::Uuid::new_v4();
    let found = code(format!("/v1/accounts/{unknown}?min_version=1")).await?;
    ensure!(found == (404, json!("account_not_found")), "{found:?}");
    // A log that cannot be read may have it.
    pair.commands[0].stop().await?;
    let found = code(format!("/v1/accounts/{account}?min_version=1")).await?;
    ensure!(found == (503, json!("view_behind")), "{found:?}");

    let brokers = pair.environment.kafka.brokers.clone();
    pair.projections[0].set("kafka-brokers", &brokers);
    pair.commands[0].start()?;
    pair.projections[0].kill_and_start().await?;
    pair.assert_consistent(&[]).await?;
    views.json(&format!("/v1/accounts/{account}?min_version=1")).await.map(drop)
}
