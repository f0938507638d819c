//! Whether a stretch of the topic is a mirror of the log: the event ids say so, not the positions alone. Pure.

use std::collections::HashMap;

use passbook_shared::epoch::Epoch;
use uuid::Uuid;

use super::reader::Ours;

/// The log's events at the positions that records of a stretch claim.
pub(crate) type InLog = HashMap<i64, Uuid>;

/// What was found out about the end of a partition of the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judged {
    /// The last position that topic and log have in common, as far as was looked; 0 if there is none.
    pub(crate) position: i64,
    /// The event there.
    pub(crate) event_id: Option<Uuid>,
    /// The epoch it was last published in.
    pub(crate) epoch: Epoch,
    /// The latest epoch that any of the records is of.
    pub(crate) latest: Epoch,
    /// That the topic is no mirror of the log.
    pub(crate) fork: Option<Found>,
    /// Records that no relay can have written there.
    pub(crate) out_of_order: u64,
}

/// How the topic differs from the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// The first record whose event is not the log's; nothing, if only its epoch is not.
    pub(crate) first: Option<Ours>,
    /// The last position of such.
    pub(crate) last: i64,
    /// In what way.
    pub(crate) why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The log ends before.
    Ahead,
    /// The log has another event there.
    Different {
        /// There.
        position: i64,
        /// In the topic.
        topic: Uuid,
        /// In the log.
        log: Uuid,
    },
    /// It was published in an epoch the log does not know.
    LaterEpoch(Epoch),
}

/// Judges a stretch that ends where the topic does, of a store in this epoch. Records that an accepted restore gave up are
/// not in it. `is_whole`: nothing of ours is before it that could be looked at. Nothing is known if the stretch does not go
/// back to a record that is the log's.
///
/// A relay publishes position after position. So a record that is not the log's and does not follow on the one before it is
/// no fork: no log that this one could have been restored from had it there. Nor had one whose position is larger than the
/// number of records up to it.
pub(crate) fn judge(records: &[Ours], in_log: &InLog, epoch: Epoch, is_whole: bool) -> Option<Judged> {
    let matches = |record: &Ours| in_log.get(&record.position) == Some(&record.event_id);
    let is_plausible = |record: &Ours| record.position <= record.offset.saturating_add(1);
    let begins = records.iter().find(|record| matches(record) || is_plausible(record));
    if !is_whole && !begins.is_some_and(matches) {
        return None;
    }
    let mut judged = Judged { position: 0, event_id: None, epoch: 0, latest: 0, fork: None, out_of_order: 0 };
    let mut last: Option<i64> = None;
    for record in records {
        let Ours { position, event_id, .. } = *record;
        let is_ours = matches(record);
        let follows = match last {
            None => true,
            Some(last) if record.epoch > epoch => position <= last.saturating_add(1),
            Some(last) => position == last.saturating_add(1),
        };
        if !(is_ours || follows && is_plausible(record)) {
            judged.out_of_order += 1;
            continue;
        }
        last = last.max(Some(position));
        judged.latest = judged.latest.max(record.epoch);
        if is_ours && position >= judged.position {
            let repeated = if position == judged.position { judged.epoch } else { 0 };
            (judged.position, judged.event_id, judged.epoch) = (position, Some(event_id), record.epoch.max(repeated));
        }
        let why = match in_log.get(&position) {
            _ if record.epoch > epoch => Why::LaterEpoch(record.epoch),
            None => Why::Ahead,
            Some(log) if *log != event_id => Why::Different { position, topic: event_id, log: *log },
            Some(_) => continue,
        };
        let found = judged.fork.get_or_insert(Found { first: None, last: position, why });
        found.last = found.last.max(position);
        found.first = found.first.or((!is_ours).then_some(*record));
    }
    Some(judged)
}
