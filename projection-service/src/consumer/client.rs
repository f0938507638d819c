//! The client of Kafka: its settings, and what it tells of partitions given and taken.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use passbook_shared::config::KafkaConfig;
use passbook_shared::partition::Partition;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use super::ends::Ends;

/// A consumer of the group.
pub(super) type GroupConsumer = BaseConsumer<Changes>;

/// What the group says about our partitions, until the reader gets to it. The reader answers: with an assignment it
/// waits for the checkpoints, which the client's callback must not do.
#[derive(Debug, Default)]
pub(super) struct Changes {
    ends: Arc<Ends>,
    kafka: Option<KafkaConfig>,
    queue: Mutex<VecDeque<Change>>,
    /// The consumer is being closed: there is no reader to answer any more.
    closing: AtomicBool,
}

/// A change of our partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// These are ours, and no others.
    Given(Vec<Partition>),
    /// None is ours any more.
    Taken,
}

impl Changes {
    pub(super) fn next(&self) -> Option<Change> {
        self.queue.lock().pop_front()
    }

    pub(super) fn has_news(&self) -> bool {
        !self.queue.lock().is_empty()
    }

    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }
}

impl ClientContext for Changes {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
        if let Some(kafka) = &self.kafka {
            self.ends.causes.logged(facility, &kafka.redacted(message));
        }
    }

    fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
        let reason = self.kafka.as_ref().map(|kafka| kafka.redacted(reason)).unwrap_or_default();
        tracing::debug!(reason, "the Kafka client has trouble");
        self.ends.causes.said(&error, &reason);
    }
}

impl ConsumerContext for Changes {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        error: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let change = if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            let numbers = partitions
                .elements()
                .iter()
                .filter_map(|element| element.partition().try_into().ok())
                .collect();
            Change::Given(numbers)
        } else {
            Change::Taken
        };
        if self.closing.load(Ordering::Acquire) {
            let _ = consumer.unassign();
        } else {
            self.queue.lock().push_back(change);
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "offsets were not committed to Kafka; the checkpoints have them");
        }
    }
}

/// The client's own log, in ours.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(target: "librdkafka", facility, "{message}");
        }
        // Brokers that are away, over and over: readiness tells it once.
        RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning
        | RDKafkaLogLevel::Notice
        | RDKafkaLogLevel::Info => {
            tracing::debug!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Debug => tracing::trace!(target: "librdkafka", facility, "{message}"),
    }
}

/// A consumer of the group. Fetches at once whatever there is, keeps a bounded amount ready, and commits nothing of its
/// own accord.
///
/// # Errors
/// A setting that the client does not take.
pub(super) fn group_consumer(
    kafka: &KafkaConfig,
    group: &str,
    instance: Option<&str>,
    ends: &Arc<Ends>,
) -> anyhow::Result<GroupConsumer> {
    let mut config = kafka.client("passbook-projection");
    let settings = [
        ("group.id", group),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        // An offset that is gone: what is there from the beginning, repeats are skipped by their positions.
        ("auto.offset.reset", "earliest"),
        ("allow.auto.create.topics", "false"),
        ("partition.assignment.strategy", "range"),
        ("session.timeout.ms", "6000"),
        ("heartbeat.interval.ms", "1500"),
        // A topic that comes, goes, or is made anew is noticed within this.
        ("topic.metadata.refresh.interval.ms", "2000"),
        ("fetch.min.bytes", "1"),
        ("fetch.error.backoff.ms", "100"),
        // A full queue is looked at again this soon, not after a second.
        ("fetch.queue.backoff.ms", "20"),
        ("queued.min.messages", "100000"),
        ("queued.max.messages.kbytes", "32768"),
        ("reconnect.backoff.max.ms", "2000"),
    ];
    for (name, value) in settings {
        set_unless_given(&mut config, kafka, name, value);
    }
    if let Some(instance) = instance {
        config.set("group.instance.id", instance);
    }
    let context =
        Changes { ends: Arc::clone(ends), kafka: Some(kafka.clone()), ..Changes::default() };
    config.create_with_context(context).map_err(|error| kafka.refused(&error))
}

/// What the operator says in `KAFKA_OPTIONS` goes before what we think.
pub(crate) fn set_unless_given(
    config: &mut rdkafka::ClientConfig,
    kafka: &KafkaConfig,
    name: &str,
    value: &str,
) {
    if !kafka.sets(name) {
        config.set(name, value);
    }
}
