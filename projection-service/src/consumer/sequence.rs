//! Last accepted position of each partition, and the verdict on the position of a record. Performs
//! no I/O.

use std::collections::{BTreeMap, VecDeque};

use passbook_shared::partition::Partition;
use uuid::Uuid;

use crate::checkpoint::Checkpoint;

/// Number of accepted event ids kept per partition, to distinguish repeats from other events.
const REMEMBERED: usize = 1_024;
/// Maximum number of records after a gap whose positions are kept.
const PASSED_OVER: usize = 1_024;

/// Tracks of the assigned partitions.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    tracks: BTreeMap<Partition, Track>,
}

/// Progress of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Track {
    /// Epoch of the checkpoint.
    pub(crate) epoch: i64,
    /// Position of the checkpoint: the last applied event.
    pub(crate) applied: i64,
    /// Position of the last accepted event, applied or not.
    pub(crate) accepted: i64,
    /// Id of the last accepted event, if known.
    pub(crate) event_id: Option<Uuid>,
    /// Offset to resume from once the accepted events are applied.
    pub(crate) offset: Option<i64>,
    /// True if the checkpoint is behind this track.
    pub(crate) moved: bool,
    /// Ids of the last accepted events, newest at the back.
    recent: VecDeque<Uuid>,
    filling: Option<Filling>,
}

/// Gap that is being filled. Records after it are skipped, because the log has them too.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Filling {
    /// Largest position that was skipped.
    target: i64,
    /// Offset to resume from once the target is accepted.
    offset: i64,
    /// Offset of the last record that was skipped.
    last: i64,
    /// Skipped positions with their offsets. Positions beyond the end of the log are not events.
    passed_over: Vec<(i64, i64)>,
}

/// Verdict on a record that has a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The event is next and is accepted.
    Next,
    /// The log supplies the event too, or the partition is not assigned.
    Skip,
    /// An event at the position was accepted before, and it is not known to be a different one.
    Repeat,
    /// Events before the record are missing and come from the log. Returned once per gap.
    Gap(Gap),
    /// A different event was accepted at the position. The log decides which is right.
    Contradicts,
}

/// Gap in the topic, up to the records read so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    /// Last accepted position before the gap.
    pub(crate) after: i64,
    /// Largest position read after the gap. If the log ends before it, that record is not an event.
    pub(crate) target: i64,
    /// Offset of the last record read after the gap.
    pub(crate) last: i64,
}

impl Sequence {
    /// Starts tracks at the checkpoints.
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

    /// Judges, and possibly accepts, an event of the topic.
    pub(crate) fn of_topic(
        &mut self,
        partition: Partition,
        position: i64,
        event_id: Uuid,
        offset: i64,
    ) -> Verdict {
        let Some(track) = self.tracks.get_mut(&partition) else { return Verdict::Skip };
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

    /// Judges, and possibly accepts, an event of the log.
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

    /// Moves past an unusable record. Returns whether its partition is assigned.
    pub(crate) fn unusable(&mut self, partition: Partition, offset: i64) -> bool {
        let track = self.tracks.get_mut(&partition);
        track.map(|track| track.read_up_to(offset + 1)).is_some()
    }

    /// Returns the gap of a partition, if any.
    pub(crate) fn gap(&self, partition: Partition) -> Option<Gap> {
        let track = self.tracks.get(&partition)?;
        track.filling.as_ref().map(|filling| Gap {
            after: track.accepted,
            target: filling.target,
            last: filling.last,
        })
    }

    /// Ends a gap at the end of the log. Returns the offsets of the skipped records beyond that
    /// end, which are not events, as far as their positions were kept.
    pub(crate) fn log_ends(&mut self, partition: Partition) -> Vec<i64> {
        let Some(track) = self.tracks.get_mut(&partition) else { return Vec::new() };
        let Some(filling) = track.filling.take() else { return Vec::new() };
        track.read_up_to(filling.offset);
        let beyond =
            filling.passed_over.into_iter().filter(|(position, _)| *position > track.accepted);
        beyond.map(|(_, offset)| offset).collect()
    }

    /// Returns the last accepted position, if the partition is assigned.
    pub(crate) fn accepted(&self, partition: Partition) -> Option<i64> {
        self.tracks.get(&partition).map(|track| track.accepted)
    }

    /// Returns whether any checkpoint is behind its track.
    pub(crate) fn has_moved(&self) -> bool {
        self.tracks.values().any(|track| track.moved)
    }

    /// Returns the tracks that are ahead of their checkpoints.
    pub(crate) fn moved(&self) -> impl Iterator<Item = (Partition, &Track)> {
        self.tracks
            .iter()
            .filter(|(_, track)| track.moved)
            .map(|(partition, track)| (*partition, track))
    }

    /// Marks all accepted events as applied.
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
        // The log has supplied the events of all records before this offset.
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
            Verdict::Gap(Gap { after: self.accepted, target: position, last: offset })
        } else {
            Verdict::Skip
        }
    }

    /// Returns the id of the event accepted at a position, if it was kept.
    fn event_at(&self, position: i64) -> Option<Uuid> {
        let back = usize::try_from(self.accepted - position).ok()?;
        self.recent.iter().rev().nth(back).copied()
    }

    /// Moves the resume offset. While a gap is filled, the offset of the checkpoint stays before
    /// the gap, because skipped records are not applied yet.
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
