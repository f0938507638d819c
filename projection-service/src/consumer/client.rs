//! Kafka clients: settings, and changes of the assigned partitions.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use passbook_shared::config::KafkaConfig;
use passbook_shared::partition::Partition;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use super::topic_lag::TopicLag;

/// A consumer of the group.
pub(super) type GroupConsumer = BaseConsumer<Changes>;

/// Queue of assignment changes for the reader. Callbacks of the client only queue a change, because
/// they must not block and an assignment waits for the checkpoints.
#[derive(Debug, Default)]
pub(super) struct Changes {
    ends: Arc<TopicLag>,
    kafka: Option<KafkaConfig>,
    queue: Mutex<VecDeque<Change>>,
    /// True if the consumer is closing. No reader handles changes then.
    closing: AtomicBool,
}

/// A change of the assigned partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// Exactly these partitions are assigned.
    Given(Vec<Partition>),
    /// All partitions were revoked.
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
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.kafka.as_ref().ok_or("no settings")?.token()
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
        if let Some(kafka) = &self.kafka {
            self.ends.causes.logged(facility, &kafka.redacted(message));
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let reason = self.kafka.as_ref().map(|kafka| kafka.redacted(reason)).unwrap_or_default();
        tracing::debug!(reason, "the Kafka client reported an error");
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
        // A failed rebalance leaves no partition assigned, as a revocation does.
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
            // Closing waits for this call. A failure has no remedy, because the client ends.
            let _ = consumer.unassign();
        } else {
            self.queue.lock().push_back(change);
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(
                %error, "offsets were not committed to Kafka; the checkpoints have them"
            );
        }
    }
}

/// Context of a client outside the group. Stores its errors as causes, and reports none itself.
#[derive(Debug)]
pub(crate) struct SilentContext {
    /// Receives the causes, if they matter.
    pub(crate) ends: Option<Arc<TopicLag>>,
    pub(crate) kafka: KafkaConfig,
}

impl ClientContext for SilentContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.kafka.token()
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
        if let Some(ends) = &self.ends {
            ends.causes.logged(facility, &self.kafka.redacted(message));
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(ends) = &self.ends {
            ends.causes.said(&error, &self.kafka.redacted(reason));
        }
    }
}

impl ConsumerContext for SilentContext {}

/// Forwards a line of the client's log.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(target: "librdkafka", facility, "{message}");
        }
        // The client repeats these while brokers are unreachable; readiness reports them once.
        RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning
        | RDKafkaLogLevel::Notice
        | RDKafkaLogLevel::Info => {
            tracing::debug!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Debug => tracing::trace!(target: "librdkafka", facility, "{message}"),
    }
}

/// Creates a consumer of the group. The consumer fetches without delay, prefetches a bounded
/// amount, and never commits offsets by itself.
///
/// # Errors
/// The client rejects a setting.
pub(super) fn group_consumer(
    kafka: &KafkaConfig,
    group: &str,
    instance: Option<&str>,
    ends: &Arc<TopicLag>,
) -> anyhow::Result<GroupConsumer> {
    let mut config = kafka.client("passbook-projection");
    let settings = [
        ("group.id", group),
        // The reader commits offsets itself: after the events are applied, and with a note.
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        // An offset that no longer exists restarts at the beginning; repeats are skipped by
        // position.
        ("auto.offset.reset", "earliest"),
        ("allow.auto.create.topics", "false"),
        // An eager strategy revokes all partitions at once, as `Change::Taken` assumes.
        ("partition.assignment.strategy", "range"),
        // The minimum that brokers accept by default, for a quick takeover after a crash.
        ("session.timeout.ms", "6000"),
        ("heartbeat.interval.ms", "1500"),
        // Bounds the time to detect that a topic was created, deleted or recreated.
        ("topic.metadata.refresh.interval.ms", "2000"),
        ("fetch.min.bytes", "1"),
        ("fetch.error.backoff.ms", "100"),
        // Pause before a fetch is retried after the queue was full; the default is one second.
        ("fetch.queue.backoff.ms", "20"),
        ("queued.min.messages", "100000"),
        ("queued.max.messages.kbytes", "32768"),
        // The default of 10 s would delay the recovery after an outage.
        ("reconnect.backoff.max.ms", "2000"),
    ];
    for (name, value) in settings {
        set_unless_given(&mut config, kafka, name, value);
    }
    if let Some(instance) = instance {
        // A static member keeps its partitions during a short restart.
        config.set("group.instance.id", instance);
    }
    let context =
        Changes { ends: Arc::clone(ends), kafka: Some(kafka.clone()), ..Changes::default() };
    let consumer: GroupConsumer =
        config.create_with_context(context).map_err(|error| kafka.refused(&error))?;
    kafka.authorize(consumer.client());
    Ok(consumer)
}

/// Sets an option unless the operator set it in `KAFKA_OPTIONS`.
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
