//! Reduction of a stretch to the records that decide its comparison with the log, so that a stretch
//! of any length fits in memory. Pure.

use std::collections::{BTreeMap, BTreeSet};

use passbook_shared::epoch::Epoch;
use uuid::Uuid;

use super::judge::InLog;
use super::reader::OwnRecord;

/// Records for which [`judge`](super::judge::judge) has the same result as for the whole stretch.
/// Records of the log that add no information are dropped: of an exact mirror, three remain.
#[derive(Debug)]
pub(super) struct DecisiveRecords {
    epoch: Epoch,
    /// Records by ascending offset.
    pub(super) records: Vec<OwnRecord>,
    pub(super) in_log: InLog,
}

impl DecisiveRecords {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self { epoch, records: Vec::new(), in_log: InLog::new() }
    }

    /// Adds earlier records, and the log's event ids at their positions.
    pub(super) fn put_before(&mut self, mut records: Vec<OwnRecord>, in_log: Vec<(i64, Uuid)>) {
        records.append(&mut self.records);
        self.in_log.extend(in_log);
        let kept = self.kept_of(&records);
        self.records = kept.into_iter().map(|index| records[index]).collect();
        let positions: BTreeSet<i64> = self.records.iter().map(|record| record.position).collect();
        self.in_log.retain(|position, _| positions.contains(position));
    }

    /// Returns true if the records before offset `from` have smaller positions than the last common
    /// one. The largest plausible position of an earlier record is `from` itself.
    pub(super) fn outweigh(&self, from: i64) -> bool {
        from < self.last_in_common()
    }

    /// Returns the largest position at which a record has the log's event; 0 if none has.
    fn last_in_common(&self) -> i64 {
        let common = self.records.iter().filter(|record| self.is_in_log(record));
        common.map(|record| record.position).max().unwrap_or_default()
    }

    /// Returns the number of plausible records that are not in the log.
    pub(super) fn count_not_in_log(&self) -> usize {
        self.records
            .iter()
            .filter(|record| record.is_plausible() && !self.is_in_log(record))
            .count()
    }

    fn is_in_log(&self, record: &OwnRecord) -> bool {
        record.epoch <= self.epoch && self.in_log.get(&record.position) == Some(&record.event_id)
    }

    fn kept_of(&self, records: &[OwnRecord]) -> BTreeSet<usize> {
        let mut kept = BTreeSet::new();
        // Record of the largest common position so far.
        let mut highest: Option<usize> = None;
        for (index, record) in records.iter().enumerate() {
            if !self.is_in_log(record) {
                kept.extend(highest);
                kept.insert(index);
            } else if highest.is_none_or(|highest| records[highest].position <= record.position) {
                highest = Some(index);
            }
        }
        let common = || records.iter().enumerate().filter(|(_, record)| self.is_in_log(record));
        kept.extend(common().next().map(|(index, _)| index));
        // Record of the largest common position of each epoch.
        let mut newest = BTreeMap::new();
        for (index, record) in common() {
            let newest = newest.entry(record.epoch).or_default();
            *newest = (record.position, record.offset, index).max(*newest);
        }
        kept.extend(newest.into_values().map(|(_, _, index)| index));
        kept
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::relay::judge::judge;

    fn id(number: i64) -> Uuid {
        Uuid::from_u128(number.unsigned_abs().into())
    }

    #[test]
    fn an_exact_mirror_is_reduced_to_few_records() {
        let mut decisive = DecisiveRecords::new(0);
        for page in (0..10).rev() {
            let positions = page * 1_000 + 1..=(page + 1) * 1_000;
            let ours = |n| OwnRecord { offset: n - 1, position: n, event_id: id(n), epoch: 0 };
            decisive.put_before(
                positions.clone().map(ours).collect(),
                positions.map(|n| (n, id(n))).collect(),
            );
        }
        assert!(decisive.records.len() <= 4 && decisive.in_log.len() <= 4, "{decisive:?}");
        assert_eq!((decisive.last_in_common(), decisive.count_not_in_log()), (10_000, 0));
    }

    #[test]
    fn an_earlier_record_may_contradict_the_last_common_position() {
        let record = |offset, position, event, epoch| OwnRecord {
            offset,
            position,
            event_id: id(event),
            epoch,
        };
        let topic = [record(0, 1, 1, 1), record(1, 2, 92, 1), record(2, 2, 2, 0)];
        let in_log: InLog = [(1, id(1)), (2, id(2))].into();
        let has_fork = |records| judge(records, &in_log, 1, true).unwrap().fork.is_some();
        assert!(has_fork(&topic) && !has_fork(&topic[2..]));
        let mut decisive = DecisiveRecords::new(1);
        decisive.put_before(topic[2..].to_vec(), vec![(2, id(2))]);
        assert!(!decisive.outweigh(2) && decisive.outweigh(1));
    }

    proptest! {
        #[test]
        fn the_reduction_has_the_same_verdict(
            written in prop::collection::vec((1_i64..12, prop::bool::weighted(0.7), 0..3), 1..30),
            head in 0_i64..12,
            page in 1_usize..8,
        ) {
            let record = |(offset, &(position, is_ours, epoch)): (i64, &(i64, bool, i32))| {
                let event_id = if is_ours { id(position) } else { id(position + 100 + offset) };
                OwnRecord { offset, position, event_id, epoch }
            };
            let records: Vec<OwnRecord> = (0..).zip(&written).map(record).collect();
            let in_log: InLog = (1..=head).map(|position| (position, id(position))).collect();
            let mut decisive = DecisiveRecords::new(1);
            for page in records.rchunks(page) {
                let there = page.iter().filter_map(|record| in_log.get_key_value(&record.position));
                let there = there.map(|(position, event)| (*position, *event)).collect();
                decisive.put_before(page.to_vec(), there);
            }
            let reduced = judge(&decisive.records, &decisive.in_log, 1, true);
            prop_assert_eq!(judge(&records, &in_log, 1, true), reduced);
        }
    }
}
