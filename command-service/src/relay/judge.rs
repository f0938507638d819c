//! Whether a stretch of the topic is a mirror of the log: the event ids say so, not the positions alone. Pure.

use std::collections::{BTreeMap, HashMap};

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
/// number of records up to it. Nor is a record a fork behind which a relay has gone on in the record's epoch or since, to a
/// position that the topic did not have before and that is not below the record's: a relay compares the topic with the log
/// before it goes on. Publishing an event again is not going on: a relay does so to see what others had under way.
pub(crate) fn judge(
    records: &[Ours],
    in_log: &InLog,
    epoch: Epoch,
    is_whole: bool,
) -> Option<Judged> {
    let matches = |record: &Ours| in_log.get(&record.position) == Some(&record.event_id);
    let begins = records.iter().find(|record| matches(record) || record.is_plausible());
    if !is_whole && !begins.is_some_and(matches) {
        return None;
    }
    let mut judged = Judged { position: 0, latest: 0, fork: None, out_of_order: 0 };
    // The largest position that a relay of this log has published in each epoch, and where.
    let mut published = BTreeMap::new();
    for record in records.iter().filter(|record| record.epoch <= epoch && matches(record)) {
        let newest = published.entry(record.epoch).or_default();
        *newest = (record.position, record.offset).max(*newest);
    }
    // The largest position that a relay of this log had published before a record.
    let mut reached = 0;
    let is_overruled = |record: &Ours, reached: i64| {
        let mut since = published.range(record.epoch.min(epoch)..);
        since.any(|(_, (position, offset))| {
            *position >= record.position && *position > reached && *offset > record.offset
        })
    };
    let mut last: Option<i64> = None;
    for record in records {
        let Ours { position, event_id, .. } = *record;
        let is_ours = matches(record);
        if is_ours && record.epoch <= epoch {
            reached = reached.max(position);
        } else if is_overruled(record, reached) {
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
        let why = match in_log.get(&position) {
            _ if record.epoch > epoch => Why::LaterEpoch(record.epoch),
            None => Why::Ahead,
            Some(log) if *log != event_id => {
                Why::Different { position, topic: event_id, log: *log }
            }
            Some(_) => continue,
        };
        let found = judged.fork.get_or_insert(Found { first: None, last: position, why });
        found.last = found.last.max(position);
        found.first = found.first.or((!is_ours).then_some(*record));
    }
    Some(judged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    /// Records of a topic as (position, event, epoch), from offset 0.
    fn topic(records: &[(i64, u128, Epoch)]) -> Vec<Ours> {
        let ours = |(offset, (position, event, epoch)): (i64, &(i64, u128, Epoch))| Ours {
            offset,
            position: *position,
            event_id: id(*event),
            epoch: *epoch,
        };
        (0..).zip(records).map(ours).collect()
    }

    /// Judges a topic against a log whose event at each position has the position as its id.
    fn judged(head: i64, records: &[(i64, u128, Epoch)]) -> Judged {
        let in_log =
            (1..=head).map(|position| (position, id(position.unsigned_abs().into()))).collect();
        judge(&topic(records), &in_log, 0, true).unwrap()
    }

    #[test]
    fn a_topic_that_goes_on_with_other_events_is_a_fork_at_the_first_of_them() {
        let found = judged(4, &[(1, 1, 0), (2, 2, 0), (3, 93, 0), (4, 94, 0)]);
        assert_eq!(
            (found.position, found.fork.and_then(|fork| fork.first).map(|first| first.position)),
            (2, Some(3))
        );
        assert!(judged(2, &[(1, 1, 0), (2, 2, 0), (3, 3, 0)]).fork.is_some());
    }

    #[test]
    fn a_forged_event_behind_which_the_log_s_own_was_published_is_no_fork() {
        let found = judged(4, &[(1, 1, 0), (2, 92, 0), (2, 2, 0), (3, 3, 0), (4, 4, 0)]);
        assert_eq!((found.position, found.fork, found.out_of_order), (4, None, 1));
        // What was published before it overrules nothing.
        assert!(judged(3, &[(1, 1, 0), (2, 2, 0), (2, 92, 0), (3, 93, 0)]).fork.is_some());
    }

    #[test]
    fn what_was_published_over_stays_so_when_an_epoch_begins() {
        let in_log =
            (1..=4).map(|position: i64| (position, id(position.unsigned_abs().into()))).collect();
        let records = topic(&[(1, 1, 0), (2, 2, 0), (3, 93, 0), (3, 3, 0), (4, 4, 0)]);
        for epoch in [0, 1, 5] {
            assert_eq!(judge(&records, &in_log, epoch, true).unwrap().fork, None, "{epoch}");
        }
        // An earlier epoch's event overrules none of a later one.
        let records = topic(&[(1, 1, 1), (2, 92, 1), (4, 4, 0)]);
        assert!(judge(&records, &in_log, 1, true).unwrap().fork.is_some());
    }

    #[test]
    fn a_later_epoch_is_a_fork_unless_the_store_s_own_goes_on_behind_it() {
        assert!(judged(3, &[(1, 1, 0), (2, 2, 0), (2, 2, 1)]).fork.is_some());
        let found = judged(3, &[(1, 1, 0), (2, 2, 0), (1, 1, 1), (3, 3, 0)]);
        assert_eq!((found.position, found.fork, found.latest), (3, None, 0));
        // A repeat does not hide it, be it of an old record or of the newest.
        assert!(judged(3, &[(1, 1, 0), (2, 2, 0), (3, 3, 1), (1, 1, 0)]).fork.is_some());
        assert!(judged(3, &[(1, 1, 0), (2, 2, 0), (3, 3, 0), (3, 3, 1), (3, 3, 0)]).fork.is_some());
    }
}
