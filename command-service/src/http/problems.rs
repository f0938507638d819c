//! Maps every refusal of the domain and every error of the lanes to a problem, in one place.

#[cfg(test)]
mod tests;

use axum::http::StatusCode;
use passbook_shared::http::problem::Problem;
use uuid::Uuid;

use crate::domain::Refusal;
use crate::domain::effective::MOST_OF_REQUEST;
use crate::outcome::CommandError;
use crate::quotas::Exceeded;

/// `Retry-After` in seconds while the log is behind: an operator has to act first.
const LOG_IS_BEHIND_RETRY: u32 = 30;

/// Returns 403 `quota_exceeded`.
pub(super) fn quota_exceeded(exceeded: &Exceeded) -> Problem {
    let Exceeded { quota, most, .. } = exceeded;
    let detail = format!("the tenant would exceed its quota `{quota}` of {most}; nothing changed");
    Problem::new(StatusCode::FORBIDDEN, "quota_exceeded", detail).with("quota", *quota)
}

/// Returns the problem of a refusal: a pure function, so a replay returns the same bytes.
///
/// Refusals are stored as data and rendered on every replay, also those of earlier releases. The
/// texts of `detail` are therefore part of the stored answers and must not change.
#[expect(
    clippy::too_many_lines,
    reason = "one exhaustive match: cut in two, neither half would be exhaustive"
)]
pub(super) fn refused(account_id: Uuid, refusal: &Refusal) -> Problem {
    let refused =
        |code, detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail);
    match refusal {
        Refusal::AccountNotFound => Problem::account_not_found(account_id),
        Refusal::AccountExists => {
            let detail = format!("account {account_id} is there already");
            Problem::new(StatusCode::CONFLICT, "account_exists", detail)
        }
        Refusal::AccountClosed => {
            refused("account_closed", format!("account {account_id} is closed"))
        }
        Refusal::AccountFrozen => refused(
            "account_frozen",
            format!("account {account_id} is frozen, in the direction the money was to go"),
        ),
        Refusal::InsufficientFunds { available, overdraft_limit } => {
            let detail = format!(
                "on account {account_id}, {available} is available, and the overdraft limit is \
                 {overdraft_limit}"
            );
            refused("insufficient_funds", detail)
                .with("available", *available)
                .with("overdraft_limit", *overdraft_limit)
        }
        Refusal::InsufficientFundsAt { available, overdraft_limit, at } => {
            let detail = format!(
                "on account {account_id}, by effective time, {available} was available at {at}, \
                 and the overdraft limit was \
                 {overdraft_limit}; `allow_backdated_overdraft` waives this check"
            );
            refused("insufficient_funds", detail)
                .with("available", *available)
                .with("overdraft_limit", *overdraft_limit)
                .with("at", at.to_string())
        }
        Refusal::TooFarBack { most_later_events } => {
            let detail = format!(
                "account {account_id} has more than {most_later_events} events since that \
                 `effective_at` or an earlier one \
                 of the request, or all accounts of the request have more than \
                 {MOST_OF_REQUEST}: what was available is \
                 not looked up over more. Send the debit in a request of its own, or waive this \
                 check with \
                 `allow_backdated_overdraft`"
            );
            refused("too_far_back", detail).with("most_later_events", *most_later_events)
        }
        Refusal::BalanceNotZero { balance } => {
            let detail =
                format!("the balance is {balance}: an account is closed with nothing on it");
            refused("balance_not_zero", detail).with("balance", *balance)
        }
        Refusal::HoldsOpen { holds } => {
            let detail = format!("open holds: {holds}; an account is closed without any");
            refused("holds_open", detail).with("holds", *holds)
        }
        Refusal::Counterparty { account_id, refusal } => {
            self::refused(*account_id, refusal).with("account_id", account_id.to_string())
        }
        Refusal::SameAccount => {
            refused("same_account", "the account can't send money to itself".to_owned())
        }
        Refusal::CurrencyMismatch { from, to } => {
            let detail =
                format!("the account that sends is in {from}, the one that receives in {to}");
            refused("currency_mismatch", detail)
                .with("from_currency", from.code())
                .with("to_currency", to.code())
        }
        Refusal::TransferExists => {
            let detail = "`transfer_id` is another transfer's: the same id is taken only with \
                the same content";
            Problem::new(StatusCode::CONFLICT, "transfer_exists", detail)
        }
        Refusal::HoldNotFound => Problem::new(
            StatusCode::NOT_FOUND,
            "hold_not_found",
            format!("account {account_id} has no such hold"),
        ),
        Refusal::HoldNotOpen { status } => {
            let detail = format!("the hold is {} already", status.as_str());
            refused("hold_not_open", detail).with("status_of_hold", status.as_str())
        }
        Refusal::HoldExists => {
            let detail = format!("account {account_id} has, or had, a hold with that id");
            Problem::new(StatusCode::CONFLICT, "hold_exists", detail)
        }
        Refusal::TooManyHolds { most } => {
            let detail =
                format!("account {account_id} has {most} open holds: no account may have more");
            refused("too_many_holds", detail).with("limit", *most)
        }
        Refusal::HoldExceeded { amount } => {
            refused("hold_exceeded", format!("the hold is over {amount}: no more can be captured"))
                .with("held", *amount)
        }
        Refusal::ExpiryPassed => {
            refused("expiry_passed", "`expires_at` is not in the future".to_owned())
        }
        Refusal::OverdraftInUse { available } => {
            let detail =
                format!("{available} is available: the overdraft is used beyond that limit");
            refused("overdraft_in_use", detail).with("available", *available)
        }
        Refusal::EntryNotFound { current_version } => {
            Problem::version_not_found(account_id, *current_version)
        }
        Refusal::NotReversible { event_type } => {
            let detail = format!(
                "the entry is of type {event_type}: only deposits, withdrawals and transfers are \
                 reversed"
            );
            refused("not_reversible", detail)
        }
        Refusal::AlreadyReversed { reversed_by } => {
            let detail = format!("the entry was reversed before, by version {reversed_by}");
            refused("already_reversed", detail).with("reversed_by", *reversed_by)
        }
        Refusal::AmountOverflow => {
            let detail =
                format!("an amount of account {account_id} would leave the range of ±(2^53 - 1)");
            refused("amount_overflow", detail)
        }
        Refusal::VersionMismatch { current_version } => {
            let detail = format!(
                "the account is at version {current_version}, which is not what If-Match expects"
            );
            Problem::new(StatusCode::PRECONDITION_FAILED, "version_mismatch", detail)
                .with("current_version", *current_version)
        }
    }
}

