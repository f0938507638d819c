//! A transfer, as it is answered.

use std::collections::BTreeMap;

use passbook_shared::position::Position;
use passbook_shared::timestamp::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::http::labels::labels;
use crate::store::history::transfers::Leg;

/// A transfer between two accounts. Amounts in minor units.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Transfer)]
pub(in crate::http) struct TransferView {
    transfer_id: Uuid,
    #[schema(minimum = 1, examples(25_000))]
    amount: i64,
    /// ISO 4217, of both accounts.
    #[schema(min_length = 3, max_length = 3, examples("EUR"))]
    currency: String,
    /// What for, in the sender's words.
    #[schema(examples("rent 2026-12"))]
    reference: Option<String>,
    /// When it counts from; the time it was recorded, if the command did not say.
    #[schema(value_type = String, format = DateTime, examples("2026-11-24T12:00:00.000000Z"))]
    effective_at: Timestamp,
    /// When it was committed to the log.
    #[schema(value_type = String, format = DateTime, examples("2026-11-24T12:00:00.000000Z"))]
    recorded_at: Timestamp,
    /// The sender's labels.
    metadata: BTreeMap<String, String>,
    /// What it did to the account that sent; null if that could not be applied.
    from: Option<LegView>,
    /// What it did to the account that received; null if that could not be applied.
    to: Option<LegView>,
    /// Since when events of the account whose leg is null are set aside; absent as a rule, and if that leg was discarded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, examples("2026-11-24T12:00:00.000000Z"))]
    quarantined_since: Option<Timestamp>,
}

/// What a transfer did to one of its accounts.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = TransferLeg)]
struct LegView {
    account_id: Uuid,
    /// Its entry there.
    #[schema(minimum = 2, examples(7))]
    version: i64,
    /// Its place in the log.
    #[schema(value_type = String, pattern = "^[0-9]+-[0-9]+$", examples("3-1042"))]
    position: Position,
    /// The balance after it.
    #[schema(examples(125_000))]
    balance: i64,
    #[schema(value_type = String, format = DateTime, examples("2026-11-24T12:00:00.000000Z"))]
    recorded_at: Timestamp,
    /// The version of the account's entry that undoes it; null if none does.
    #[schema(examples(9))]
    reversed_by: Option<i64>,
}

impl TransferView {
    /// Of the legs that are there; nothing, if none is.
    pub(super) fn new(
        transfer_id: Uuid,
        mut legs: Vec<Leg>,
        quarantined_since: Option<Timestamp>,
    ) -> Option<Self> {
        legs.sort_unstable_by_key(|leg| leg.amount);
        let one = legs.first()?;
        let leg = |sent: bool| legs.iter().find(|leg| (leg.amount < 0) == sent).map(LegView::from);
        Some(Self {
            transfer_id,
            amount: one.amount.abs(),
            currency: one.currency.clone(),
            reference: one.reference.clone(),
            effective_at: one.effective_at.unwrap_or(one.recorded_at),
            recorded_at: one.recorded_at,
            metadata: labels(one.metadata.as_deref()),
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
