//! Reversals of each kind of entry, linked both ways; a reversal that breaks a rule names the
//! account.

use anyhow::{Context, ensure};
use serde_json::json;

use super::{done, refused};
use crate::environment::{Environment, Pair};

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_entry_is_reversed_once_and_linked_both_ways() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("reversed").await?, 1).await?;
    let (client, views) = (pair.command()?, pair.projection()?);
    let [one, other] = [client.open().await?, client.open().await?];
    let reversals = format!("/v1/accounts/{one}/reversals");
    done(&client, &format!("/v1/accounts/{one}/deposits"), json!({"amount": 500})).await?;
    done(&client, &format!("/v1/accounts/{one}/withdrawals"), json!({"amount": 200})).await?;
    let sent =
        done(&client, "/v1/transfers", json!({"from": one, "to": other, "amount": 300})).await?;
    let received =
        done(&client, "/v1/transfers", json!({"from": other, "to": one, "amount": 40})).await?;
    ensure!(received["to"]["account"]["balance"] == 1_000_040, "{received}");
    // Versions of `one`: 1 opening, 2 deposit, 3 withdrawal, 4 sent, 5 received; then the
    // reversals.
    for (version, balance) in [(2, 999_540), (3, 999_740), (4, 1_000_040), (5, 1_000_000)] {
        let answer =
            done(&client, &reversals, json!({"version": version, "reference": "undone"})).await?;
        ensure!(
            answer["account"]["balance"] == balance && answer["version"] == version + 4,
            "{answer}"
        );
        let problem =
            refused(&client, &reversals, json!({"version": version}), "already_reversed").await?;
        ensure!(problem["reversed_by"] == version + 4, "{problem}");
    }
    for version in [1, 6] {
        refused(&client, &reversals, json!({"version": version}), "not_reversible").await?;
    }
    refused(&client, &reversals, json!({"version": 10}), "version_not_found").await?;

    let statement = views.json(&format!("/v1/accounts/{one}/entries?min_version=9")).await?;
    for (entry, version) in
        statement["data"].as_array().context("no entries")?.iter().rev().zip(1..)
    {
        let (reverses, reversed_by) = match version {
            2..=5 => (json!(null), json!(version + 4)),
            6..=9 => (json!(version - 4), json!(null)),
            _ => (json!(null), json!(null)),
        };
        ensure!(
            entry["reverses"] == reverses && entry["reversed_by"] == reversed_by,
            "{version}: {entry}"
        );
    }
    for (transfer, reversed_by) in [(&sent, (8, 4)), (&received, (9, 5))] {
        let id = transfer["transfer_id"].as_str().context("no id")?;
        let view = views.json(&format!("/v1/transfers/{id}")).await?;
        let own =
            if view["from"]["account_id"] == json!(one) { ("from", "to") } else { ("to", "from") };
        ensure!(
            view[own.0]["reversed_by"] == reversed_by.0
                && view[own.1]["reversed_by"] == reversed_by.1,
            "{view}"
        );
    }

    // A read of a transfer can wait for its reversal.
    let sent =
        done(&client, "/v1/transfers", json!({"from": one, "to": other, "amount": 1})).await?;
    let reversals = format!("/v1/accounts/{one}/reversals");
    let reversal = done(&client, &reversals, json!({"version": sent["from"]["version"]})).await?;
    let (id, position) = (sent["transfer_id"].as_str(), reversal["position"].as_str());
    let (id, position) = (id.context("no id")?, position.context("no position")?);
    let view = views.json(&format!("/v1/transfers/{id}?at_least={position}")).await?;
    ensure!(view["from"]["reversed_by"] == reversal["version"], "{view}");
    pair.assert_consistent(&[]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reversal_that_breaks_a_rule_of_the_counterparty_changes_nothing() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("reversal_refused").await?, 1).await?;
    let client = pair.command()?;
    let [one, other] = [client.open().await?, client.open().await?];
    let sent =
        done(&client, "/v1/transfers", json!({"from": one, "to": other, "amount": 300})).await?;
    done(&client, &format!("/v1/accounts/{other}/withdrawals"), json!({"amount": 1_000_200}))
        .await?;
    let (reversals, version) =
        (format!("/v1/accounts/{one}/reversals"), sent["from"]["version"].clone());
    let problem =
        refused(&client, &reversals, json!({"version": version}), "insufficient_funds").await?;
    ensure!(problem["account_id"] == json!(other) && problem["available"] == 100, "{problem}");
    // With the money back, the reversal succeeds as of the time of its return, and not before.
    let back =
        done(&client, &format!("/v1/accounts/{other}/deposits"), json!({"amount": 200})).await?;
    let problem =
        refused(&client, &reversals, json!({"version": version}), "insufficient_funds").await?;
    ensure!(problem["account_id"] == json!(other) && problem["at"].is_string(), "{problem}");
    let as_of = json!({"version": version, "effective_at": back["events"][0]["recorded_at"]});
    let answer = done(&client, &reversals, as_of).await?;
    ensure!(answer["account"]["balance"] == 1_000_000, "{answer}");
    let problem = refused(
        &client,
        "/v1/transfers",
        json!({"from": one, "to": one, "amount": 1}),
        "same_account",
    )
    .await?;
    ensure!(problem["status"] == 422, "{problem}");
    let unknown = uuid::Uuid::new_v4();
    let transfer = json!({"from": one, "to": unknown, "amount": 1});
    let problem = refused(&client, "/v1/transfers", transfer, "account_not_found").await?;
    ensure!(problem["account_id"] == json!(unknown), "{problem}");
    let view = pair.projection()?.json(&format!("/v1/accounts/{other}?min_version=5")).await?;
    ensure!(view["balance"] == 0 && view["version"] == 5, "{view}");
    pair.assert_consistent(&[]).await.map(drop)
}