/// Returns the problem of a command that was not decided.
pub(super) fn undecided(error: &CommandError) -> Problem {
    let unavailable = |code, detail: &str| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(1)
    };
    match error {
        CommandError::Overloaded | CommandError::ShareTaken | CommandError::ShuttingDown => {
            unavailable("overloaded", &format!("{error}; this command changed nothing"))
        }
        CommandError::StoreUnavailable(reason) => {
            Problem::store_unavailable(&format!("{reason}; this command changed nothing"))
        }
        CommandError::LogIsBehind { partition, log_position, topic_position } => {
            let detail = format!(
                "partition {partition} of the log ends at position {log_position}, but the topic \
                 has events up to {topic_position}: the log was restored from a backup, and an \
                 operator must accept the restore first. This command changed nothing"
            );
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "log_is_behind", detail)
                .with("partition", partition.get())
                .with("log_position", *log_position)
                .with("topic_position", *topic_position)
                .retry_after(LOG_IS_BEHIND_RETRY)
        }
        CommandError::OutcomeUnknown => unavailable(
            "outcome_unknown",
            "the connection to the store was lost during the commit: the command may or may not \
             have taken effect. Repeat it with the same Idempotency-Key to learn the outcome",
        ),
        CommandError::Conflict => {
            let detail = "concurrent changes of the account kept this command from being decided; \
                          it changed nothing";
            Problem::new(StatusCode::CONFLICT, "conflict", detail)
        }
        CommandError::KeyReused => {
            // Compared byte for byte with earlier releases, like the stored refusals.
            let detail = "the Idempotency-Key was used on this account for another request";
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail)
        }
        CommandError::SetAborted => {
            let detail = "another command of the set failed; this command changed nothing";
            // The code is part of the API, and older than the name of the variant.
            Problem::new(StatusCode::CONFLICT, "held_back", detail)
        }
        CommandError::Internal => Problem::internal(),
    }
}
