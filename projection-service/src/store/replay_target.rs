//! Start of a replay, and the start that a reset of the consumer group's offsets implies.

use std::collections::BTreeMap;

use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::checkpoint::Checkpoint;

/// Start of a replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayTarget {
    /// All events, into a new generation, which then becomes live.
    Beginning,
    /// Events recorded at this time or later.
    Time(Timestamp),
    /// Events from these offsets of the topic, by partition.
    PartitionOffsets(BTreeMap<Partition, i64>),
    /// All events of one account.
    AccountId(Uuid),
    /// A kept generation, which is brought up to date and becomes live again.
    Generation(i32),
}

/// Committed offset of the consumer group for a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Next offset to read.
    pub offset: i64,
    /// True if the commit has this service's note. Tools that reset offsets write none.
    pub noted: bool,
    /// First offset of the partition.
    pub begin: i64,
}

/// Returns the start that reset offsets imply; `None` without a reset.
pub fn by_offsets(
    committed: &BTreeMap<Partition, Committed>,
    checkpoints: &[Checkpoint],
) -> Option<ReplayTarget> {
    if committed.values().all(|committed| committed.noted) {
        return None;
    }
    // An offset may be missing because it expired, which is no reset.
    let everywhere =
        checkpoints.iter().all(|checkpoint| committed.contains_key(&checkpoint.partition));
    if everywhere
        && committed
            .values()
            // A truncated topic begins after offset 0.
            .all(|committed| !committed.noted && committed.offset <= committed.begin)
    {
        // If nothing was applied, reading starts at the beginning in any case.
        return checkpoints
            .iter()
            .any(|checkpoint| checkpoint.position > 0)
            .then_some(ReplayTarget::Beginning);
    }
    let applied = |partition| {
        checkpoints.iter().find(|c| c.partition == partition).and_then(|c| c.kafka_offset)
    };
    let back: BTreeMap<Partition, i64> = committed
        .iter()
        // A reset to a later offset skips no event, because the positions reveal the gap.
        .filter(|(partition, committed)| {
            !committed.noted
                && applied(**partition).is_some_and(|applied| committed.offset < applied)
        })
        .map(|(partition, committed)| (*partition, committed.offset))
        .collect();
    (!back.is_empty()).then_some(ReplayTarget::PartitionOffsets(back))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(partition: u8, position: i64) -> Checkpoint {
        let kafka_offset = (position > 0).then_some(position);
        Checkpoint {
            partition: Partition::new(partition),
            position,
            epoch: 0,
            kafka_offset,
            event_id: None,
            recorded_at: None,
        }
    }

    fn committed(offsets: &[(u8, i64, bool)]) -> BTreeMap<Partition, Committed> {
        offsets
            .iter()
            .map(|(partition, offset, noted)| {
                let committed = Committed { offset: *offset, noted: *noted, begin: 0 };
                (Partition::new(*partition), committed)
            })
            .collect()
    }

    #[test]
    fn only_offsets_without_our_metadata_request_a_replay() {
        let at = [checkpoint(0, 10), checkpoint(1, 20)];
        let asked = |offsets: &[(u8, i64, bool)]| by_offsets(&committed(offsets), &at);
        let back = |partition, offset| {
            let offsets = BTreeMap::from([(Partition::new(partition), offset)]);
            Some(ReplayTarget::PartitionOffsets(offsets))
        };

        assert_eq!(asked(&[]), None, "a new group, or offsets that expired");
        assert_eq!(asked(&[(0, 10, true), (1, 20, true)]), None, "our own latest commit");
        assert_eq!(asked(&[(0, 0, true), (1, 0, true)]), None, "our own commit, wherever it is");
        assert_eq!(asked(&[(0, 0, false), (1, 0, false)]), Some(ReplayTarget::Beginning));
        assert_eq!(
            asked(&[(0, 0, false)]),
            back(0, 0),
            "the beginning of one partition is not that of all"
        );
        assert_eq!(asked(&[(0, 0, false), (1, 20, true)]), back(0, 0));
        assert_eq!(asked(&[(0, 4, false), (1, 20, false)]), back(0, 4));
        assert_eq!(asked(&[(0, 10, false), (1, 20, false)]), None, "the current offsets");
        assert_eq!(asked(&[(0, 12, false), (1, 25, false)]), None, "a reset forward skips nothing");
    }

    #[test]
    fn nothing_is_replayed_if_nothing_was_applied() {
        let at = [checkpoint(0, 0), checkpoint(1, 0)];
        assert_eq!(by_offsets(&committed(&[(0, 0, false), (1, 0, false)]), &at), None);
        assert_eq!(by_offsets(&committed(&[(1, 0, false)]), &at), None);
    }

    #[test]
    fn the_beginning_of_a_truncated_topic_is_its_first_offset() {
        let at = [checkpoint(0, 10)];
        let first = Partition::new(0);
        let offset =
            |offset| BTreeMap::from([(first, Committed { offset, noted: false, begin: 5 })]);
        assert_eq!(by_offsets(&offset(5), &at), Some(ReplayTarget::Beginning));
        assert_eq!(
            by_offsets(&offset(6), &at),
            Some(ReplayTarget::PartitionOffsets(BTreeMap::from([(first, 6)])))
        );
    }
}
