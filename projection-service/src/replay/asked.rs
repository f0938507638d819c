//! What can be asked for, and what resets of the consumer group's offsets ask for: pure.

use std::collections::BTreeMap;

use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::store::checkpoints::Checkpoint;

/// From where events are to be applied again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// All of them, into a new generation of the views, which then takes over.
    Beginning,
    /// Those recorded then or later.
    Time(Timestamp),
    /// Those from these offsets of the topic on, by partition.
    PartitionOffsets(BTreeMap<Partition, i64>),
    /// All of one account.
    AccountId(Uuid),
    /// A generation that was kept is brought up to date, and takes over again.
    Generation(i32),
}

/// An offset that the group has for a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Where to read on.
    pub offset: i64,
    /// Whether it carries our note: a tool that resets offsets writes none.
    pub noted: bool,
    /// Where the topic's partition begins.
    pub begin: i64,
}

/// What the group's offsets ask for, if somebody has reset them.
pub fn by_offsets(
    committed: &BTreeMap<Partition, Committed>,
    checkpoints: &[Checkpoint],
) -> Option<From> {
    if committed.values().all(|committed| committed.noted) {
        return None;
    }
    let everywhere =
        checkpoints.iter().all(|checkpoint| committed.contains_key(&checkpoint.partition));
    if everywhere
        && committed
            .values()
            .all(|committed| !committed.noted && committed.offset <= committed.begin)
    {
        // With nothing applied, that is where reading begins anyway.
        return checkpoints
            .iter()
            .any(|checkpoint| checkpoint.position > 0)
            .then_some(From::Beginning);
    }
    let applied = |partition| {
        checkpoints.iter().find(|c| c.partition == partition).and_then(|c| c.kafka_offset)
    };
    let back: BTreeMap<Partition, i64> = committed
        .iter()
        // Forward, nothing is left out: positions are dense.
        .filter(|(partition, committed)| {
            !committed.noted
                && applied(**partition).is_some_and(|applied| committed.offset < applied)
        })
        .map(|(partition, committed)| (*partition, committed.offset))
        .collect();
    (!back.is_empty()).then_some(From::PartitionOffsets(back))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(partition: Partition, position: i64) -> Checkpoint {
        let kafka_offset = (position > 0).then_some(position);
        Checkpoint {
            partition,
            position,
            epoch: 0,
            kafka_offset,
            event_id: None,
            recorded_at: None,
        }
    }

    fn committed(offsets: &[(Partition, i64, bool)]) -> BTreeMap<Partition, Committed> {
        offsets
            .iter()
            .map(|(p, offset, noted)| (*p, Committed { offset: *offset, noted: *noted, begin: 0 }))
            .collect()
    }

    #[test]
    fn only_offsets_without_our_note_ask_for_something() {
        let at = [checkpoint(0, 10), checkpoint(1, 20)];
        let asked = |offsets: &[(Partition, i64, bool)]| by_offsets(&committed(offsets), &at);
        let back = |offsets: &[(Partition, i64)]| {
            Some(From::PartitionOffsets(offsets.iter().copied().collect()))
        };

        assert_eq!(asked(&[]), None, "a new group, or offsets that expired");
        assert_eq!(asked(&[(0, 10, true), (1, 20, true)]), None, "our own last commit");
        assert_eq!(asked(&[(0, 0, true), (1, 0, true)]), None, "ours, wherever it is");
        assert_eq!(asked(&[(0, 0, false), (1, 0, false)]), Some(From::Beginning));
        assert_eq!(
            asked(&[(0, 0, false)]),
            back(&[(0, 0)]),
            "one partition's beginning is not all of it"
        );
        assert_eq!(asked(&[(0, 0, false), (1, 20, true)]), back(&[(0, 0)]));
        assert_eq!(asked(&[(0, 4, false), (1, 20, false)]), back(&[(0, 4)]));
        assert_eq!(asked(&[(0, 10, false), (1, 20, false)]), None, "the offsets it had");
        assert_eq!(asked(&[(0, 12, false), (1, 25, false)]), None, "nothing is left out");
    }

    #[test]
    fn with_nothing_applied_there_is_nothing_to_go_back_to() {
        let at = [checkpoint(0, 0), checkpoint(1, 0)];
        assert_eq!(by_offsets(&committed(&[(0, 0, false), (1, 0, false)]), &at), None);
        assert_eq!(by_offsets(&committed(&[(1, 0, false)]), &at), None);
    }

    #[test]
    fn a_topic_that_was_cut_begins_later() {
        let at = [checkpoint(0, 10)];
        let offset = |offset| BTreeMap::from([(0, Committed { offset, noted: false, begin: 5 })]);
        assert_eq!(by_offsets(&offset(5), &at), Some(From::Beginning));
        assert_eq!(
            by_offsets(&offset(6), &at),
            Some(From::PartitionOffsets(BTreeMap::from([(0, 6)])))
        );
    }
}
