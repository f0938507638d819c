//! Holds over HTTP and in the views, across a restart.

use std::time::Duration;

use anyhow::{Context, ensure};
use passbook_shared::timestamp::Timestamp;
use serde_json::json;
use tokio::time::sleep;

use super::{done, refused};
use crate::environment::{Environment, Pair};
use crate::process::eventually;

/// Returns the time `millis` from now.
fn in_millis(millis: i64) -> anyhow::Result<Timestamp> {
    Timestamp::from_micros(Timestamp::now().as_micros() + millis * 1_000)
        .context("the time is out of range")
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_expire_at_their_time_even_if_the_service_was_down() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("holds_expire").await?, 1).await?;
    let client = pair.command()?;
    let account = client.open().await?;
    let holds = format!("/v1/accounts/{account}/holds");
    let mut placed = Vec::new();
    let second = in_millis(3_000)?;
    for expires_at in [Some(in_millis(500)?), Some(second), Some(in_millis(600_000)?), None] {
        let answer =
            done(&client, &holds, json!({"amount": 1_000, "expires_at": expires_at})).await?;
        ensure!(
            answer["hold"]["status"] == "open" && answer["hold"]["expires_at"] == json!(expires_at),
            "{answer}"
        );
        placed.push(answer["hold"]["hold_id"].as_str().context("no id")?.to_owned());
    }
    let views = pair.projection()?;
    // The first hold expires while the service runs, the second while it is down.
    eventually("the first hold has expired", async || {
        let expired = views.json(&format!("{holds}?status=expired")).await?;
        ensure!(expired["data"].as_array().is_some_and(|holds| holds.len() == 1), "{expired}");
        Ok(())
    })
    .await?;
    pair.commands[0].kill().await?;
    let left = second.as_micros() - Timestamp::now().as_micros();
    sleep(Duration::from_micros(u64::try_from(left).unwrap_or_default())).await;
    pair.commands[0].start()?;
    pair.commands[0].ready().await?;
    let all = eventually("the second hold has expired", async || {
        let all = views.json(&format!("{holds}?limit=10")).await?;
        let statuses: Vec<&str> = all["data"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|h| h["status"].as_str())
            .collect();
        ensure!(statuses == ["open", "open", "expired", "expired"], "{all}");
        Ok(all)
    })
    .await?;
    ensure!(all["data"][3]["hold_id"] == placed[0].as_str(), "{all}");
    ensure!(all["version"] == 7, "the version of the page: {all}");
    let view = views.json(&format!("/v1/accounts/{account}")).await?;
    ensure!(
        view["held"] == 2_000 && view["available"] == 998_000 && view["balance"] == 1_000_000,
        "{view}"
    );

    let problem =
        refused(&client, &format!("{holds}/{}/capture", placed[1]), json!({}), "hold_not_open")
            .await?;
    ensure!(problem["status"] == 422, "{problem}");
    refused(&client, &format!("{holds}/{}/release", placed[0]), json!({}), "hold_not_open").await?;
    let captured =
        done(&client, &format!("{holds}/{}/capture", placed[2]), json!({"amount": 300})).await?;
    ensure!(
        captured["hold"]["status"] == "captured" && captured["hold"]["captured"] == 300,
        "{captured}"
    );
    ensure!(
        captured["account"]["balance"] == 999_700 && captured["account"]["held"] == 1_000,
        "{captured}"
    );
    refused(&client, &format!("{holds}/{}/capture", placed[2]), json!({}), "hold_not_open").await?;
    done(&client, &format!("{holds}/{}/release", placed[3]), json!({"reason": "cancelled"}))
        .await?;
    refused(
        &client,
        &format!("{holds}/{}/release", uuid::Uuid::new_v4()),
        json!({}),
        "hold_not_found",
    )
    .await?;

    let log = pair.assert_consistent(&[]).await?;
    let count = |event_type: &str| {
        log.iter().flatten().filter(|event| event.event_type == event_type).count()
    };
    ensure!(
        (count("HoldExpired"), count("HoldCaptured"), count("HoldReleased")) == (2, 1, 1),
        "{log:?}"
    );
    Ok(())
}
