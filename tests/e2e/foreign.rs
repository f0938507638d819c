//! What is not ours: a topic of another store, or with another number of partitions, and a log that was restored from an old
//! backup. Nothing of it is applied, and readiness says why.

use anyhow::{Context, ensure};
use rdkafka::admin::{NewTopic, TopicReplication};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::client::Client;
use crate::load::Load;
use crate::process::eventually;
use crate::site::{Pair, Site};

/// The service is not ready, and the check of this name says why in these words.
async fn refuses(service: &Client, check: &str, words: &[&str]) -> anyhow::Result<()> {
    eventually("the service says why it is not ready", async || {
        let response = service.get("/health/ready").await?;
        let (status, health) = (response.status(), response.text().await?);
        let health: Value = serde_json::from_str(&health)?;
        let reason = health["checks"][check]["reason"].as_str().unwrap_or_default();
        ensure!(status == 503 && words.iter().all(|word| reason.contains(word)), "{status}: {health}");
        Ok(())
    })
    .await
}

async fn generation_and_positions(views: &Client) -> anyhow::Result<Value> {
    let state = views.json("/admin/projection").await?;
    let positions = state["partitions"].as_array().context("no partitions")?.iter().map(|p| p["position"].clone());
    Ok(json!([state["generation"], positions.collect::<Vec<_>>()]))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_topic_of_another_store_or_of_other_partitions_is_not_applied() -> anyhow::Result<()> {
    let mut pair = Pair::start(Site::new("foreign").await?, 1).await?;
    let load = Load::start(&pair.command()?, 8, 30).await?;
    load.further(100).await?;
    load.stop().await?;
    pair.holds(&[]).await?;
    let views = pair.projection()?;
    let before = generation_and_positions(&views).await?;

    let mut other = Site::on("foreign_other", crate::ground::Kafka::shared().await?).await?;
    other.topic = if other.kafka.has_admin() { other.topic } else { pair.site.topic.clone() };
    let mut stranger = Pair::start(other, 1).await?;
    let load = Load::start(&stranger.command()?, 8, 30).await?;
    load.further(100).await?;
    load.stop().await?;
    stranger.holds(&[]).await?;

    let projection = &mut pair.projections[0];
    projection.stop().await?;
    projection.set("kafka-brokers", &stranger.site.kafka.brokers);
    projection.set("kafka-topic", &stranger.site.topic);
    projection.start()?;
    eventually("readiness says that the records are another store's", async || {
        let health: Value = serde_json::from_str(&views.get("/health/ready").await?.text().await?)?;
        let check = &health["checks"]["topic"];
        let words = ["foreign_store", "store", "KAFKA_TOPIC"];
        let told = words.iter().all(|word| check["reason"].as_str().is_some_and(|reason| reason.contains(word)));
        ensure!(told && check["state"] == "degraded", "{health}");
        Ok(())
    })
    .await?;
    ensure!(generation_and_positions(&views).await? == before, "something was applied");

    if pair.site.kafka.has_admin() {
        let (admin, options) = pair.site.admin()?;
        let five = NewTopic::new("foreign_five", 5, TopicReplication::Fixed(1));
        for made in admin.create_topics([&five], &options).await? {
            made.map_err(|(topic, error)| anyhow::anyhow!("{topic}: {error}"))?;
        }
        let projection = &mut pair.projections[0];
        projection.stop().await?;
        projection.set("kafka-topic", "foreign_five");
        projection.start()?;
        refuses(&views, "consumer", &["5 partitions", "nothing is applied"]).await?;
        ensure!(generation_and_positions(&views).await? == before, "something was applied");
    }

    // Back with its own, it goes on.
    let projection = &mut pair.projections[0];
    projection.stop().await?;
    projection.set("kafka-brokers", &pair.site.kafka.brokers);
    projection.set("kafka-topic", &pair.site.topic);
    projection.start()?;
    pair.holds(&[]).await.map(drop)
}

/// The way out that the README describes.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_restored_is_noticed_and_everything_can_be_made_anew_from_it() -> anyhow::Result<()> {
    let mut pair = Pair::start(Site::new("restored").await?, 1).await?;
    let load = Load::start(&pair.command()?, 8, 30).await?;
    load.further(200).await?;
    load.stop().await?;
    let log = pair.holds(&[]).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let before = generation_and_positions(&views).await?;
    pair.commands[0].stop().await?;

    // As in the backup: without the last event of each partition.
    let mut connection = PgConnection::connect(&pair.site.database_url).await?;
    sqlx::raw_sql(
        "SET session_replication_role = replica;
         DELETE FROM passbook.events AS e USING passbook.log_head AS h
          WHERE e.partition = h.partition AND e.position = h.position;
         DELETE FROM passbook.commands AS c WHERE NOT EXISTS (
            SELECT FROM passbook.events AS e
             WHERE e.partition = c.partition AND e.account_id = c.account_id AND e.version = c.version);
         DELETE FROM passbook.snapshots;
         UPDATE passbook.log_head SET position = position - 1 WHERE position > 0;",
    )
    .execute(&mut connection)
    .await?;
    pair.commands[0].start()?;
    refuses(&commands, "relay", &["restored", "Nothing is published"]).await?;
    pair.projections[0].kill_and_start().await?;
    refuses(&views, "log", &["restored", "the views are at position", "Nothing of the partition is applied"]).await?;
    ensure!(generation_and_positions(&views).await? == before, "something was applied");

    pair.commands[0].stop().await?;
    pair.projections[0].stop().await?;
    if pair.site.kafka.has_admin() {
        let (admin, options) = pair.site.admin()?;
        for deleted in admin.delete_topics(&[&pair.site.topic], &options).await? {
            deleted.map_err(|(topic, error)| anyhow::anyhow!("{topic}: {error}"))?;
        }
    } else {
        pair.commands[0].set("kafka-topic", crate::ground::TOPICS[1]);
        pair.projections[0].set("kafka-topic", crate::ground::TOPICS[1]);
    }
    let name = pair.site.projection_database_url.rsplit('/').next().context("no database")?.to_owned();
    for statement in [format!("DROP DATABASE {name} WITH (FORCE)"), format!("CREATE DATABASE {name}")] {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    }
    pair.site.migrate().await?;
    pair.commands[0].start()?;
    pair.commands[0].ready().await?;
    pair.projections[0].start()?;
    let load = Load::start(&commands, 8, 10).await?;
    load.further(50).await?;
    let acknowledged = load.stop().await?;
    let now = pair.holds(&acknowledged).await?;
    ensure!(log.iter().map(Vec::len).sum::<usize>() < now.iter().map(Vec::len).sum::<usize>() + 12, "the log is gone");
    Ok(())
}
