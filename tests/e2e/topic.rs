//! Topics that are deleted, trimmed, or have a gap. The projection fetches missing events from the
//! log.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use passbook_shared::cloud_event;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::producer::{FutureProducer, FutureRecord};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::environment::{Environment, Pair};
use crate::infrastructure::{Kafka, PARTITIONS, TOPICS};
use crate::invariants::read_log;
use crate::load::Load;
use crate::process::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_deleted_under_load_is_filled_again() -> anyhow::Result<()> {
    topic_deleted("topic_deleted_1", 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_deleted_under_load_is_filled_again_with_two_of_each() -> anyhow::Result<()> {
    topic_deleted("topic_deleted_2", 2).await
}

async fn topic_deleted(name: &'static str, instances: usize) -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new(name).await?, instances).await?;
    let load = Load::start(&pair.command()?, 8, 40).await?;
    load.further(200).await?;
    lose_topic(&mut pair).await?;
    load.further(200).await?;
    let acknowledged = load.stop().await?;
    pair.assert_consistent(&acknowledged).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_topic_that_is_deleted_is_filled_again() -> anyhow::Result<()> {
    topic_deleted_idle("topic_deleted_idle_1", 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_topic_that_is_deleted_is_filled_again_with_two_of_each() -> anyhow::Result<()> {
    topic_deleted_idle("topic_deleted_idle_2", 2).await
}

/// Deletes the topic while the relay has nothing to publish, which it must notice all the same.
async fn topic_deleted_idle(name: &'static str, instances: usize) -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new(name).await?, instances).await?;
    let account = pair.command()?.open().await?;
    pair.projection()?.json(&format!("/v1/accounts/{account}?min_version=1")).await?;
    for projection in &mut pair.projections {
        projection.stop().await?;
    }
    pair.command()?.deposit(account, None, 1).await?;
    lose_topic(&mut pair).await?;
    for projection in &mut pair.projections {
        projection.start()?;
    }
    pair.assert_consistent(&[]).await.map(drop)
}

/// Deletes the topic, or replaces the in-process broker by an empty one.
pub(crate) async fn lose_topic(pair: &mut Pair) -> anyhow::Result<()> {
    if pair.environment.kafka.has_admin() {
        let (admin, options) = pair.environment.admin()?;
        for result in admin.delete_topics(&[&pair.environment.topic], &options).await? {
            result.map_err(|(topic, error)| anyhow::anyhow!("{topic} is not deleted: {error}"))?;
        }
    } else {
        // The in-process broker cannot delete topics. The new one has another address.
        pair.environment.kafka = Kafka::own().await?;
        for service in pair.commands.iter_mut().chain(&mut pair.projections) {
            service.kill().await?;
            service.set("kafka-brokers", &pair.environment.kafka.brokers);
            service.start()?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(containers), ignore = "needs Kafka's admin API: PASSBOOK_TEST_CONTAINERS=always")]
async fn a_trimmed_topic_is_completed_from_the_log() -> anyhow::Result<()> {
    topic_trimmed("topic_trimmed_1", 1).await
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(containers), ignore = "needs Kafka's admin API: PASSBOOK_TEST_CONTAINERS=always")]
async fn a_trimmed_topic_is_completed_from_the_log_with_two_of_each() -> anyhow::Result<()> {
    topic_trimmed("topic_trimmed_2", 2).await
}

/// Trims the topic before the views have read it.
async fn topic_trimmed(name: &'static str, instances: usize) -> anyhow::Result<()> {
    let environment = Environment::new(name).await?;
    let command = environment.command("command").await?;
    let load = Load::start(&command.client()?, 8, 40).await?;
    load.further(500).await?;
    let acknowledged = load.stop().await?;
    let log = read_log(&command.client()?).await?;
    let (admin, options) = environment.admin()?;
    let mut trim = TopicPartitionList::new();
    for (partition, events) in (0..).zip(&log) {
        trim.add_partition_offset(
            &environment.topic,
            partition,
            Offset::Offset(i64::try_from(events.len() / 2)?),
        )?;
    }
    eventually("the topic has the log, and its head is deleted", async || {
        let trimmed = admin.delete_records(&trim, &options).await?;
        trimmed.elements().iter().try_for_each(|element| element.error())?;
        Ok(())
    })
    .await?;
    let mut pair = Pair::resume(environment, command, instances).await?;
    pair.assert_consistent(&acknowledged).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_in_the_topic_is_filled_from_the_log() -> anyhow::Result<()> {
    gap("topic_with_hole_1", 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_in_the_topic_is_filled_from_the_log_with_two_of_each() -> anyhow::Result<()> {
    gap("topic_with_hole_2", 2).await
}

/// Begins each partition of a new topic with the log's newest event, so that all earlier ones are
/// missing.
async fn gap(name: &'static str, instances: usize) -> anyhow::Result<()> {
    let mut environment = Environment::new(name).await?;
    let mut command = environment.command("command").await?;
    let load = Load::start(&command.client()?, 8, 40).await?;
    load.further(500).await?;
    let acknowledged = load.stop().await?;
    let log = read_log(&command.client()?).await?;
    command.stop().await?;

    environment.topic =
        if environment.kafka.has_admin() { format!("{name}_other") } else { TOPICS[1].to_owned() };
    if environment.kafka.has_admin() {
        let (admin, options) = environment.admin()?;
        let topic = rdkafka::admin::NewTopic::new(
            &environment.topic,
            PARTITIONS.get().into(),
            rdkafka::admin::TopicReplication::Fixed(1),
        );
        admin.create_topics([&topic], &options).await?;
    }
    let store: Uuid = {
        let mut connection = PgConnection::connect(&environment.database_url).await?;
        sqlx::query_scalar("SELECT store_id FROM passbook.store").fetch_one(&mut connection).await?
    };
    let producer: FutureProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &environment.kafka.brokers)
        .create()?;
    for newest in log.iter().filter_map(|events| events.last()) {
        let (key, mut document) = (newest.account_id.to_string(), Vec::new());
        cloud_event::encode(newest, store, 0, &mut document)?;
        let record = FutureRecord::to(&environment.topic)
            .partition(newest.position.partition.into())
            .key(&key)
            .payload(&document);
        producer.send(record, Duration::from_secs(30)).await.map_err(|(error, _)| error)?;
    }

    command.set("kafka-topic", &environment.topic);
    command.start()?;
    command.ready().await?;
    let mut pair = Pair::resume(environment, command, instances).await?;
    let load = Load::start(&pair.command()?, 4, 10).await?;
    load.further(100).await?;
    let further = load.stop().await?;
    let all = [acknowledged, further].concat();
    pair.assert_consistent(&all).await?;
    let mut filled = BTreeSet::new();
    for projection in &pair.projections {
        let metrics = projection.client()?.metrics().await?;
        let gaps =
            metrics.lines().filter_map(|line| line.strip_prefix("passbook_projection_holes_total"));
        filled.extend(gaps.filter_map(|labels| Some(labels.split_once('}')?.0.to_owned())));
    }
    let filled = filled.len();
    let gaps = log.iter().filter(|events| events.len() > 1).count();
    ensure!(filled == gaps && gaps > 0, "{filled} of {gaps} gaps were noticed");
    Ok(())
}
