//! Accept what is next: where each partition stands, and what a record's position means there. Pure.

use std::collections::{BTreeMap, VecDeque};

use passbook_shared::partition::Partition;
use uuid::Uuid;

use crate::checkpoint::Checkpoint;

/// Number of accepted events per partition whose ids are remembered, to tell a repeat from another event.
const REMEMBERED: usize = 1_024;
/// Number of records behind a hole that are remembered until the hole is filled.
const PASSED_OVER: usize = 1_024;

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
    /// Ids of the events accepted last, the newest at the back.
    recent: VecDeque<Uuid>,
    filling: Option<Filling>,
}

/// A hole that is being filled: records behind it are passed over, the log has them too.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Filling {
    /// The largest position that was passed over.
    target: i64,
    /// Where in the topic to read on once the target is accepted.
    offset: i64,
    /// The offset of the last record that was passed over.
    last: i64,
    /// Positions that were passed over, with their offsets: those beyond the end of the log are of no event.
    passed_over: Vec<(i64, i64)>,
}

/// Verdict on a record that has a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is next: to be applied.
    Next,
    /// It comes again from the log, or is of no partition of ours.
    Skip,
    /// It was accepted before, as far as is known.
    Repeat,
    /// Events are missing before it: to be taken from the log. Returned once a hole.
    Hole(Hole),
    /// At its position another event was accepted. The log decides which of the two it has.
    Contradicts,
}

/// A hole of the topic, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hole {
    /// The last position there is.
    pub(crate) after: i64,
    /// The largest position seen behind it. The log may not reach it: then that record is of no event.
    pub(crate) target: i64,
    /// The offset of the last record seen behind it.
    pub(crate) last: i64,
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
            recent: checkpoint.event_id.into_iter().collect(),
            filling: None,
        };
        Self {
            tracks: checkpoints
                .iter()
                .map(|checkpoint| (checkpoint.partition, track(checkpoint)))
                .collect(),
        }
    }

    /// What to do with an event of the topic.
    pub(crate) fn of_topic(
        &mut self,
        partition: Partition,
        position: i64,
        event_id: Uuid,
        offset: i64,
    ) -> Verdict {
        let Some(track) = self.tracks.get_mut(&partition) else {
            return Verdict::Skip;
        };
        if position - track.accepted > 1 {
            return track.pass_over(position, offset);
        }
        track.read_up_to(offset + 1);
        if position <= track.accepted {
            let contradicts = track.event_at(position).is_some_and(|accepted| accepted != event_id);
            return if contradicts { Verdict::Contradicts } else { Verdict::Repeat };
        }
        track.accept(position, event_id);
        Verdict::Next
    }

    /// What to do with an event of the log.
    pub(crate) fn of_log(
        &mut self,
        partition: Partition,
        position: i64,
        event_id: Uuid,
    ) -> Verdict {
        let Some(track) = self.tracks.get_mut(&partition) else {
            return Verdict::Skip;
        };
        if position != track.accepted + 1 {
            return Verdict::Skip;
        }
        track.accept(position, event_id);
        Verdict::Next
    }

    /// Reading goes on behind a record that can't be used. Returns whether it is of a partition of ours.
    pub(crate) fn unusable(&mut self, partition: Partition, offset: i64) -> bool {
        let track = self.tracks.get_mut(&partition);
        track.map(|track| track.read_up_to(offset + 1)).is_some()
    }

    /// The hole of a partition, if it has one.
    pub(crate) fn hole(&self, partition: Partition) -> Option<Hole> {
        let track = self.tracks.get(&partition)?;
        track.filling.as_ref().map(|filling| Hole {
            after: track.accepted,
            target: filling.target,
            last: filling.last,
        })
    }

    /// The log ends before what is behind the hole: reading goes on there, and the hole is forgotten. Returns the
    /// offsets of the records that are of no event, as far as they are remembered.
    pub(crate) fn log_ends(&mut self, partition: Partition) -> Vec<i64> {
        let Some(track) = self.tracks.get_mut(&partition) else { return Vec::new() };
        let Some(filling) = track.filling.take() else { return Vec::new() };
        track.read_up_to(filling.offset);
        let beyond =
            filling.passed_over.into_iter().filter(|(position, _)| *position > track.accepted);
        beyond.map(|(_, offset)| offset).collect()
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
        self.tracks
            .iter()
            .filter(|(_, track)| track.moved)
            .map(|(partition, track)| (*partition, track))
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
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(event_id);
        if let Some(filling) = self.filling.take_if(|filling| position >= filling.target) {
            self.offset = Some(filling.offset);
        }
    }

    fn pass_over(&mut self, position: i64, offset: i64) -> Verdict {
        let first = self.filling.is_none();
        let filling = self.filling.get_or_insert(Filling {
            target: position,
            offset,
            last: offset,
            passed_over: Vec::new(),
        });
        filling.target = filling.target.max(position);
        filling.offset = offset + 1;
        filling.last = offset;
        if filling.passed_over.len() < PASSED_OVER {
            filling.passed_over.push((position, offset));
        }
        if first {
            Verdict::Hole(Hole { after: self.accepted, target: position, last: offset })
        } else {
            Verdict::Skip
        }
    }

    /// The event accepted at a position, if that is remembered.
    fn event_at(&self, position: i64) -> Option<Uuid> {
        let back = usize::try_from(self.accepted - position).ok()?;
        self.recent.iter().rev().nth(back).copied()
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
