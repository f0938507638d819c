//! Quarantined events that an operator discards.

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{entries, partition_for, quarantined, replayed, resolve};
use crate::environment::{Environment, Pair};
use crate::process::eventually;
use crate::unreadable::{append, in_partition, open};
use crate::verify;

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_event_is_discarded_and_its_account_continues() -> anyhow::Result<()> {
    let pair = Pair::start(Environment::new("quarantine_discard").await?, 1).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let account = open(&commands, Uuid::new_v4()).await?;
    let neighbour = open(&commands, in_partition(partition_for(account))).await?;
    for (version, event_type) in [(2, "MoneyBurnt"), (3, "MoneyDeposited")] {
        append(&pair.environment, account, version, event_type).await?;
    }
    let row = quarantined(&views, account, 1).await?;
    let detail = views.json(&format!("/admin/quarantine/{}", row["id"])).await?;
    ensure!(
        detail["document"].as_str().is_some_and(|document| document.contains("MoneyBurnt")),
        "{detail}"
    );
    ensure!(detail["events"][0]["version"] == 3 && detail["reason"] == row["reason"], "{detail}");

    commands.deposit(neighbour, None, 1).await?;
    views.json(&format!("/v1/accounts/{neighbour}?min_version=2")).await?;
    let since = row["since"].as_str().context("no time")?;
    for path in ["", "?version=1", "/entries", "/balances"] {
        let shown = views.json(&format!("/v1/accounts/{account}{path}")).await?;
        ensure!(shown["quarantined_since"] == since, "{path}: {shown}");
        let other = views.json(&format!("/v1/accounts/{neighbour}{path}")).await?;
        ensure!(other.get("quarantined_since").is_none(), "{path}: {other}");
    }
    let list = views.json("/v1/accounts").await?;
    let marked = list["data"]
        .as_array()
        .context("no list")?
        .iter()
        .filter(|row| row["quarantined_since"] == since);
    ensure!(marked.count() == 1, "{list}");
    let behind = views.get(&format!("/v1/accounts/{account}?min_version=3")).await?;
    ensure!(behind.status() == 503 && behind.json::<Value>().await?["quarantined_since"] == since);

    eventually("readiness reports the quarantine", async || {
        let check = views.json("/health/ready").await?["checks"]["quarantine"].clone();
        let reason = check["reason"].as_str().unwrap_or_default();
        ensure!(
            check["state"] == "degraded" && reason.contains("2 events are in quarantine"),
            "{check}"
        );
        Ok(())
    })
    .await?;
    let log = pair.projections[0].output();
    let line = log.lines().find(|line| line.contains("event quarantined")).context("no warning")?;
    for part in [
        "WARN",
        &format!("partition {}", partition_for(account)),
        "offset",
        &account.to_string(),
        "MoneyBurnt",
    ] {
        ensure!(line.contains(part), "no `{part}`: {line}");
    }
    let refused = resolve(&views, &row, "retry", &json!({})).await?;
    ensure!(refused.0 == 409 && refused.1["code"] == "still_unapplicable", "{refused:?}");
    ensure!(
        refused.1["reason"].as_str().is_some_and(|reason| reason.contains("MoneyBurnt")),
        "{refused:?}"
    );
    for invalid in [json!({}), json!({"reason": ""}), json!({"reason": "x".repeat(501)})] {
        let refused = resolve(&views, &row, "discard", &invalid).await?;
        ensure!(refused.0 == 400, "{refused:?}");
    }
    let resolved =
        resolve(&views, &row, "discard", &json!({"reason": "nobody burns money"})).await?;
    ensure!(resolved == (200, json!({"applied": 1, "left": 0})), "{resolved:?}");
    ensure!(resolve(&views, &row, "retry", &json!({})).await?.0 == 404);
    let shown = views.json(&format!("/v1/accounts/{account}")).await?;
    ensure!(
        shown["version"] == 3 && shown["balance"] == 1 && shown.get("quarantined_since").is_none(),
        "{shown}"
    );
    ensure!(entries(&views, account).await? == [3, 1]);
    verify::finds_nothing(&views).await?;
    let discarded = views.json("/admin/quarantine/discarded").await?;
    let first = &discarded["data"][0];
    ensure!(
        first["discard_reason"] == "nobody burns money" && first["version"] == 2,
        "{discarded}"
    );
    ensure!(
        first["document"] == detail["document"] && first["reason"] == row["reason"],
        "{discarded}"
    );

    append(&pair.environment, account, 4, "MoneyDeposited").await?;
    views.json(&format!("/v1/accounts/{account}?min_version=4")).await?;
    let offsets = json!({partition_for(account).to_string(): 1});
    for from in [
        json!({"from": "beginning"}),
        json!({"from": "account", "account_id": account}),
        json!({"from": "partition_offsets", "partition_offsets": offsets}),
    ] {
        replayed(&views, &from).await?;
        let shown = views.json(&format!("/v1/accounts/{account}")).await?;
        ensure!(
            shown["version"] == 4 && shown["balance"] == 2,
            "after a replay from {from}: {shown}"
        );
        ensure!(entries(&views, account).await? == [4, 3, 1]);
    }
    let metrics = views.metrics().await?;
    ensure!(metrics.contains("passbook_projection_quarantined_events 0"), "{metrics}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_generation_knows_of_later_discards() -> anyhow::Result<()> {
    let pair = Pair::start(Environment::new("quarantine_kept").await?, 1).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let account = open(&commands, Uuid::new_v4()).await?;
    for (version, event_type) in [(2, "MoneyBurnt"), (3, "MoneyDeposited")] {
        append(&pair.environment, account, version, event_type).await?;
    }
    quarantined(&views, account, 1).await?;
    replayed(&views, &json!({"from": "beginning"})).await?;
    let row = quarantined(&views, account, 1).await?;
    let resolved = resolve(&views, &row, "discard", &json!({"reason": "a test"})).await?;
    ensure!(resolved == (200, json!({"applied": 1, "left": 0})), "{resolved:?}");

    replayed(&views, &json!({"from": "generation", "generation": 1})).await?;
    let state = views.json("/admin/projection").await?;
    ensure!(state["generation"] == 1 && state["quarantined"] == 0, "{state}");
    let shown = views.json(&format!("/v1/accounts/{account}")).await?;
    ensure!(shown["version"] == 3 && shown["balance"] == 1, "{shown}");
    append(&pair.environment, account, 4, "MoneyDeposited").await?;
    views.json(&format!("/v1/accounts/{account}?min_version=4")).await?;
    Ok(())
}
