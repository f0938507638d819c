//! Producer of the relay: idempotent, with acknowledgements of all replicas and explicit
//! partitions. It has no message timeout, because dropped messages would leave gaps. A failed
//! delivery, or none for some time, ends the session.

mod deliveries;
#[cfg(test)]
mod tests;
mod traced;

use std::mem::take;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use passbook_shared::cloud_event;
use passbook_shared::config::KafkaConfig;
use passbook_shared::epoch::Epoch;
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::timestamp::Timestamp;
use passbook_shared::topic_record;
use passbook_shared::topic_record::authentication::{Signed, TopicKeys};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use uuid::Uuid;

use super::error::RelayError;
use crate::log::store::Store;
use crate::metrics;
use deliveries::{Context, Deliveries};
use traced::Traced;

/// Maximum time without an acknowledgement while events are outstanding.
const WATCHDOG: Duration = Duration::from_secs(10);
/// Total size of the added records, in bytes, from which on they are sent without waiting for more.
const FULL: usize = 1 << 20;
/// Pause while librdkafka's queue is full.
const FULL_PAUSE: Duration = Duration::from_millis(2);
/// Maximum time until Kafka must have acknowledged what is waited for.
const FLUSH: Duration = Duration::from_secs(5);
const FLUSH_PAUSE: Duration = Duration::from_millis(5);

pub(super) struct Producer {
    /// Polled by [`Producer::check`]. A thread that polls would wake for each acknowledgement, and
    /// rdkafka's own one spins for the last millisecond of each tenth of a second.
    producer: BaseProducer<Context>,
    deliveries: Arc<Deliveries>,
    topic: String,
    store_id: Uuid,
    epoch: Epoch,
    keys: TopicKeys,
    /// Records to send, and their values one after another.
    records: Vec<Record>,
    values: Vec<u8>,
    /// Last position enqueued in librdkafka, by partition.
    sent: Vec<i64>,
    /// Sum of the acknowledged positions, and the time at which it last grew.
    progress: (i64, Instant),
    traced: Traced,
}

/// Record that is not yet enqueued in librdkafka.
struct Record {
    position: Position,
    account_id: Uuid,
    recorded_at: Timestamp,
    /// End of its value in `values`.
    end: usize,
}

impl Producer {
    pub(super) fn start(
        kafka: &KafkaConfig,
        store: Store,
        epoch: Epoch,
    ) -> Result<Self, RelayError> {
        let deliveries = Arc::new(Deliveries::new(store.partitions));
        let producer: BaseProducer<Context> = kafka
            .client("passbook-relay")
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // A message that times out would be dropped and leave a gap.
            .set("message.timeout.ms", "0")
            // The session gathers the events, and `send` enqueues them at one moment.
            .set("linger.ms", "0")
            .set("batch.num.messages", "10000")
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", "131072")
            .create_with_context(Context(Arc::clone(&deliveries), kafka.clone()))?;
        kafka.authorize(producer.client());
        Ok(Self {
            producer,
            deliveries,
            topic: kafka.kafka_topic.clone(),
            store_id: store.store_id,
            epoch,
            keys: kafka.topic_keys(),
            records: Vec::new(),
            values: Vec::new(),
            sent: vec![0; store.partitions.get().into()],
            progress: (0, Instant::now()),
            traced: Traced::default(),
        })
    }

    /// Sets the position up to which the topic already holds a partition, and the offset at which
    /// it ends.
    pub(super) fn start_at(&mut self, partition: Partition, position: i64, offset: i64) {
        let index = partition.index();
        self.sent[index] = position;
        // The partition may have been this relay's before, up to another position.
        let before = self.deliveries.acknowledged[index].swap(position, Ordering::AcqRel);
        self.progress.0 += position - before;
        self.deliveries.ends[index].store(offset, Ordering::Release);
    }

    /// Returns the offset after the last known record of a partition.
    pub(super) fn end(&self, partition: Partition) -> i64 {
        self.deliveries.ends[partition.index()].load(Ordering::Acquire)
    }

    pub(super) fn acknowledged(&self, partition: Partition) -> i64 {
        self.deliveries.acknowledged[partition.index()].load(Ordering::Acquire)
    }

