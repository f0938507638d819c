//! The few records of a stretch that tell how it compares with the log, so that a stretch of any length fits in memory.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

use passbook_shared::epoch::Epoch;
use uuid::Uuid;

use super::judge::InLog;
use super::reader::Ours;

/// Records from which [`judge`](super::judge::judge) concludes the same as from all of a stretch. Records of the log
/// that repeat what is known are left out: of a topic that is a mirror of the log, three are kept.
#[derive(Debug)]
pub(super) struct Telling {
    epoch: Epoch,
    /// By ascending offset.
    pub(super) records: Vec<Ours>,
    pub(super) in_log: InLog,
}

impl Telling {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self { epoch, records: Vec::new(), in_log: InLog::new() }
    }

    /// Adds the records before those that are there, and what the log has at their positions.
    pub(super) fn put_before(&mut self, mut records: Vec<Ours>, in_log: Vec<(i64, Uuid)>) {
        records.append(&mut self.records);
        self.in_log.extend(in_log);
        let kept = self.kept_of(&records);
        self.records = kept.into_iter().map(|index| records[index]).collect();
        let positions: BTreeSet<i64> = self.records.iter().map(|record| record.position).collect();
        self.in_log.retain(|position, _| positions.contains(position));
    }

    /// Returns the largest position at which a record has the log's event; 0 if none has.
    pub(super) fn last_in_common(&self) -> i64 {
        let common = self.records.iter().filter(|record| self.is_in_log(record));
        common.map(|record| record.position).max().unwrap_or_default()
    }

    /// Returns the number of records that the log does not explain, and that a relay can have written.
    pub(super) fn count_not_in_log(&self) -> usize {
        self.records
            .iter()
            .filter(|record| record.is_plausible() && !self.is_in_log(record))
            .count()
    }

    fn is_in_log(&self, record: &Ours) -> bool {
        record.epoch <= self.epoch && self.in_log.get(&record.position) == Some(&record.event_id)
    }

    fn kept_of(&self, records: &[Ours]) -> BTreeSet<usize> {
        let mut kept = BTreeSet::new();
        // The record of the largest position in common so far.
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
        // And of each epoch, that of the largest position.
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
    fn of_a_mirror_little_is_kept() {
        let mut telling = Telling::new(0);
        for page in (0..10).rev() {
            let positions = page * 1_000 + 1..=(page + 1) * 1_000;
            let ours = |n| Ours { offset: n - 1, position: n, event_id: id(n), epoch: 0 };
            telling.put_before(
                positions.clone().map(ours).collect(),
                positions.map(|n| (n, id(n))).collect(),
            );
        }
        assert!(telling.records.len() <= 4 && telling.in_log.len() <= 4, "{telling:?}");
        assert_eq!((telling.last_in_common(), telling.count_not_in_log()), (10_000, 0));
    }

    proptest! {
        #[test]
        fn what_is_kept_is_judged_as_all_of_it(
            written in prop::collection::vec((1_i64..12, prop::bool::weighted(0.7), 0..3), 1..30),
            head in 0_i64..12,
            page in 1_usize..8,
        ) {
            let records: Vec<Ours> = (0..).zip(&written).map(|(offset, (position, is_ours, epoch))| Ours {
                offset,
                position: *position,
                event_id: if *is_ours { id(*position) } else { id(position + 100 + offset) },
                epoch: *epoch,
            }).collect();
            let in_log: InLog = (1..=head).map(|position| (position, id(position))).collect();
            let mut telling = Telling::new(1);
            for page in records.rchunks(page) {
                let there = page.iter().filter_map(|record| in_log.get_key_value(&record.position));
                telling.put_before(page.to_vec(), there.map(|(position, event)| (*position, *event)).collect());
            }
            let (all, kept) = (judge(&records, &in_log, 1, true), judge(&telling.records, &telling.in_log, 1, true));
            prop_assert_eq!(all, kept);
        }
    }
}
