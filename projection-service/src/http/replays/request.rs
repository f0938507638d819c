//! The request for a replay: flat, so that every language has a type for it.

use std::collections::BTreeMap;

use passbook_shared::http::problem::Problem;
use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::replay::asked::From;

/// From where events are applied again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReplayFrom {
    /// All of them, into a new generation of the views, which then takes over.
    Beginning,
    /// Those recorded at `time` or later.
    Time,
    /// Those from `partition_offsets` of the topic on.
    PartitionOffsets,
    /// All of the account `account_id`.
    Account,
    /// `generation`, which was kept, is brought up to date, and takes over again.
    Generation,
}

/// A replay to be begun: from where, with the one field that belongs to it.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(examples(json!({"from": "beginning"}), json!({"from": "time", "time": "2026-11-24T12:00:00Z"})))]
pub(crate) struct ReplayRequest {
    pub(super) from: ReplayFrom,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) time: Option<Timestamp>,
    /// By partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, i64>>)]
    pub(super) partition_offsets: Option<BTreeMap<Partition, i64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) account_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub(super) generation: Option<i32>,
    /// Keep generations of the views that are not live, too; without it, the next replay from the beginning drops them.
    #[serde(default)]
    pub(super) keep: bool,
}

impl ReplayRequest {
    pub(crate) fn of(place: From, keep: bool) -> Self {
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
            From::Beginning => none,
            From::Time(time) => Self { time: Some(time), ..none },
            From::PartitionOffsets(offsets) => Self { partition_offsets: Some(offsets), ..none },
            From::AccountId(account_id) => Self { account_id: Some(account_id), ..none },
            From::Generation(generation) => Self { generation: Some(generation), ..none },
        }
    }

    /// # Errors
    /// 400 that names the field which is missing, or which belongs to another place.
    pub(super) fn place(self) -> Result<From, Problem> {
        let Self { from, time, partition_offsets, account_id, generation, keep: _ } = self;
        let given = [
            (ReplayFrom::Time, "time", time.map(From::Time)),
            (
                ReplayFrom::PartitionOffsets,
                "partition_offsets",
                partition_offsets.map(From::PartitionOffsets),
            ),
            (ReplayFrom::Account, "account_id", account_id.map(From::AccountId)),
            (ReplayFrom::Generation, "generation", generation.map(From::Generation)),
        ];
        let mut place = (from == ReplayFrom::Beginning).then_some(From::Beginning);
        for (belongs_to, field, value) in given {
            match (belongs_to == from, value) {
                (true, Some(value)) => place = Some(value),
                (true, None) => {
                    return Err(Problem::malformed(
                        field,
                        "is missing, and belongs to this `from`",
                    ));
                }
                (false, Some(_)) => {
                    return Err(Problem::malformed(field, "does not belong to this `from`"));
                }
                (false, None) => {}
            }
        }
        place.ok_or_else(Problem::internal)
    }
}

impl ReplayFrom {
    pub(super) fn of(place: &From) -> Self {
        match place {
            From::Beginning => Self::Beginning,
            From::Time(_) => Self::Time,
            From::PartitionOffsets(_) => Self::PartitionOffsets,
            From::AccountId(_) => Self::Account,
            From::Generation(_) => Self::Generation,
        }
    }
}
