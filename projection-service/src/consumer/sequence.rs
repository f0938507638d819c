//! Accept what is next: where each partition stands, and what a record's position means there. Pure.

use std::collections::BTreeMap;

use passbook_shared::partition::Partition;
use uuid::Uuid;

use crate::store::checkpoints::Checkpoint;

/// Where each of our partitions stands.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    tracks: BTreeMap<Partition, Track>,
}

/// Where a partition stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Track {
    /// The epoch of the checkpoint.
    pub(crate) epoch: i64,
    /// The position in the checkpoint: applied.
    pub(crate) applied: i64,
    /// The position accepted last: applied, or about to be.
    pub(crate) accepted: i64,
    /// The event there, if known.
    pub(crate) event_id: Option<Uuid>,
    /// Where in the topic to read on, once what is accepted is applied.
    pub(crate) offset: Option<i64>,
    /// Whether that is not in the checkpoint yet.
    pub(crate) moved: bool,
    filling: Option<Filling>,
}

/// A hole that is being filled: records behind it are passed over, the log has them too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Filling {
    /// The largest position that was passed over.
    target: i64,
    /// Where in the topic to read on once the target is accepted.
    offset: i64,
}

/// What is to be done with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is next: to be applied.
    Next,
    /// It was applied before, is of no partition of ours, or comes again from the log.
    Skip,
    /// Events are missing before it: to be taken from the log, after this position. Said once a hole.
    Hole {
        /// The last position there is.
        after: i64,
    },
    /// At the position accepted last there was another event: this is not the log that was applied.
    Forked,
}

impl Sequence {
    /// Where the checkpoints stand.
    pub(crate) fn new(checkpoints: &[Checkpoint]) -> Self {
        let track = |checkpoint: &Checkpoint| Track {
            epoch: checkpoint.epoch,
            applied: checkpoint.position,
            accepted: checkpoint.position,
            event_id: checkpoint.event_id,
            offset: checkpoint.kafka_offset,
            moved: false,
            filling: None,
        };
        Self { tracks: checkpoints.iter().map(|checkpoint| (checkpoint.partition, track(checkpoint))).collect() }
    }

    /// What to do with an event of the topic.
    pub(crate) fn of_topic(&mut self, partition: Partition, position: i64, event_id: Uuid, offset: i64) -> Verdict {
        let Some(track) = self.tracks.get_mut(&partition) else {
            return Verdict::Skip;
        };
        if position > track.accepted + 1 {
            let first = track.filling.is_none();
            let target = track.filling.map_or(position, |filling| filling.target.max(position));
            track.filling = Some(Filling { target, offset: offset + 1 });
            return if first { Verdict::Hole { after: track.accepted } } else { Verdict::Skip };
        }
        if position == track.accepted && track.event_id.is_some_and(|accepted| accepted != event_id) {
            return Verdict::Forked;
        }
        track.read_up_to(offset + 1);
        if position <= track.accepted {
            return Verdict::Skip;
        }
        track.accept(position, event_id);
        Verdict::Next
    }

    /// What to do with an event of the log.
    pub(crate) fn of_log(&mut self, partition: Partition, position: i64, event_id: Uuid) -> Verdict {
        let Some(track) = self.tracks.get_mut(&partition) else {
            return Verdict::Skip;
        };
        if position != track.accepted + 1 {
            return Verdict::Skip;
        }
        track.accept(position, event_id);
        Verdict::Next
    }

    /// A record without a position was read. Gives whether it is of a partition of ours.
    pub(crate) fn unreadable(&mut self, partition: Partition, offset: i64) -> bool {
        let track = self.tracks.get_mut(&partition);
        track.map(|track| track.read_up_to(offset + 1)).is_some()
    }

    /// The position after which the log is to be read on, if the partition has a hole.
    pub(crate) fn hole(&self, partition: Partition) -> Option<i64> {
        self.tracks.get(&partition).filter(|track| track.filling.is_some()).map(|track| track.accepted)
    }

    /// The position accepted last, if the partition is ours.
    pub(crate) fn accepted(&self, partition: Partition) -> Option<i64> {
        self.tracks.get(&partition).map(|track| track.accepted)
    }

    /// Whether something is not in the checkpoints yet.
    pub(crate) fn has_moved(&self) -> bool {
        self.tracks.values().any(|track| track.moved)
    }

    /// What is not in the checkpoints yet.
    pub(crate) fn moved(&self) -> impl Iterator<Item = (Partition, &Track)> {
        self.tracks.iter().filter(|(_, track)| track.moved).map(|(partition, track)| (*partition, track))
    }

    /// All that was accepted is in the checkpoints now.
    pub(crate) fn settle(&mut self) {
        for track in self.tracks.values_mut() {
            track.applied = track.accepted;
            track.moved = false;
        }
    }
}

impl Track {
    fn accept(&mut self, position: i64, event_id: Uuid) {
        self.accepted = position;
        self.event_id = Some(event_id);
        self.moved = true;
        if let Some(filling) = self.filling.filter(|filling| position >= filling.target) {
            self.filling = None;
            self.offset = Some(filling.offset);
        }
    }

    /// While a hole is filled, the checkpoint's offset stays before it: what was passed over is not applied yet.
    fn read_up_to(&mut self, offset: i64) {
        match &mut self.filling {
            Some(filling) => filling.offset = offset,
            None => {
                self.moved |= self.offset != Some(offset);
                self.offset = Some(offset);
            }
        }
    }
}

#[cfg(test)]
mod tests;
