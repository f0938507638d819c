//! A replay, as responses show it.

use std::collections::BTreeMap;

use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::request::{ReplayFrom, ReplayRequest};
use crate::store::replays::{Replay, State as Standing};

/// A replay.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = Replay)]
pub(in crate::http) struct ReplayView {
    id: Uuid,
    from: ReplayFrom,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, format = DateTime)]
    time: Option<Timestamp>,
    /// Offsets by partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = BTreeMap<String, i64>, required = false)]
    partition_offsets: Option<BTreeMap<Partition, i64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Uuid, required = false)]
    account_id: Option<Uuid>,
    /// One of `running`, `comparing`, `done`, `failed` and `cancelled`.
    #[schema(pattern = "^(running|comparing|done|failed|cancelled)$", examples("running"))]
    state: &'static str,
    /// Generation that the replay builds or changes.
    #[schema(minimum = 1, examples(2))]
    generation: Option<i32>,
    /// True if generations that are not live are kept.
    keep: bool,
    /// Number of events processed.
    #[schema(minimum = 0, examples(640_000))]
    events_done: i64,
    /// Total number of events to process; null until known. Grows while commands are accepted.
    #[schema(minimum = 0, examples(1_000_000))]
    events_total: Option<i64>,
    /// Number of processed events that came from the log because the topic lacks them.
    #[schema(minimum = 0, examples(0))]
    events_from_log: i64,
    /// Rate since the last start or resumption.
    #[schema(minimum = 0.0, examples(120_000.0))]
    events_per_second: Option<f64>,
    /// Time left at that rate, in seconds.
    #[schema(minimum = 0, examples(3))]
    seconds_left: Option<i64>,
    /// Number of rows that differ between the new and the live views at the same positions; null
    /// before the comparison.
    #[schema(minimum = 0, examples(0))]
    differences: Option<i64>,
    /// Some of the differing rows, as both generations have them.
    #[schema(value_type = Vec<Object>)]
    samples: Value,
    /// Error that ended the replay, or the condition that it waits for.
    error: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    asked_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) ended_at: Option<Timestamp>,
}

impl ReplayView {
    /// Converts a stored replay.
    pub(in crate::http) fn of(replay: Replay) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "an estimate"
        )]
        let seconds_left = match (replay.events_total, replay.events_per_second) {
            (Some(total), Some(rate)) if rate > 0.0 && !replay.state.is_ended() => {
                Some(((total - replay.events_done).max(0) as f64 / rate).ceil() as i64)
            }
            _ => None,
        };
        let request = ReplayRequest::of(replay.asked_for, replay.keep);
        Self {
            id: replay.replay_id,
            from: request.from,
            time: request.time,
            partition_offsets: request.partition_offsets,
            account_id: request.account_id,
            state: match replay.state {
                Standing::Noticed | Standing::Waiting | Standing::Running => "running",
                ended @ (Standing::Comparing
                | Standing::Done
                | Standing::Failed
                | Standing::Cancelled) => ended.as_str(),
            },
            generation: replay.generation,
            keep: replay.keep,
            events_done: replay.events_done,
            events_total: replay.events_total,
            events_from_log: replay.events_from_log,
            events_per_second: replay.events_per_second,
            seconds_left,
            differences: replay.differences,
            samples: replay.samples.map_or_else(|| Value::Array(Vec::new()), |samples| samples.0),
            error: replay.error,
            asked_at: replay.asked_at,
            started_at: replay.started_at,
            ended_at: replay.ended_at,
        }
    }
}
