//! Representation of a transfer.

use std::collections::BTreeMap;

use passbook_shared::position::Position;
use passbook_shared::timestamp::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::http::metadata::parse_metadata;
use crate::store::history::transfers::Leg;

/// A transfer between two accounts. Amounts are in minor units.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Transfer)]
pub(in crate::http) struct TransferView {
    transfer_id: Uuid,
    #[schema(minimum = 1, examples(25_000))]
    amount: i64,
    /// ISO 4217 code of both accounts.
    #[schema(min_length = 3, max_length = 3, examples("EUR"))]
    currency: String,
    /// Reference, in the sender's words.
    #[schema(examples("rent 2026-12"))]
    reference: Option<String>,
    /// Effective time; the time of recording, unless the command named another.
    #[schema(value_type = String, format = DateTime, examples("2026-11-24T12:00:00.000000Z"))]
    effective_at: Timestamp,
    /// Time at which the transfer was recorded.
    #[schema(value_type = String, format = DateTime, examples("2026-11-24T12:00:00.000000Z"))]
    recorded_at: Timestamp,
    /// Metadata of the sender.
    metadata: BTreeMap<String, String>,
    /// Leg of the sending account; null if it could not be applied, or if the key is restricted to
    /// the owner of the other account.
    from: Option<LegView>,
    /// Leg of the receiving account; null if it could not be applied, or if the key is restricted
    /// to the owner of the other account.
    to: Option<LegView>,
    /// Time at which the first event of the missing leg's account was quarantined. Usually absent,
    /// also if that leg was discarded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(
        value_type = Option<String>,
        format = DateTime,
        examples("2026-11-24T12:00:00.000000Z")
    )]
    quarantined_since: Option<Timestamp>,
}

/// Effect of a transfer on one of its accounts.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = TransferLeg)]
struct LegView {
    account_id: Uuid,
    /// Version of the entry in the account.
    #[schema(minimum = 2, examples(7))]
    version: i64,
    /// Position in the log.
    #[schema(value_type = String, pattern = "^[0-9]+-[0-9]+$", examples("3-1042"))]
    position: Position,
    /// Balance after the leg.
    #[schema(examples(125_000))]
    balance: i64,
    #[schema(value_type = String, format = DateTime, examples("2026-11-24T12:00:00.000000Z"))]
    recorded_at: Timestamp,
    /// Version of the account's entry that reverses the leg; null if none does.
    #[schema(examples(9))]
    reversed_by: Option<i64>,
}

impl TransferView {
    /// Combines the legs; `None` if there are none.
    pub(super) fn new(
        transfer_id: Uuid,
        mut legs: Vec<Leg>,
        quarantined_since: Option<Timestamp>,
    ) -> Option<Self> {
        // The leg of the sender, which has the negative amount, comes first.
        legs.sort_unstable_by_key(|leg| leg.amount);
        let one = legs.first()?;
        let leg = |sent: bool| {
            let is_it = |leg: &&Leg| (leg.amount < 0) == sent && leg.is_in_scope;
            legs.iter().find(is_it).map(LegView::from)
        };
        Some(Self {
            transfer_id,
            amount: one.amount.abs(),
            currency: one.currency.clone(),
            reference: one.reference.clone(),
            effective_at: one.effective_at.unwrap_or(one.recorded_at),
            recorded_at: one.recorded_at,
            metadata: parse_metadata(one.metadata.as_deref()),
            from: leg(true),
            to: leg(false),
            quarantined_since,
        })
    }
}

impl From<&Leg> for LegView {
    fn from(leg: &Leg) -> Self {
        Self {
            account_id: leg.account_id,
            version: leg.version,
            position: Position { partition: leg.partition, number: leg.position },
            balance: leg.balance,
            recorded_at: leg.recorded_at,
            reversed_by: leg.reversed_by,
        }
    }
}
