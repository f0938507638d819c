//! A topic that is deleted, trimmed, or has a hole: the log is in Postgres, and what the topic lacks is fetched there.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use passbook_shared::cloud_event;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::producer::{FutureProducer, FutureRecord};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::ground::{Kafka, PARTITIONS, TOPICS};
use crate::load::Load;
use crate::process::eventually;
use crate::site::{Pair, Site};
use crate::truth::read_log;

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_deleted_under_load_is_filled_again() -> anyhow::Result<()> {
    topic_deleted("topic_deleted_1", 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_deleted_under_load_is_filled_again_with_two_of_each() -> anyhow::Result<()> {
    topic_deleted("topic_deleted_2", 2).await
}

async fn topic_deleted(name: &'static str, instances: usize) -> anyhow::Result<()> {
    let mut pair = Pair::start(Site::new(name).await?, instances).await?;
    let load = Load::start(&pair.command()?, 8, 40).await?;
    load.further(200).await?;
    lose_topic(&mut pair).await?;
    load.further(200).await?;
    let acknowledged = load.stop().await?;
    pair.holds(&acknowledged).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_deleted_while_nothing_happens_is_filled_again() -> anyhow::Result<()> {
    topic_deleted_idle("topic_deleted_idle_1", 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_deleted_while_nothing_happens_is_filled_again_with_two_of_each()
-> anyhow::Result<()> {
    topic_deleted_idle("topic_deleted_idle_2", 2).await
}

/// The relay has nothing to publish, and still has to notice.
async fn topic_deleted_idle(name: &'static str, instances: usize) -> anyhow::Result<()> {
    let mut pair = Pair::start(Site::new(name).await?, instances).await?;
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
    pair.holds(&[]).await.map(drop)
}

/// Deletes the topic.
pub(crate) async fn lose_topic(pair: &mut Pair) -> anyhow::Result<()> {
    if pair.site.kafka.has_admin() {
        let (admin, options) = pair.site.admin()?;
        for result in admin.delete_topics(&[&pair.site.topic], &options).await? {
            result.map_err(|(topic, error)| anyhow::anyhow!("{topic} is not deleted: {error}"))?;
        }
    } else {
        // The in-process broker deletes nothing; a new one has nothing. It listens elsewhere.
        pair.site.kafka = Kafka::own().await?;
        for service in pair.commands.iter_mut().chain(&mut pair.projections) {
            service.kill().await?;
            service.set("kafka-brokers", &pair.site.kafka.brokers);
            service.start()?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trimmed_topic_is_made_up_for_from_the_feed() -> anyhow::Result<()> {
    topic_trimmed("topic_trimmed_1", 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trimmed_topic_is_made_up_for_from_the_feed_with_two_of_each() -> anyhow::Result<()> {
    topic_trimmed("topic_trimmed_2", 2).await
}

/// The head of the topic is gone before the views have read it.
async fn topic_trimmed(name: &'static str, instances: usize) -> anyhow::Result<()> {
    let site = Site::new(name).await?;
    if !site.kafka.has_admin() {
        eprintln!("the in-process broker can't be told to trim a topic: see the hole instead");
        return Ok(());
    }
    let command = site.command("command").await?;
    let load = Load::start(&command.client()?, 8, 40).await?;
    load.further(500).await?;
    let acknowledged = load.stop().await?;
    let log = read_log(&command.client()?).await?;
    let (admin, options) = site.admin()?;
    let mut trim = TopicPartitionList::new();
    for (partition, events) in (0..).zip(&log) {
        trim.add_partition_offset(
            &site.topic,
            partition,
            Offset::Offset(i64::try_from(events.len() / 2)?),
        )?;
    }
    eventually("the topic holds the log, and its head is deleted", async || {
        let trimmed = admin.delete_records(&trim, &options).await?;
        trimmed.elements().iter().try_for_each(|element| element.error())?;
        Ok(())
    })
    .await?;
    let mut pair = Pair::resume(site, command, instances).await?;
    pair.holds(&acknowledged).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_in_the_topic_is_filled_from_the_feed() -> anyhow::Result<()> {
    hole("topic_with_hole_1", 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_in_the_topic_is_filled_from_the_feed_with_two_of_each() -> anyhow::Result<()> {
    hole("topic_with_hole_2", 2).await
}

/// Each partition of the topic begins with the log's newest event: all before it is missing.
async fn hole(name: &'static str, instances: usize) -> anyhow::Result<()> {
    let mut site = Site::new(name).await?;
    let mut command = site.command("command").await?;
    let load = Load::start(&command.client()?, 8, 40).await?;
    load.further(500).await?;
    let acknowledged = load.stop().await?;
    let log = read_log(&command.client()?).await?;
    command.stop().await?;

    site.topic =
        if site.kafka.has_admin() { format!("{name}_other") } else { TOPICS[1].to_owned() };
    if site.kafka.has_admin() {
        let (admin, options) = site.admin()?;
        let topic = rdkafka::admin::NewTopic::new(
            &site.topic,
            PARTITIONS.into(),
            rdkafka::admin::TopicReplication::Fixed(1),
        );
        admin.create_topics([&topic], &options).await?;
    }
    let store: Uuid = {
        let mut connection = PgConnection::connect(&site.database_url).await?;
        sqlx::query_scalar("SELECT store_id FROM passbook.store").fetch_one(&mut connection).await?
    };
    let producer: FutureProducer =
        rdkafka::ClientConfig::new().set("bootstrap.servers", &site.kafka.brokers).create()?;
    for newest in log.iter().filter_map(|events| events.last()) {
        let (key, mut document) = (newest.account_id.to_string(), Vec::new());
        cloud_event::encode(newest, store, 0, &mut document)?;
        let record = FutureRecord::to(&site.topic)
            .partition(newest.position.partition.into())
            .key(&key)
            .payload(&document);
        producer.send(record, Duration::from_secs(30)).await.map_err(|(error, _)| error)?;
    }

    command.set("kafka-topic", &site.topic);
    command.start()?;
    command.ready().await?;
    let mut pair = Pair::resume(site, command, instances).await?;
    let load = Load::start(&pair.command()?, 4, 10).await?;
    load.further(100).await?;
    let later = load.stop().await?;
    let all = [acknowledged, later].concat();
    pair.holds(&all).await?;
    let mut filled = BTreeSet::new();
    for projection in &pair.projections {
        let metrics = projection.client()?.get("/metrics").await?.text().await?;
        let holes =
            metrics.lines().filter_map(|line| line.strip_prefix("passbook_projection_holes_total"));
        filled.extend(holes.filter_map(|labels| Some(labels.split_once('}')?.0.to_owned())));
    }
    let filled = filled.len();
    let holes = log.iter().filter(|events| events.len() > 1).count();
    ensure!(filled == holes && holes > 0, "{filled} of {holes} holes were noticed");
    Ok(())
}
