//! Request for a replay. Its fields are flat, so that generated clients of every language can
//! express it.

use std::collections::BTreeMap;

use passbook_shared::http::problem::Problem;
use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::store::replay_target::ReplayTarget;

/// Start of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReplayFrom {
    /// All events, into a new generation, which then becomes live.
    Beginning,
    /// Events recorded at `time` or later.
    Time,
    /// Events from `partition_offsets` of the topic.
    PartitionOffsets,
    /// All events of the account `account_id`.
    Account,
    /// The kept generation `generation`, which is brought up to date and becomes live again.
    Generation,
}

/// Start of a replay, with the one field that belongs to it.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(
    examples(json!({"from": "beginning"}), json!({"from": "time", "time": "2026-11-24T12:00:00Z"}))
)]
pub(crate) struct ReplayRequest {
    pub(super) from: ReplayFrom,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) time: Option<Timestamp>,
    /// Offsets by partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, i64>>)]
    pub(super) partition_offsets: Option<BTreeMap<Partition, i64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) account_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub(super) generation: Option<i32>,
    /// Keep generations that are not live. By default, the next replay from the beginning drops
    /// them.
    #[serde(default)]
    pub(super) keep: bool,
}

impl ReplayRequest {
    pub(crate) fn of(place: ReplayTarget, keep: bool) -> Self {
        let from = ReplayFrom::of(&place);
        let none = Self {
            from,
            time: None,
            partition_offsets: None,
            account_id: None,
            generation: None,
            keep,
        };
        match place {
            ReplayTarget::Beginning => none,
            ReplayTarget::Time(time) => Self { time: Some(time), ..none },
            ReplayTarget::PartitionOffsets(offsets) => {
                Self { partition_offsets: Some(offsets), ..none }
            }
            ReplayTarget::AccountId(account_id) => Self { account_id: Some(account_id), ..none },
            ReplayTarget::Generation(generation) => Self { generation: Some(generation), ..none },
        }
    }

    /// # Errors
    /// 400 if the field of `from` is missing, or if there is the field of another `from`.
    pub(super) fn place(self) -> Result<ReplayTarget, Problem> {
        let Self { from, time, partition_offsets, account_id, generation, keep: _ } = self;
        let given = [
            (ReplayFrom::Time, "time", time.map(ReplayTarget::Time)),
            (
                ReplayFrom::PartitionOffsets,
                "partition_offsets",
                partition_offsets.map(ReplayTarget::PartitionOffsets),
            ),
            (ReplayFrom::Account, "account_id", account_id.map(ReplayTarget::AccountId)),
            (ReplayFrom::Generation, "generation", generation.map(ReplayTarget::Generation)),
        ];
        let mut place = (from == ReplayFrom::Beginning).then_some(ReplayTarget::Beginning);
        for (belongs_to, field, value) in given {
            match (belongs_to == from, value) {
                (true, Some(value)) => place = Some(value),
                (true, None) => {
                    return Err(Problem::malformed(field, "is required by this `from`"));
                }
                (false, Some(_)) => {
                    return Err(Problem::malformed(field, "is not allowed with this `from`"));
                }
                (false, None) => {}
            }
        }
        // Every `from` has set a place or was refused above.
        place.ok_or_else(Problem::internal)
    }
}

impl ReplayFrom {
    pub(super) fn of(place: &ReplayTarget) -> Self {
        match place {
            ReplayTarget::Beginning => Self::Beginning,
            ReplayTarget::Time(_) => Self::Time,
            ReplayTarget::PartitionOffsets(_) => Self::PartitionOffsets,
            ReplayTarget::AccountId(_) => Self::Account,
            ReplayTarget::Generation(_) => Self::Generation,
        }
    }
}
