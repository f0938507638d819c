//! Replays requested by a reset of the group's offsets. Offsets that this service commits carry a
//! note; offsets that a tool commits do not. The service first stores the replay, and then commits
//! the offsets with the note. A crash in between therefore loses no request. A lock serializes the
//! instances, so that a reset is stored once.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use passbook_shared::partition::Partition;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sqlx::PgConnection;

use super::Reader;
use super::offsets::{NOTE, note as note_of};
use crate::checkpoint::Checkpoint;
use crate::consumer::client::GroupConsumer;
use crate::store::replay_target::{Committed, by_offsets};
use crate::store::replays;

const TIMEOUT: Duration = Duration::from_secs(5);

impl Reader {
    /// Stores a replay if offsets were reset, and commits all offsets with the note.
    pub(super) fn heed_resets(
        &self,
        consumer: &GroupConsumer,
        connection: &mut PgConnection,
        checkpoints: &[Checkpoint],
    ) -> anyhow::Result<()> {
        let topic = &self.settings.kafka.kafka_topic;
        if !self.in_time(replays::try_notice_alone(connection))? {
            // The start is tried again, and the lock ends with the connection of its holder.
            bail!("another instance is checking whether the group's offsets were reset");
        }
        // Read under the lock: another instance may have restored the notes.
        let committed = committed(consumer, topic, checkpoints)?;
        if committed.is_empty() {
            // Expired or deleted offsets are no reset, and they withdraw a pending one.
            self.in_time(replays::forget(connection))?;
        } else if committed.values().any(|committed| !committed.noted) {
            match by_offsets(&committed, checkpoints) {
                Some(asked_for) => {
                    let from = serde_json::to_string(&asked_for).unwrap_or_default();
                    tracing::info!(from, "the group's offsets were reset: replaying");
                    self.in_time(replays::notice(connection, &asked_for))?;
                }
                None => {
                    tracing::info!(
                        "the group's offsets were reset to the views' positions or later: \
                         continuing"
                    );
                    self.in_time(replays::forget(connection))?;
                }
            }
            note(consumer, topic, checkpoints)?;
        }
        // This also queues a replay that a crash after `note` left pending.
        self.in_time(replays::confirm(connection))?;
        self.in_time(replays::notice_done(connection))
    }
}

/// Returns the group's committed offsets.
fn committed(
    consumer: &GroupConsumer,
    topic: &str,
    checkpoints: &[Checkpoint],
) -> anyhow::Result<BTreeMap<Partition, Committed>> {
    let mut asked = TopicPartitionList::with_capacity(checkpoints.len());
    for checkpoint in checkpoints {
        asked.add_partition(topic, checkpoint.partition.into());
    }
    let found =
        consumer.committed_offsets(asked, TIMEOUT).context("the group's offsets can't be read")?;
    let mut committed = BTreeMap::new();
    for element in found.elements() {
        element.error()?;
        let (Offset::Offset(offset), Ok(partition)) =
            (element.offset(), element.partition().try_into())
        else {
            continue;
        };
        // The first offset costs a request, and only a reset offset is compared with it.
        let noted = element.metadata().starts_with(NOTE);
        let begin = match noted {
            true => 0,
            false => consumer.fetch_watermarks(topic, element.partition(), TIMEOUT)?.0,
        };
        committed.insert(partition, Committed { offset, noted, begin });
    }
    Ok(committed)
}

/// Commits the offsets of the checkpoints, with a note.
fn note(consumer: &GroupConsumer, topic: &str, checkpoints: &[Checkpoint]) -> anyhow::Result<()> {
    let mut offsets = TopicPartitionList::with_capacity(checkpoints.len());
    for checkpoint in checkpoints {
        let mut offset = offsets.add_partition(topic, checkpoint.partition.into());
        offset.set_offset(Offset::Offset(checkpoint.kafka_offset.unwrap_or(0)))?;
        offset.set_metadata(note_of(checkpoint.position));
    }
    // The replay may be queued only once Kafka has the notes.
    consumer.commit(&offsets, CommitMode::Sync).context("offsets can't be committed to Kafka")
}
