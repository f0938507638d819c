//! Announcement of an epoch in the topic, before its acceptance is answered.
//!
//! An epoch that the topic does not know could begin a second time, after another restore. A backup
//! from the first one would then pass for the log of the second.

use std::collections::BTreeMap;

use passbook_shared::config::KafkaConfig;
use passbook_shared::epoch::Epoch;
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use sqlx::PgConnection;

use super::error::RelayError;
use super::producer::Producer;
use crate::log::feed;
use crate::log::store::Store;

/// Publishes the event at a position of each partition once more, in a new epoch, and waits for
/// Kafka.
pub(crate) async fn announce(
    kafka: &KafkaConfig,
    store: Store,
    epoch: Epoch,
    connection: &mut PgConnection,
    positions: &BTreeMap<Partition, i64>,
) -> Result<(), RelayError> {
    let mut producer = Producer::start(kafka, store, epoch)?;
    let announced = publish(&mut producer, connection, positions).await;
    // Dropping the producer waits for its threads.
    let _ = tokio::task::spawn_blocking(move || drop(producer)).await;
    announced
}

async fn publish(
    producer: &mut Producer,
    connection: &mut PgConnection,
    positions: &BTreeMap<Partition, i64>,
) -> Result<(), RelayError> {
    let mut published = Vec::new();
    for (partition, position) in positions {
        // The positions before it were published by others.
        producer.start_at(*partition, position - 1, 0);
        for event in feed::after(connection, *partition, position - 1, 1).await? {
            producer.add(&event)?;
            published.push(event.position);
        }
    }
    producer.send().await?;
    let sent = published.iter().map(|sent: &Position| (sent.partition, sent.number));
    producer.acknowledges(sent).await
}
