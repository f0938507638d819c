//! Acknowledgements of Kafka, by partition.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use passbook_shared::config::KafkaConfig;
use passbook_shared::partition::PartitionCount;
use passbook_shared::position::Position;
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, ProducerContext};

/// Acknowledgements that have arrived.
#[derive(Debug)]
pub(super) struct Deliveries {
    /// Number of records that were acknowledged or failed, and of other events.
    handled: AtomicU64,
    /// Last acknowledged position, by partition.
    pub(super) acknowledged: Vec<AtomicI64>,
    /// Offset after the last acknowledged record, by partition.
    pub(super) ends: Vec<AtomicI64>,
    pub(super) failure: Mutex<Option<KafkaError>>,
}

impl Deliveries {
    pub(super) fn new(partitions: PartitionCount) -> Self {
        let zeros = || partitions.all().map(|_| AtomicI64::new(0)).collect();
        Self {
            handled: AtomicU64::new(0),
            acknowledged: zeros(),
            ends: zeros(),
            failure: Mutex::new(None),
        }
    }

    /// Handles what has arrived, without waiting.
    pub(super) fn poll(&self, producer: &BaseProducer<Context>) {
        let mut handled = None;
        // A call handles one event of librdkafka, which has the results of a request.
        while handled != Some(self.handled.load(Ordering::Relaxed)) {
            handled = Some(self.handled.load(Ordering::Relaxed));
            producer.poll(Duration::ZERO);
        }
    }

    /// Returns true if the event at a position is acknowledged.
    pub(super) fn has(&self, position: Position) -> bool {
        let acknowledged = self.acknowledged.get(position.partition.index());
        acknowledged.is_some_and(|last| last.load(Ordering::Acquire) >= position.number)
    }

    /// Returns the sum of the acknowledged positions.
    pub(super) fn total(&self) -> i64 {
        self.acknowledged.iter().map(|position| position.load(Ordering::Acquire)).sum()
    }
}

/// Callbacks of the producer.
#[derive(Debug, Clone)]
pub(super) struct Context(pub(super) Arc<Deliveries>, pub(super) KafkaConfig);

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.1.token()
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.handled.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%error, reason, "the producer reported an error");
    }

    fn stats_raw(&self, _: &[u8]) {
        self.0.handled.fetch_add(1, Ordering::Relaxed);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, position: usize) {
        self.0.handled.fetch_add(1, Ordering::Relaxed);
        match result {
            Ok(record) => {
                let partition = usize::try_from(record.partition()).ok();
                if let Some(acknowledged) = partition.and_then(|p| self.0.acknowledged.get(p)) {
                    acknowledged
                        .store(i64::try_from(position).unwrap_or_default(), Ordering::Release);
                }
                // Deliveries of one partition arrive in order, but the first value comes from the
                // topic's tail.
                if let Some(end) = partition.and_then(|p| self.0.ends.get(p)) {
                    end.fetch_max(record.offset() + 1, Ordering::Release);
                }
            }
            Err((error, _)) => {
                let mut failure = self.0.failure.lock();
                failure.get_or_insert_with(|| error.clone());
            }
        }
    }
}
