//! Records that cannot be used: garbage, other stores' events, impossible positions.

use anyhow::{Context, ensure};
use passbook_shared::position::Position;
use passbook_shared::recorded_event::RecordedEvent;
use serde_json::Value;
use uuid::Uuid;

use super::forger::{Forger, deposit};
use super::metric;
use crate::client::Client;
use crate::environment::{Environment, Pair};
use crate::infrastructure::PARTITIONS;
use crate::process::eventually;

async fn unusable(views: &Client, kind: &str) -> anyhow::Result<u64> {
    metric(views, &format!("passbook_topic_unusable_records_total{{kind=\"{kind}\"}}")).await
}

/// Writes one record or more of each unusable kind, 1,000 of them garbage.
async fn write_unusable(
    forger: &Forger,
    last: &RecordedEvent,
    first: &RecordedEvent,
) -> anyhow::Result<()> {
    let partition = last.position.partition;
    let other = PARTITIONS.all().find(|other| *other != partition).context("one partition")?;
    let other_store = Uuid::new_v4();
    let writes =
        (0..1_000).map(|n: u32| async move { forger.write(partition, &n.to_be_bytes()).await });
    futures_util::future::try_join_all(writes).await?;
    forger.event(partition, &deposit(last, 1, 1), other_store, 0).await?;
    // First in the wrong partition for its account, then with a position of another partition.
    let misplaced = Position { partition: other, number: last.position.number + 1 };
    forger
        .event(
            other,
            &RecordedEvent { position: misplaced, ..deposit(last, 1, 1) },
            forger.store,
            0,
        )
        .await?;
    forger.event(other, &deposit(last, 1, 1), forger.store, 0).await?;
    forger.event(partition, first, forger.store, 0).await?;
    forger.event(partition, &deposit(last, 1, 1), forger.store, 1_000).await?;
    let mut farthest = deposit(last, 1_000, 1);
    forger.event(partition, &farthest, forger.store, 0).await?;
    farthest.position.number = i64::MAX;
    forger.event(partition, &farthest, forger.store, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_records_are_counted_and_skipped() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("unusable").await?, 1).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let forger = Forger::new(&pair.environment).await?;
    let account = commands.open().await?;
    commands.deposit(account, None, 5).await?;
    views.json(&format!("/v1/accounts/{account}?min_version=2")).await?;
    for kind in [
        "undecodable",
        "foreign_store",
        "wrong_partition",
        "beyond_log",
        "unknown_epoch",
        "given_up",
    ] {
        ensure!(unusable(&views, kind).await? == 0, "{kind} is not registered at 0");
    }
    let last = forger.newest(&commands, account).await?;
    let first = RecordedEvent { position: Position { number: 1, ..last.position }, ..last.clone() };
    write_unusable(&forger, &last, &first).await?;
    commands.deposit(account, None, 7).await?;
    views.json(&format!("/v1/accounts/{account}?min_version=3")).await?;
    eventually("every unusable record is counted", async || {
        let expected = [
            ("undecodable", 1_000),
            ("foreign_store", 1),
            ("wrong_partition", 2),
            ("unknown_epoch", 1),
            ("beyond_log", 2),
        ];
        for (kind, count) in expected {
            let found = unusable(&views, kind).await?;
            ensure!(found == count, "{kind}: {found}, not {count}");
        }
        Ok(())
    })
    .await?;
    eventually("readiness names an unusable record and its offset", async || {
        let health: Value = serde_json::from_str(&views.get("/health/ready").await?.text().await?)?;
        let check = &health["checks"]["topic"];
        let reason = check["reason"].as_str().unwrap_or_default();
        ensure!(health["ready"] == true && check["state"] == "degraded", "{health}");
        let place = format!("of partition {}", last.position.partition);
        ensure!(
            reason.contains("undecodable 1000")
                && reason.contains("at offset ")
                && reason.contains(&place),
            "{health}"
        );
        Ok(())
    })
    .await?;
    let state = views.json("/admin/projection").await?;
    ensure!(state["quarantined"] == 0, "{state}");

    // After a restart, the projection neither counts them again nor waits for them.
    pair.projections[0].kill_and_start().await?;
    pair.projections[0].ready().await?;
    commands.deposit(account, None, 1).await?;
    views.json(&format!("/v1/accounts/{account}?min_version=4")).await?;
    pair.assert_consistent(&[]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn services_that_start_skip_unusable_records() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("unusable_at_start").await?, 1).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let forger = Forger::new(&pair.environment).await?;
    let account = commands.open().await?;
    views.json(&format!("/v1/accounts/{account}?min_version=1")).await?;
    let last = forger.newest(&commands, account).await?;
    pair.commands[0].stop().await?;
    pair.projections[0].stop().await?;
    for _ in 0..60 {
        forger.write(last.position.partition, b"\0\xff{").await?;
    }
    pair.commands[0].start()?;
    pair.commands[0].ready().await?;
    forger.event(last.position.partition, &deposit(&last, 1, 1), Uuid::new_v4(), 0).await?;
    pair.projections[0].start()?;
    pair.projections[0].ready().await?;
    commands.deposit(account, None, 3).await?;
    views.json(&format!("/v1/accounts/{account}?min_version=2")).await?;
    pair.assert_consistent(&[]).await.map(drop)
}
