//! What is not ours: a topic of another store, or with another number of partitions. Nothing of it is applied, and
//! readiness says why.

use anyhow::{Context, ensure};
use rdkafka::admin::{NewTopic, TopicReplication};
use serde_json::{Value, json};

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
        ensure!(
            status == 503 && words.iter().all(|word| reason.contains(word)),
            "{status}: {health}"
        );
        Ok(())
    })
    .await
}

async fn generation_and_positions(views: &Client) -> anyhow::Result<Value> {
    let state = views.json("/admin/projection").await?;
    let positions = state["partitions"]
        .as_array()
        .context("no partitions")?
        .iter()
        .map(|p| p["position"].clone());
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
        let told = words
            .iter()
            .all(|word| check["reason"].as_str().is_some_and(|reason| reason.contains(word)));
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
