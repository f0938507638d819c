//! Comparison of a stretch of the topic with the log, by event ids rather than positions alone.
//! Pure.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use passbook_shared::epoch::Epoch;
use uuid::Uuid;

use super::reader::OwnRecord;

/// Event ids of the log, by position, for the positions that the stretch claims.
pub(crate) type InLog = HashMap<i64, Uuid>;

/// Result of comparing the end of a topic partition with the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Last common position of topic and log within the stretch; 0 if there is none.
    pub(crate) position: i64,
    /// Latest epoch of the records that were not out of order.
    pub(crate) latest: Epoch,
    /// Latest epoch of all records that a relay can have written, overruled ones too: the topic
    /// knows it.
    pub(crate) announced: Epoch,
    /// Divergence of the topic from the log, if any.
    pub(crate) fork: Option<Divergence>,
    /// Number of records that no relay can have written at their offsets.
    pub(crate) out_of_order: u64,
}

/// Divergence of the topic from the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Divergence {
    /// First record whose event is not the log's; `None` if only its epoch differs.
    pub(crate) first: Option<OwnRecord>,
    /// Last diverging position.
    pub(crate) last: i64,
    /// Kind of the divergence.
    pub(crate) why: DivergenceKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DivergenceKind {
    /// The topic has events beyond the end of the log.
    Ahead,
    /// Topic and log have different events at a position.
    Different {
        /// Position of both events.
        position: i64,
        /// Event in the topic.
        topic: Uuid,
        /// Event in the log.
        log: Uuid,
    },
    /// The record was published in an epoch that the log does not know.
    LaterEpoch(Epoch),
}

/// Compares a stretch that ends where the topic ends with the log of a store in `epoch`. The
/// stretch contains no records that an accepted restore gave up. `is_whole` means that no earlier
/// record of the store can be read. Returns `None` if the stretch does not reach back to a record
/// of the log.
///
/// A relay publishes position by position and compares the topic with the log before it continues.
/// Three kinds of records are therefore no forks:
/// - A record that is not the log's and does not continue the record before it: no log that this
///   one could have been restored from had the event there.
/// - A record whose position exceeds the number of records up to it.
/// - A record after which a relay, in the same epoch or later, has published a position that was
///   new to the topic and not below the record's. A repeat does not count: relays repeat an event
///   to learn of records in flight.
pub(crate) fn judge(
    records: &[OwnRecord],
    in_log: &InLog,
    epoch: Epoch,
    is_whole: bool,
) -> Option<Verdict> {
    let matches = |record: &OwnRecord| in_log.get(&record.position) == Some(&record.event_id);
    let begins = records.iter().find(|record| matches(record) || record.is_plausible());
    if !is_whole && !begins.is_some_and(matches) {
        return None;
    }
    let mut judged = Verdict::default();
    let known = records.iter().filter(|record| record.epoch <= epoch && matches(record));
    let published = Published::of(known);
    // Largest position that a relay of this log has published before the current record.
    let mut reached = 0;
    let mut last: Option<i64> = None;
    for record in records {
        let position = record.position;
        let is_ours = matches(record);
        if is_ours || record.is_plausible() {
            judged.announced = judged.announced.max(record.epoch);
        }
        if is_ours && record.epoch <= epoch {
            reached = reached.max(position);
        } else if published.overrule(record, record.epoch.min(epoch), reached) {
            judged.out_of_order += 1;
            continue;
        }
        let follows = match last {
            None => true,
            Some(last) if record.epoch > epoch => position <= last.saturating_add(1),
            Some(last) => position == last.saturating_add(1),
        };
        if !(is_ours || follows && record.is_plausible()) {
            judged.out_of_order += 1;
            continue;
        }
        last = last.max(Some(position));
        judged.latest = judged.latest.max(record.epoch);
        if is_ours {
            judged.position = judged.position.max(position);
        }
        let Some(why) = divergence(record, in_log, epoch) else { continue };
        let found = judged.fork.get_or_insert(Divergence { first: None, last: position, why });
        found.last = found.last.max(position);
        found.first = found.first.or((!is_ours).then_some(*record));
    }
    Some(judged)
}

/// Returns how a record differs from the log, if it does.
fn divergence(record: &OwnRecord, in_log: &InLog, epoch: Epoch) -> Option<DivergenceKind> {
    let OwnRecord { position, event_id, .. } = *record;
    match in_log.get(&position) {
        _ if record.epoch > epoch => Some(DivergenceKind::LaterEpoch(record.epoch)),
        None => Some(DivergenceKind::Ahead),
        Some(log) if *log != event_id => {
            Some(DivergenceKind::Different { position, topic: event_id, log: *log })
        }
        Some(_) => None,
    }
}

/// Largest position that a relay of this log has published in each epoch, with its offset.
struct Published(BTreeMap<Epoch, (i64, i64)>);

impl Published {
    fn of<'a>(records: impl Iterator<Item = &'a OwnRecord>) -> Self {
        let mut published = BTreeMap::new();
        for record in records {
            let newest = published.entry(record.epoch).or_default();
            *newest = (record.position, record.offset).max(*newest);
        }
        Self(published)
    }

    /// Returns whether, from epoch `since` on, a relay has published a new position after the
    /// record that is not below the record's. `reached` is the largest position before it.
    fn overrule(&self, record: &OwnRecord, since: Epoch, reached: i64) -> bool {
        self.0.range(since..).any(|(_, (position, offset))| {
            *position >= record.position && *position > reached && *offset > record.offset
        })
    }
}
