//! Topics that are not this store's: of another store, or with another number of partitions. None
//! of their records is applied, and readiness reports why.

use anyhow::{Context, ensure};
use rdkafka::admin::{NewTopic, TopicReplication};
use serde_json::{Value, json};

use crate::client::Client;
use crate::environment::{Environment, Pair};
use crate::load::Load;
use crate::process::eventually;

/// Waits until the service is not ready, and the check `check` gives a reason with these words.
async fn refuses(service: &Client, check: &str, words: &[&str]) -> anyhow::Result<()> {
    eventually("the service reports why it is not ready", async || {
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
async fn the_topic_of_another_store_is_not_applied() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("foreign").await?, 1).await?;
    let load = Load::start(&pair.command()?, 8, 30).await?;
    load.further(100).await?;
    load.stop().await?;
    pair.assert_consistent(&[]).await?;
    let views = pair.projection()?;
    let before = generation_and_positions(&views).await?;

    let mut other =
        Environment::on("foreign_other", crate::infrastructure::Kafka::shared().await?).await?;
    other.topic =
        if other.kafka.has_admin() { other.topic } else { pair.environment.topic.clone() };
    let mut other_pair = Pair::start(other, 1).await?;
    let load = Load::start(&other_pair.command()?, 8, 30).await?;
    load.further(100).await?;
    load.stop().await?;
    other_pair.assert_consistent(&[]).await?;

    let projection = &mut pair.projections[0];
    projection.stop().await?;
    projection.set("kafka-brokers", &other_pair.environment.kafka.brokers);
    projection.set("kafka-topic", &other_pair.environment.topic);
    projection.start()?;
    eventually("readiness reports that the records are another store's", async || {
        let health: Value = serde_json::from_str(&views.get("/health/ready").await?.text().await?)?;
        let check = &health["checks"]["topic"];
        let words = ["foreign_store", "store", "KAFKA_TOPIC"];
        let named = words
            .iter()
            .all(|word| check["reason"].as_str().is_some_and(|reason| reason.contains(word)));
        ensure!(named && check["state"] == "degraded", "{health}");
        Ok(())
    })
    .await?;
    ensure!(generation_and_positions(&views).await? == before, "a foreign record was applied");

    // With its own topic again, it continues.
    let projection = &mut pair.projections[0];
    projection.stop().await?;
    projection.set("kafka-brokers", &pair.environment.kafka.brokers);
    projection.set("kafka-topic", &pair.environment.topic);
    projection.start()?;
    pair.assert_consistent(&[]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(containers), ignore = "needs Kafka's admin API: PASSBOOK_TEST_CONTAINERS=always")]
async fn a_topic_with_another_number_of_partitions_is_not_applied() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("foreign_partitions").await?, 1).await?;
    let load = Load::start(&pair.command()?, 8, 30).await?;
    load.further(100).await?;
    load.stop().await?;
    pair.assert_consistent(&[]).await?;
    let views = pair.projection()?;
    let before = generation_and_positions(&views).await?;

    let (admin, options) = pair.environment.admin()?;
    let five = NewTopic::new("foreign_five", 5, TopicReplication::Fixed(1));
    for created in admin.create_topics([&five], &options).await? {
        created.map_err(|(topic, error)| anyhow::anyhow!("{topic}: {error}"))?;
    }
    let projection = &mut pair.projections[0];
    projection.stop().await?;
    projection.set("kafka-topic", "foreign_five");
    projection.start()?;
    refuses(&views, "consumer", &["5 partitions", "nothing is applied"]).await?;
    ensure!(generation_and_positions(&views).await? == before, "a foreign record was applied");

    let projection = &mut pair.projections[0];
    projection.stop().await?;
    projection.set("kafka-topic", &pair.environment.topic);
    projection.start()?;
    pair.assert_consistent(&[]).await.map(drop)
}
