//! Bodies of deposits and withdrawals.

use passbook_shared::event::MoneyMoved;
use passbook_shared::http::problem::Problem;
use passbook_shared::money::Amount;
use passbook_shared::text::{Metadata, Reference};
use passbook_shared::timestamp::Timestamp;
use serde::Deserialize;

use super::schemas;

/// Deposit.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(example = json!({"amount": 25_000, "reference": "INV-2026-0042"}))]
pub(super) struct MovementRequest {
    #[schema(schema_with = schemas::amount)]
    amount: Amount,
    #[schema(schema_with = schemas::optional_reference)]
    reference: Option<Reference>,
    #[schema(schema_with = schemas::optional_past_time)]
    effective_at: Option<Timestamp>,
    #[schema(schema_with = schemas::optional_metadata)]
    metadata: Option<Metadata>,
}

impl MovementRequest {
    /// Validates the request into the event's payload.
    ///
    /// # Errors
    /// 400 `malformed_request` if `effective_at` is in the future.
    pub(super) fn into_movement(self, now: Timestamp) -> Result<MoneyMoved, Problem> {
        let Self { amount, reference, effective_at, metadata } = self;
        not_in_the_future(effective_at, now)?;
        let metadata = metadata.unwrap_or_default();
        Ok(MoneyMoved {
            amount,
            reference,
            effective_at,
            metadata,
            allow_backdated_overdraft: false,
        })
    }
}

/// Withdrawal.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(example = json!({"amount": 25_000, "reference": "INV-2026-0042"}))]
pub(super) struct WithdrawalRequest {
    #[schema(schema_with = schemas::amount)]
    amount: Amount,
    #[schema(schema_with = schemas::optional_reference)]
    reference: Option<Reference>,
    #[schema(schema_with = schemas::optional_past_time)]
    effective_at: Option<Timestamp>,
    #[schema(schema_with = schemas::optional_metadata)]
    metadata: Option<Metadata>,
    #[schema(schema_with = schemas::allow_backdated_overdraft)]
    allow_backdated_overdraft: Option<bool>,
}

impl WithdrawalRequest {
    /// Validates the request into the event's payload.
    ///
    /// # Errors
    /// 400 `malformed_request` if `effective_at` is in the future.
    pub(super) fn into_movement(self, now: Timestamp) -> Result<MoneyMoved, Problem> {
        let Self { amount, reference, effective_at, metadata, allow_backdated_overdraft } = self;
        let allow_backdated_overdraft = allow_backdated_overdraft.unwrap_or_default();
        let moved =
            MovementRequest { amount, reference, effective_at, metadata }.into_movement(now)?;
        Ok(MoneyMoved { allow_backdated_overdraft, ..moved })
    }
}

/// Checks that an effective time is not in the future.
///
/// # Errors
/// 400 `malformed_request` if it is.
pub(super) fn not_in_the_future(
    effective_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), Problem> {
    // Reads by effective time rely on it: no entry is effective after its recording.
    match effective_at {
        Some(at) if at > now => Err(Problem::malformed(
            "effective_at",
            format!("is in the future: the current time is {now}"),
        )),
        Some(_) | None => Ok(()),
    }
}
