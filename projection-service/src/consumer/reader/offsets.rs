//! Offsets committed to Kafka. A note distinguishes them from offsets that a tool has reset.

use std::time::Instant;

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Reader;
use crate::consumer::client::GroupConsumer;

/// Prefix of the note on a committed offset. Tools commit offsets without a note.
pub(super) const NOTE: &str = "passbook:";

/// Returns the note for the offset after the event at `position`.
pub(super) fn note(position: i64) -> String {
    format!("{NOTE}position={position}")
}

impl Reader {
    /// Commits the applied offsets to Kafka, with a note.
    pub(super) fn commit(&mut self, consumer: &GroupConsumer) {
        // A failed commit must not be repeated in every turn.
        self.committed_at = Instant::now();
        let applied = self.handoff.take_applied();
        if applied.is_empty() {
            return;
        }
        let topic = &self.settings.kafka.kafka_topic;
        let mut offsets = TopicPartitionList::with_capacity(applied.len());
        for (partition, applied) in applied {
            let mut offset = offsets.add_partition(topic, partition.into());
            // Only a negative offset is invalid, and applied ones are not negative.
            let _ = offset.set_offset(Offset::Offset(applied.offset));
            offset.set_metadata(note(applied.position));
        }
        // The thread need not wait, because reading resumes from the checkpoints.
        if let Err(error) = consumer.commit(&offsets, CommitMode::Async) {
            tracing::debug!(
                %error, "offsets were not committed to Kafka; the checkpoints have them"
            );
        }
    }
}
