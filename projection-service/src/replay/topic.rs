//! Reader of one partition of the topic, from an offset to its current end, on a thread of its own.

use std::time::{Duration, Instant};

use passbook_shared::config::KafkaConfig;
use passbook_shared::fault::Fault;
use passbook_shared::partition::Partition;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::mpsc;

use crate::consumer::client::{SilentContext, set_unless_given};
use crate::consumer::record::Record;

/// Maximum number and total size in bytes of the records in a chunk.
const CHUNK: (usize, usize) = (2_000, 1 << 20);
/// Maximum number of chunks read ahead.
const CHUNKS: usize = 12;
/// Time without a record after which Kafka counts as unreachable.
const SILENCE: Duration = Duration::from_secs(10);

static UNREAD: Fault = Fault::new("the topic can't be read to its end");

/// Returns the records from an offset to the end of the partition, or to an error. Stops early
/// when the receiver is dropped.
pub(super) fn read(
    kafka: &KafkaConfig,
    partition: Partition,
    from: i64,
) -> mpsc::Receiver<Result<Vec<Record>, KafkaError>> {
    let (sender, records) = mpsc::channel(CHUNKS);
    let kafka = kafka.clone();
    // The Kafka client blocks while it is polled.
    tokio::task::spawn_blocking(move || {
        if let Err(error) = read_to_end(&kafka, partition, from, &sender) {
            UNREAD.occurred(format_args!(
                "partition {partition}: {}",
                kafka.redacted(&error.to_string())
            ));
            // The receiver may have left, because the target was reached.
            let _ = sender.blocking_send(Err(error));
        }
    });
    records
}

fn read_to_end(
    kafka: &KafkaConfig,
    partition: Partition,
    from: i64,
    sender: &mpsc::Sender<Result<Vec<Record>, KafkaError>>,
) -> Result<(), KafkaError> {
    let (consumer, keys) = (consumer(kafka)?, kafka.topic_keys());
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(&kafka.kafka_topic, partition.into(), Offset::Offset(from))?;
    consumer.assign(&assignment)?;
    let (most, most_bytes) = CHUNK;
    let (mut records, mut bytes, mut heard) = (Vec::with_capacity(most), 0, Instant::now());
    loop {
        let ended = match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(record)) => {
                bytes += record.payload_len();
                records.push(Record::of_topic(partition, &record, &keys));
                heard = Instant::now();
                Ok(false)
            }
            Some(Err(KafkaError::PartitionEOF(_))) => Ok(true),
            Some(Err(error)) if heard.elapsed() > SILENCE => Err(error),
            // The client retries transient errors by itself.
            Some(Err(_)) => Ok(false),
            None if heard.elapsed() > SILENCE => Err(KafkaError::Canceled),
            // Without records, no send would notice that the receiver was dropped.
            None if sender.is_closed() => return Ok(()),
            None => Ok(false),
        };
        // At the end or after an error, the records read so far are sent first.
        if records.len() >= most || bytes >= most_bytes || ended != Ok(false) {
            bytes = 0;
            if sender
                .blocking_send(Ok(std::mem::replace(&mut records, Vec::with_capacity(most))))
                .is_err()
            {
                return Ok(());
            }
        }
        if ended? {
            return Ok(());
        }
    }
}

fn consumer(kafka: &KafkaConfig) -> Result<BaseConsumer<SilentContext>, KafkaError> {
    let mut config = kafka.client("passbook-projection-replay");
    let settings = [
        // The client requires a group id, but `assign` does not join the group.
        ("group.id", "passbook-projection-replay"),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        // Without this event, the end of the partition would look like silence.
        ("enable.partition.eof", "true"),
        ("auto.offset.reset", "earliest"),
        ("allow.auto.create.topics", "false"),
        ("fetch.queue.backoff.ms", "10"),
        // Bounds the delay until the end of the partition is reported.
        ("fetch.wait.max.ms", "20"),
        ("queued.min.messages", "20000"),
        ("queued.max.messages.kbytes", "16384"),
    ];
    for (name, value) in settings {
        set_unless_given(&mut config, kafka, name, value);
    }
    let context = SilentContext { ends: None, kafka: kafka.clone() };
    let consumer: BaseConsumer<_> = config.create_with_context(context)?;
    kafka.authorize(consumer.client());
    Ok(consumer)
}
