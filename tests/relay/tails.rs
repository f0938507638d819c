//! Topics that others have written to: the relay goes on behind the last record of its own, and says what it has passed over.

use std::time::Instant;

use passbook_shared::health::CheckState;
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::RecordedEvent;
use uuid::Uuid;

use crate::ground::{Ground, Running};

/// What anybody may write to the topic.
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

/// What no record of the store is behind yet is a fork, until one is.
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
    /// Writes it behind events of the log.
    async fn write(self, ground: &Ground, events: &[RecordedEvent]) {
        let (partition, ours) = (events[0].position.partition, ground.store.store_id);
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
            Self::Foreign => ground.forge(partition, &at(1), Uuid::new_v4(), 0).await,
            Self::Garbage => {
                let record = |n| ("garbage".to_owned(), format!("{{\"no\": {n}}}").into_bytes());
                ground.write_all(partition, &(0..1_000).map(record).collect::<Vec<_>>()).await;
            }
            Self::FarAhead => ground.forge(partition, &at(50), ours, 0).await,
            Self::AtTheEndOfNumbers => ground.forge(partition, &at(i64::MAX), ours, 0).await,
            Self::Repeat => ground.forge(partition, &events[0], ours, 0).await,
            Self::Forged => ground.forge(partition, &at(2), ours, 0).await,
            Self::ForgedNext => {
                let next =
                    events.iter().map(|event| event.position.number).max().unwrap_or_default() + 1;
                ground.forge(partition, &at(next), ours, 0).await;
            }
            Self::LaterEpoch => ground.forge(partition, &events[0], ours, 7).await,
            Self::EpochFarAhead => ground.forge(partition, &events[0], ours, 999_999).await,
            Self::WrongPartition => ground.forge((partition + 1) % 12, &at(1), ours, 0).await,
        }
    }

    fn is_passed_over(self) -> bool {
        !matches!(self, Self::Repeat)
    }
}

impl Running {
    fn has_forks(&self) -> bool {
        self.standing.has_forks()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_have_written_while_the_relay_is_down_is_passed_over() {
    let ground = Ground::start().await;
    let mut accounts = Vec::new();
    // Each in a partition of its own.
    for partition in 0..7 {
        accounts.push(ground.append_to(account_in(partition), 0, 5).await.unwrap());
    }
    let relay = ground.relay();
    ground.mirrored().await;
    relay.end().await;
    for (written, events) in ALL.iter().zip(&accounts) {
        written.write(&ground, events).await;
        ground.append_to(events[0].account_id, 5, 3).await.unwrap();
    }
    let started = Instant::now();
    let relay = ground.relay();
    for (written, partition) in ALL.iter().zip(0..) {
        ground.is_mirrored_by(partition, 8).await;
        println!("{written:?}: published again after {:?}", started.elapsed());
    }
    assert!(!relay.has_forks(), "{:?}", relay.health.checks());
    relay.end().await;
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_write_while_the_relay_is_up_is_passed_over_then_and_later() {
    let ground = Ground::start().await;
    let events = ground.append(5).await;
    let partition = events[0].position.partition;
    let mut relay = ground.relay();
    ground.mirrored().await;
    for (written, version) in ALL.into_iter().zip(5..) {
        written.write(&ground, &events).await;
        ground.append_to(events[0].account_id, version, 1).await.unwrap();
        ground.is_mirrored_by(partition, version + 1).await;
        assert!(!relay.has_forks(), "{written:?}: {:?}", relay.health.checks());
    }
    // A later relay finds the same.
    relay.end().await;
    relay = ground.relay();
    ground.append_to(events[0].account_id, 12, 1).await.unwrap();
    ground.is_mirrored_by(partition, 13).await;
    assert!(!relay.has_forks(), "{:?}", relay.health.checks());
    relay.end().await;
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_relay_has_published_over_is_no_fork_for_a_later_relay() {
    let ground = Ground::start().await;
    for (written, number) in OVERRULED.into_iter().zip(0..) {
        let mut events = ground.append_to(account_in(number), 0, 5).await.unwrap();
        let relay = ground.relay();
        ground.mirrored().await;
        written.write(&ground, &events).await;
        events.extend(ground.append_to(events[0].account_id, 5, 3).await.unwrap());
        ground.is_mirrored_by(number, 8).await;
        relay.end().await;
        let relay = ground.relay();
        ground.append_to(events[0].account_id, 8, 1).await.unwrap();
        ground.is_mirrored_by(number, 9).await;
        assert!(!relay.has_forks(), "{written:?}: {:?}", relay.health.checks());
        relay.end().await;
    }
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_passed_over_is_told_until_a_record_of_the_store_is_behind_it() {
    let ground = Ground::start().await;
    let events = ground.append(5).await;
    let relay = ground.relay();
    ground.mirrored().await;
    relay.end().await;
    for written in ALL.into_iter().filter(|written| written.is_passed_over()) {
        written.write(&ground, &events).await;
    }
    let relay = ground.relay();
    let told = relay.says("relay", |check| check.state == CheckState::Degraded).await;
    for kind in [
        "1 of another store (such as ",
        "1000 that cannot be decoded",
        "3 at positions that continue no others",
    ] {
        assert!(told.contains(kind), "{told}");
    }
    assert!(told.contains("1 of another partition"), "{told}");
    ground.append_to(events[0].account_id, 5, 1).await.unwrap();
    // An account in the partition that the misplaced record was written to.
    let next = (events[0].position.partition + 1) % 12;
    ground.append_to(account_in(next), 0, 1).await.unwrap();
    relay.says("relay", |check| check.state == CheckState::Ok).await;
    relay.end().await;
    ground.end().await;
}

/// The id of an account of a partition.
pub(crate) fn account_in(partition: Partition) -> Uuid {
    std::iter::repeat_with(Uuid::new_v4)
        .find(|account| passbook_shared::partition::partition_of(*account, 12) == partition)
        .unwrap_or_default()
}
