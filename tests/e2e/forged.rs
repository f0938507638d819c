//! Records that no relay has written. Anyone who can write to Kafka can write anything: such a
//! record stops no partition, and its effect on the views does not last, because the log wins.

mod attacks;
mod authenticated;
mod forger;
mod keys;
mod unusable;

use anyhow::{Context, ensure};
use passbook_shared::partition::partition_of;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use self::forger::Forger;
use crate::client::Client;
use crate::environment::{Environment, Pair};
use crate::infrastructure::PARTITIONS;
use crate::process::eventually;
use crate::verify;

async fn balance(views: &Client, account: Uuid) -> anyhow::Result<Value> {
    Ok(views.json(&format!("/v1/accounts/{account}")).await?["balance"].clone())
}

/// Waits until the views have this balance.
async fn converges_to(views: &Client, account: Uuid, expected: i64) -> anyhow::Result<()> {
    eventually("the views have the log's balance", async || {
        let found = balance(views, account).await?;
        ensure!(found == expected, "{found}, and the log has {expected}");
        Ok(())
    })
    .await
}

async fn metric(service: &Client, name: &str) -> anyhow::Result<u64> {
    let metrics = service.metrics().await?;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .with_context(|| format!("no {name}"))?;
    Ok(line.trim().parse()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_event_is_corrected_and_no_replay_restores_it() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("forged").await?, 1).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let forger = Forger::new(&pair.environment).await?;
    let account = commands.open().await?;
    let owner = json!({"owner": "eve"});
    commands.post(&format!("/v1/accounts/{account}/owner"), None, &owner).await?;
    commands.deposit(account, None, 5).await?;
    views.json(&format!("/v1/accounts/{account}?min_version=3")).await?;

    // The log has no event at that position, and gets none.
    let forged = forger.next(&forger.newest(&commands, account).await?, 777).await?;
    forger.next(&forged, 778).await?;
    eventually("the forged event is applied and corrected", async || {
        ensure!(
            metric(&views, "passbook_projection_corrections_total").await? > 0,
            "not corrected yet"
        );
        Ok(())
    })
    .await?;
    converges_to(&views, account, 1_000_005).await?;
    // The correction begins at the first of the two forged events.
    ensure!(metric(&views, "passbook_projection_corrected_events_total").await? <= 2);
    pair.projections[0].ready().await?;

    // The log gets other events at these positions.
    let forged = forger.next(&forger.newest(&commands, account).await?, 999).await?;
    forger.next(&forged, 998).await?;
    for amount in [1, 2, 3] {
        commands.deposit(account, None, amount).await?;
    }
    converges_to(&views, account, 1_000_011).await?;
    ensure!(metric(&views, "passbook_projection_corrected_events_total").await? >= 3);
    pair.assert_consistent(&[]).await?;

    for (generation, from) in [
        (2, json!({"from": "beginning"})),
        (2, json!({"from": "partition_offsets", "partition_offsets": offsets(account)})),
    ] {
        let replay = replayed(&views, &from).await?;
        converges_to(&views, account, 1_000_011).await?;
        let state = views.json("/admin/projection").await?;
        ensure!(
            state["generation"] == generation && replay["differences"].as_i64().unwrap_or(0) == 0,
            "{replay}"
        );
        verify::finds_nothing(&views).await?;
    }
    pair.projections[0].ready().await
}

fn offsets(account: Uuid) -> Value {
    json!({ partition_of(account, PARTITIONS).to_string(): 0 })
}

async fn replayed(views: &Client, from: &Value) -> anyhow::Result<Value> {
    let asked = views.post("/admin/replays", None, from).await?;
    ensure!(asked.status() == 202, "{}", asked.text().await?);
    let id = asked.json::<Value>().await?["id"].clone();
    let path = format!("/admin/replays/{}", id.as_str().context("no id")?);
    eventually("the replay is done", async || {
        let replay = views.json(&path).await?;
        ensure!(replay["state"] == "done", "{replay}");
        Ok(replay)
    })
    .await
}

/// Empties the views, so that they are built from the topic alone.
#[tokio::test(flavor = "multi_thread")]
async fn new_views_from_a_topic_with_forged_events_equal_the_log() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("forged_before").await?, 1).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let forger = Forger::new(&pair.environment).await?;
    let account = commands.open().await?;
    views.json(&format!("/v1/accounts/{account}?min_version=1")).await?;
    forger.next(&forger.newest(&commands, account).await?, 777).await?;
    for amount in 1..=20 {
        commands.deposit(account, None, amount).await?;
    }
    converges_to(&views, account, 1_000_210).await?;

    pair.projections[0].stop().await?;
    empty_views(&pair.environment).await?;
    pair.projections[0].start()?;
    pair.projections[0].ready().await?;
    converges_to(&views, account, 1_000_210).await?;
    pair.assert_consistent(&[]).await.map(drop)
}

/// Empties the views of a stopped projection-service.
async fn empty_views(environment: &Environment) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(&environment.projection_database_url).await?;
    let empty = "DELETE FROM views_1.history;
                 DELETE FROM views_1.accounts;
                 DELETE FROM views_1.quarantine;
                 UPDATE views_1.checkpoints
                    SET position = 0, event_id = NULL, kafka_offset = NULL, recorded_at = NULL;
                 DELETE FROM projection.confirmed; DELETE FROM projection.source";
    sqlx::raw_sql(empty).execute(&mut connection).await?;
    Ok(connection.close().await?)
}
