//! Provenance of entries, statements as of a time, filters by metadata, and many commands in one
//! request.

use anyhow::{Context, ensure};
use passbook_shared::timestamp::Timestamp;
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::done;
use crate::environment::{Environment, Pair};
use crate::process::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_shows_its_way_from_the_command_to_the_view() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("explained").await?, 1).await?;
    let (client, views) = (pair.command()?, pair.projection()?);
    let account = client.open().await?;
    // A consumer that starts asks the log once, so the log may supply some of the events.
    let (key, answer, way) = eventually("an event comes from the topic", async || {
        let key = Uuid::now_v7().to_string();
        let answer = client.deposit(account, Some(&key), 250).await?;
        let version = &answer["version"];
        views.json(&format!("/v1/accounts/{account}?min_version={version}")).await?;
        let way = views.json(&format!("/v1/accounts/{account}/entries/{version}")).await?;
        ensure!(way["kafka"].is_object(), "{way}");
        Ok((key, answer, way))
    })
    .await?;
    let event = &answer["events"][0];
    ensure!(
        way["event"]["event_id"] == event["event_id"] && way["position"] == answer["position"],
        "{way}"
    );
    ensure!(
        way["command"]["idempotency_key"] == key && way["command"]["command_id"].is_string(),
        "{way}"
    );
    let balance = &answer["account"]["balance"];
    ensure!(way["entry"]["amount"] == 250 && way["entry"]["balance"] == *balance, "{way}");
    ensure!(
        way["kafka"]["topic"] == pair.environment.topic.as_str() && way["kafka"]["offset"].is_i64(),
        "{way}"
    );
    let moments = ["recorded_at", "published_at", "applied_at"]
        .map(|name| way[name].as_str().unwrap_or_default());
    ensure!(
        moments.iter().all(|moment| moment.ends_with('Z')) && moments[0] <= moments[2],
        "{way}"
    );
    ensure!(moments[0] == event["recorded_at"], "{way}");
    let none = views.get(&format!("/v1/accounts/{account}/entries/999999")).await?;
    ensure!(none.status() == StatusCode::NOT_FOUND, "{}", none.status());
    pair.assert_consistent(&[]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_as_of_a_time_never_changes() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("statement").await?, 1).await?;
    let (client, views) = (pair.command()?, pair.projection()?);
    let account = client.open().await?;
    let metadata = json!({"till": "3", "shift": "late"});
    let backdated =
        json!({"amount": 70, "effective_at": "2026-01-31T12:00:00Z", "metadata": metadata});
    done(&client, &format!("/v1/accounts/{account}/deposits"), backdated).await?;
    let last = client.deposit(account, None, 5).await?;
    let as_of = last["events"][0]["recorded_at"].as_str().context("no time")?;
    let statement = |more: &str| {
        format!("/v1/accounts/{account}/entries?as_of={as_of}&from=2026-01-01T00:00:00Z{more}")
    };
    views.json(&statement("&min_version=3")).await?;
    let first = views.json(&statement("")).await?;
    ensure!(first["opening_balance"] == 0 && first["closing_balance"] == 1_000_075, "{first}");
    ensure!(first["data"][1]["effective_at"] == "2026-01-31T12:00:00.000000Z", "{first}");
    let filtered = views.json(&statement("&metadata[till]=3&metadata[shift]=late")).await?;
    ensure!(
        filtered["data"].as_array().is_some_and(|data| data.len() == 1 && data[0]["amount"] == 70),
        "{filtered}"
    );
    ensure!(views.json(&statement("&metadata[till]=4")).await?["data"] == json!([]));

    done(&client, &format!("/v1/accounts/{account}/reversals"), json!({"version": 2})).await?;
    let now = views.json(&format!("/v1/accounts/{account}/entries?min_version=4")).await?;
    ensure!(now["closing_balance"] == 1_000_005 && now["data"][2]["reversed_by"] == 4, "{now}");
    ensure!(views.json(&statement("")).await? == first, "the statement has changed");

    // As of now, while the views may be behind and the next deposit follows at once.
    for round in 0..3 {
        let answer = client.deposit(account, None, 1).await?;
        let now = Timestamp::now();
        let path = format!("/v1/accounts/{account}/entries?as_of={now}&limit=1");
        let (first, next) = tokio::join!(views.json(&path), client.deposit(account, None, 1_000));
        let (first, next) = (first?, next?);
        ensure!(first["data"][0]["version"] == answer["version"], "{round}: {first}, not {answer}");
        views.json(&format!("/v1/accounts/{account}?min_version={}", next["version"])).await?;
        ensure!(views.json(&path).await? == first, "the statement has changed");
    }
    let problem =
        views.get(&format!("/v1/accounts/{account}/entries?as_of=2999-01-01T00:00:00Z")).await?;
    ensure!(problem.status() == StatusCode::BAD_REQUEST, "{}", problem.status());

    // By effective time, the account had money then; by recording, it did not exist.
    let state =
        async |query: &str| client.json(&format!("/v1/accounts/{account}/state?{query}")).await;
    let effective = state("effective_at=2026-02-01T00:00:00Z").await?;
    // The reversal has the effective time of its entry.
    ensure!(effective["account"]["balance"] == 0, "{effective}");
    let recorded =
        client.get(&format!("/v1/accounts/{account}/state?as_of=2026-02-01T00:00:00Z")).await?;
    ensure!(recorded.status() == StatusCode::NOT_FOUND, "{}", recorded.status());
    pair.assert_consistent(&[]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_commands_in_one_request_are_answered_in_their_order() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("bulk").await?, 1).await?;
    let (client, views) = (pair.command()?, pair.projection()?);
    let accounts: Vec<Uuid> = (0..100).map(|_| Uuid::new_v4()).collect();
    let opening = |(n, account): (usize, &Uuid)| {
        json!({"type": "open", "account_id": account, "owner": format!("customer-{n}"),
            "currency": "EUR",
               "initial_deposit": 100,
               "metadata": {"branch": if n % 2 == 0 { "north" } else { "south" }},
               "idempotency_key": format!("open-{n}")})
    };
    let openings: Vec<Value> = accounts.iter().enumerate().map(opening).collect();
    let bulk = async |body: &Value| -> anyhow::Result<(StatusCode, String)> {
        let response = client.post("/v1/commands", None, body).await?;
        Ok((response.status(), response.text().await?))
    };
    let statuses = |text: &str| -> anyhow::Result<Vec<i64>> {
        let answer: Value = serde_json::from_str(text)?;
        let results = answer["results"].as_array().context("no results")?;
        Ok(results.iter().filter_map(|result| result["status"].as_i64()).collect())
    };
    let (status, first) = bulk(&json!({ "commands": openings })).await?;
    ensure!(status == StatusCode::OK && statuses(&first)? == [201; 100], "{status}: {first}");
    let (_, again) = bulk(&json!({ "commands": openings })).await?;
    ensure!(
        again.replace(r#","replayed":true"#, "") == first.replace(r#","replayed":false"#, ""),
        "{first}\n{again}"
    );

    // Transfers around a ring in one append; then again with one that is refused.
    let around = |amount: i64| -> Vec<Value> {
        let next = |n: usize| {
            let (from, to) = (accounts[n], accounts[(n + 1) % 100]);
            json!({"type": "transfer", "from": from, "to": to, "amount": amount})
        };
        (0..100).map(next).collect()
    };
    let (status, answer) = bulk(&json!({"atomic": true, "commands": around(100)})).await?;
    ensure!(status == StatusCode::OK && statuses(&answer)? == [201; 100], "{status}: {answer}");
    let mut broken = around(1);
    broken[42]["amount"] = 102.into();
    let (status, answer) = bulk(&json!({"atomic": true, "commands": broken})).await?;
    let problem: Value = serde_json::from_str(&answer)?;
    ensure!(
        status == StatusCode::UNPROCESSABLE_ENTITY
            && problem["index"] == 42
            && problem["code"] == "insufficient_funds",
        "{status}: {answer}"
    );
    let (status, answer) = bulk(&json!({ "commands": broken })).await?;
    let mut expected = [201; 100];
    expected[42] = 422;
    ensure!(status == StatusCode::OK && statuses(&answer)? == expected, "{status}: {answer}");
    pair.assert_consistent(&[]).await?;
    let found = views.json("/v1/accounts?metadata[branch]=north&limit=200").await?;
    ensure!(found["data"].as_array().is_some_and(|data| data.len() == 50), "{found}");
    Ok(())
}
