//! The limit of quarantined events of a partition.

use anyhow::{Context, ensure};
use passbook_shared::partition::Partition;
use serde_json::json;
use uuid::Uuid;

use super::{partition_for, resolve};
use crate::client::Client;
use crate::environment::{Environment, Pair};
use crate::process::eventually;
use crate::unreadable::{append, in_partition, open};

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_over_the_limit_stops_and_reports_why() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("quarantine_share").await?, 1).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let account = open(&commands, Uuid::new_v4()).await?;
    let elsewhere = loop {
        let id = Uuid::new_v4();
        if partition_for(id) != partition_for(account) {
            break open(&commands, id).await?;
        }
    };
    fail(&pair.environment, partition_for(account), 45).await?;
    eventually("45 events are quarantined", async || {
        let state = views.json("/admin/projection").await?;
        ensure!(state["quarantined"] == 45, "{state}");
        Ok(())
    })
    .await?;
    fail(&pair.environment, partition_for(account), 10).await?;
    stopped(&views, partition_for(account)).await?;
    commands.deposit(account, None, 1).await?;
    commands.deposit(elsewhere, None, 1).await?;
    views.json(&format!("/v1/accounts/{elsewhere}?min_version=2")).await?;
    let shown = views.json(&format!("/v1/accounts/{account}")).await?;
    ensure!(shown["version"] == 1, "the partition has not stopped: {shown}");

    let oldest = views.json("/admin/quarantine?limit=6").await?;
    ensure!(oldest["has_more"] == true, "{oldest}");
    for row in oldest["data"].as_array().context("no list")? {
        let resolved = resolve(&views, row, "discard", &json!({"reason": "a test"})).await?;
        ensure!(resolved.0 == 200, "{resolved:?}");
    }
    eventually("the partition continues below the limit", async || {
        let shown = views.json(&format!("/v1/accounts/{account}")).await?;
        ensure!(shown["version"] == 2, "{shown}");
        Ok(())
    })
    .await?;
    pair.projections[0].ready().await?;

    fail(&pair.environment, partition_for(account), 20).await?;
    stopped(&views, partition_for(account)).await?;
    pair.projections[0].stop().await?;
    pair.projections[0].set("quarantine-limit-percent", "100");
    pair.projections[0].start()?;
    pair.projections[0].ready().await?;
    commands.deposit(account, None, 1).await?;
    // The group may assign its partitions later than one query waits.
    let path = format!("/v1/accounts/{account}?min_version=3");
    let shown = eventually("the partition continues", async || views.json(&path).await).await?;
    ensure!(shown["balance"] == 2, "{shown}");
    let state = views.json("/admin/projection").await?;
    ensure!(state["quarantined"] == 45 + 10 + 20 - 6, "{state}");
    Ok(())
}

/// Appends events of an unknown type, each on an account of its own.
async fn fail(environment: &Environment, partition: Partition, count: usize) -> anyhow::Result<()> {
    for _ in 0..count {
        append(environment, in_partition(partition), 1, "AccountMelted").await?;
    }
    Ok(())
}

/// Waits until readiness reports that the partition has stopped.
async fn stopped(views: &Client, partition: Partition) -> anyhow::Result<()> {
    eventually("readiness reports that the partition has stopped", async || {
        let ready = views.get("/health/ready").await?;
        let status = ready.status();
        let body = ready.text().await?;
        let words =
            [&format!("partition {partition} stops"), "AccountMelted", "QUARANTINE_LIMIT_PERCENT"];
        ensure!(status == 503 && words.iter().all(|word| body.contains(*word)), "{body}");
        Ok(())
    })
    .await
}
