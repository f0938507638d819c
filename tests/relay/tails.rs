//! Topics with records that no relay has written. The relay continues after its own last record,
//! and reports the others.

use std::time::Instant;

use passbook_shared::health::CheckState;
use passbook_shared::partition::{Partition, partition_of};
use passbook_shared::position::Position;
use passbook_shared::recorded_event::RecordedEvent;
use uuid::Uuid;

use crate::pipeline::PARTITIONS;
use crate::pipeline::{Pipeline, Running};

/// Kind of record that no relay has written.
#[derive(Debug, Clone, Copy)]
enum Written {
    Foreign,
    Garbage,
    FarAhead,
    AtTheEndOfNumbers,
    Repeat,
    Forged,
    WrongPartition,
    ForgedNext,
    LaterEpoch,
    EpochFarAhead,
}

/// Records that are a fork until a record of the store follows them.
const OVERRULED: [Written; 3] = [Written::ForgedNext, Written::LaterEpoch, Written::EpochFarAhead];

const ALL: [Written; 7] = [
    Written::Foreign,
    Written::Garbage,
    Written::FarAhead,
    Written::AtTheEndOfNumbers,
    Written::Repeat,
    Written::Forged,
    Written::WrongPartition,
];

impl Written {
    /// Writes such a record after events of the log.
    async fn write(self, pipeline: &Pipeline, events: &[RecordedEvent]) {
        let (partition, ours) = (events[0].position.partition, pipeline.store.store_id);
        let at = |number| {
            let position = Position { partition, number };
            RecordedEvent {
                event_id: Uuid::new_v4(),
                position,
                version: number,
                ..events[0].clone()
            }
        };
        match self {
            Self::Foreign => pipeline.forge(partition, &at(1), Uuid::new_v4(), 0).await,
            Self::Garbage => {
                let record = |n| ("garbage".to_owned(), format!("{{\"no\": {n}}}").into_bytes());
                pipeline.write_all(partition, &(0..1_000).map(record).collect::<Vec<_>>()).await;
            }
            Self::FarAhead => pipeline.forge(partition, &at(50), ours, 0).await,
            Self::AtTheEndOfNumbers => pipeline.forge(partition, &at(i64::MAX), ours, 0).await,
            Self::Repeat => pipeline.forge(partition, &events[0], ours, 0).await,
            Self::Forged => pipeline.forge(partition, &at(2), ours, 0).await,
            Self::ForgedNext => {
                let next =
                    events.iter().map(|event| event.position.number).max().unwrap_or_default() + 1;
                pipeline.forge(partition, &at(next), ours, 0).await;
            }
            Self::LaterEpoch => pipeline.forge(partition, &events[0], ours, 7).await,
            Self::EpochFarAhead => pipeline.forge(partition, &events[0], ours, 999_999).await,
            Self::WrongPartition => pipeline.forge(other_than(partition), &at(1), ours, 0).await,
        }
    }

    fn is_reported(self) -> bool {
        !matches!(self, Self::Repeat)
    }
}

impl Running {
    fn has_forks(&self) -> bool {
        self.standing.has_forks()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_written_while_the_relay_is_down_are_skipped() {
    let pipeline = Pipeline::start().await;
    let mut accounts = Vec::new();
    // A partition for each kind.
    for partition in PARTITIONS.all().take(7) {
        accounts.push(pipeline.append_to(account_in(partition), 0, 5).await.unwrap());
    }
    let relay = pipeline.relay();
    pipeline.mirrored().await;
    relay.end().await;
    for (written, events) in ALL.iter().zip(&accounts) {
        written.write(&pipeline, events).await;
        pipeline.append_to(events[0].account_id, 5, 3).await.unwrap();
    }
    let started = Instant::now();
    let relay = pipeline.relay();
    for (written, partition) in ALL.iter().zip(PARTITIONS.all()) {
        pipeline.is_mirrored_by(partition, 8).await;
        println!("{written:?}: published again after {:?}", started.elapsed());
    }
    assert!(!relay.has_forks(), "{:?}", relay.health.checks());
    relay.end().await;
    pipeline.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_written_while_the_relay_is_up_are_skipped_then_and_later() {
    let pipeline = Pipeline::start().await;
    let events = pipeline.append(5).await;
    let partition = events[0].position.partition;
    let mut relay = pipeline.relay();
    pipeline.mirrored().await;
    for (written, version) in ALL.into_iter().zip(5..) {
        written.write(&pipeline, &events).await;
        pipeline.append_to(events[0].account_id, version, 1).await.unwrap();
        pipeline.is_mirrored_by(partition, version + 1).await;
        assert!(!relay.has_forks(), "{written:?}: {:?}", relay.health.checks());
    }
    // A later relay skips them, too.
    relay.end().await;
    relay = pipeline.relay();
    pipeline.append_to(events[0].account_id, 12, 1).await.unwrap();
    pipeline.is_mirrored_by(partition, 13).await;
    assert!(!relay.has_forks(), "{:?}", relay.health.checks());
    relay.end().await;
    pipeline.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_followed_by_the_relays_own_is_no_fork_for_a_later_relay() {
    let pipeline = Pipeline::start().await;
    for (written, partition) in OVERRULED.into_iter().zip(PARTITIONS.all()) {
        let mut events = pipeline.append_to(account_in(partition), 0, 5).await.unwrap();
        let relay = pipeline.relay();
        pipeline.mirrored().await;
        written.write(&pipeline, &events).await;
        events.extend(pipeline.append_to(events[0].account_id, 5, 3).await.unwrap());
        pipeline.is_mirrored_by(partition, 8).await;
        relay.end().await;
        let relay = pipeline.relay();
        pipeline.append_to(events[0].account_id, 8, 1).await.unwrap();
        pipeline.is_mirrored_by(partition, 9).await;
        assert!(!relay.has_forks(), "{written:?}: {:?}", relay.health.checks());
        relay.end().await;
    }
    pipeline.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn skipped_records_are_reported_until_a_record_of_the_store_follows() {
    let pipeline = Pipeline::start().await;
    let events = pipeline.append(5).await;
    let relay = pipeline.relay();
    pipeline.mirrored().await;
    relay.end().await;
    for written in ALL.into_iter().filter(|written| written.is_reported()) {
        written.write(&pipeline, &events).await;
    }
    let relay = pipeline.relay();
    let reason = relay.reports("relay", |check| check.state == CheckState::Degraded).await;
    for kind in [
        "1 of another store (such as ",
        "1000 that cannot be decoded",
        "3 at positions that continue no others",
    ] {
        assert!(reason.contains(kind), "{reason}");
    }
    assert!(reason.contains("1 of another partition"), "{reason}");
    pipeline.append_to(events[0].account_id, 5, 1).await.unwrap();
    // An account in the partition that the misplaced record was written to.
    let other = other_than(events[0].position.partition);
    pipeline.append_to(account_in(other), 0, 1).await.unwrap();
    relay.reports("relay", |check| check.state == CheckState::Ok).await;
    relay.end().await;
    pipeline.end().await;
}

/// Returns another partition.
fn other_than(partition: Partition) -> Partition {
    PARTITIONS.all().find(|other| *other != partition).unwrap()
}

/// Returns a new account id of a partition.
pub(crate) fn account_in(partition: Partition) -> Uuid {
    std::iter::repeat_with(Uuid::new_v4)
        .find(|account| partition_of(*account, PARTITIONS) == partition)
        .unwrap_or_default()
}
