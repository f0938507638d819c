//! Reduction of a stretch to the records that decide its comparison with the log, so that a stretch
//! of any length fits in memory. Pure.

#[cfg(test)]
mod tests;

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
                // `judge` compares such a record with the largest common position before it.
                kept.extend(highest);
                kept.insert(index);
            } else if highest.is_none_or(|highest| records[highest].position <= record.position) {
                highest = Some(index);
            }
        }
        let common = || records.iter().enumerate().filter(|(_, record)| self.is_in_log(record));
        // `judge` requires that the stretch begins with a record of the log.
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