    /// Adds an event to the records that [`Producer::send`] sends.
    pub(super) fn add(&mut self, event: &RecordedEvent) -> Result<(), RelayError> {
        cloud_event::encode(event, self.store_id, self.epoch, &mut self.values)?;
        let RecordedEvent { position, account_id, recorded_at, .. } = *event;
        self.traced.add(event);
        self.records.push(Record { position, account_id, recorded_at, end: self.values.len() });
        Ok(())
    }

    /// Returns true if the added records are large enough for requests of their own.
    pub(super) fn is_full(&self) -> bool {
        self.values.len() >= FULL
    }

    /// Enqueues the added records in librdkafka; waits while the queue is full. Its thread sends
    /// what it finds, so that records that are enqueued one right after another go out together.
    pub(super) async fn send(&mut self) -> Result<(), RelayError> {
        // No record may follow one that Kafka has refused.
        self.check()?;
        self.traced.begin();
        let (published_at, mut start) = (Timestamp::now(), 0);
        // Taken, so that records and values stay together after an error.
        let (mut records, mut values) = (take(&mut self.records), take(&mut self.values));
        for Record { position, account_id, recorded_at, end } in records.drain(..) {
            let mut key = [0; 36];
            let key: &str = account_id.hyphenated().encode_lower(&mut key);
            let (partition, value) = (position.partition, &values[start..end]);
            let mac = self.keys.sign(Signed { partition, key: key.as_bytes(), value });
            let opaque = usize::try_from(position.number).unwrap_or_default();
            let mut record = BaseRecord::with_opaque_to(&self.topic, opaque)
                .partition(partition.into())
                .timestamp(topic_record::timestamp(recorded_at, published_at))
                .headers(topic_record::headers(published_at, mac.as_ref()))
                .key(key)
                .payload(value);
            loop {
                record = match self.producer.send(record) {
                    Ok(()) => break,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                        refused
                    }
                    Err((error, _)) => return Err(error.into()),
                };
                let (producer, deliveries) = (&self.producer, &self.deliveries);
                Self::check_progress(producer, deliveries, &self.sent, &mut self.progress)?;
                tokio::time::sleep(FULL_PAUSE).await;
            }
            self.sent[partition.index()] = position.number;
            start = end;
        }
        values.clear();
        // Their memory is used again.
        (self.records, self.values) = (records, values);
        Ok(())
    }

    /// Waits until Kafka has acknowledged the events up to a position of each partition.
    pub(super) async fn acknowledges(
        &mut self,
        positions: impl Iterator<Item = (Partition, i64)> + Clone,
    ) -> Result<(), RelayError> {
        let deadline = Instant::now() + FLUSH;
        while positions.clone().any(|(partition, last)| self.acknowledged(partition) < last) {
            self.check()?;
            if Instant::now() > deadline {
                return Err(RelayError::Stalled);
            }
            tokio::time::sleep(FLUSH_PAUSE).await;
        }
        Ok(())
    }

    /// Returns true while Kafka has not acknowledged all records. The next ones are better gathered
    /// meanwhile: librdkafka sends one request per partition and five at a time, and its thread
    /// spins while more wait.
    pub(super) fn is_busy(&mut self) -> Result<bool, RelayError> {
        self.check()?;
        Ok(self.progress.0 < self.sent.iter().sum())
    }

    /// Checks the deliveries since the last call.
    pub(super) fn check(&mut self) -> Result<(), RelayError> {
        let Self { producer, deliveries, sent, progress, traced, .. } = self;
        Self::check_progress(producer, deliveries, sent, progress)?;
        traced.end(|position| deliveries.has(position));
        Ok(())
    }

    fn check_progress(
        producer: &BaseProducer<Context>,
        deliveries: &Deliveries,
        sent: &[i64],
        progress: &mut (i64, Instant),
    ) -> Result<(), RelayError> {
        deliveries.poll(producer);
        if let Some(error) = deliveries.failure.lock().take() {
            return Err(error.into());
        }
        let (acknowledged, now) = (deliveries.total(), Instant::now());
        if acknowledged != progress.0 {
            metrics::published((acknowledged - progress.0).unsigned_abs());
            *progress = (acknowledged, now);
        } else if acknowledged == sent.iter().sum::<i64>() {
            // Nothing is outstanding, so there is no silence to measure.
            progress.1 = now;
        } else if now.duration_since(progress.1) > WATCHDOG {
            return Err(RelayError::Stalled);
        }
        Ok(())
    }
}
