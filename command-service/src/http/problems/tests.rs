#![expect(clippy::too_many_lines, reason = "a test tells its story from start to end")]

use passbook_shared::event::HoldStatus;
use passbook_shared::partition::Partition;
use serde_json::{Value, json};

use super::*;
use crate::domain::tests::specification::at;

#[test]
fn a_refusal_of_the_counterparty_names_its_account() {
    let (own, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    for (refusal, status, code) in [
        (Refusal::AccountNotFound, 404, "account_not_found"),
        (Refusal::AccountClosed, 422, "account_closed"),
        (Refusal::AccountFrozen, 422, "account_frozen"),
        (Refusal::AmountOverflow, 422, "amount_overflow"),
        (
            Refusal::InsufficientFunds { available: 3, overdraft_limit: 0 },
            422,
            "insufficient_funds",
        ),
    ] {
        let problem =
            refused(own, &Refusal::Counterparty { account_id: other, refusal: Box::new(refusal) });
        assert_eq!((problem.status, problem.code.as_str()), (status, code));
        assert_eq!(problem.facts["account_id"], other.to_string());
        assert!(problem.detail.contains(&other.to_string()), "{}", problem.detail);
    }
}

const ACCOUNT: Uuid = Uuid::from_u128(7);

/// Returns status, code and facts.
fn shown(problem: &Problem) -> (u16, &str, Value) {
    (problem.status, problem.code.as_str(), Value::Object(problem.facts.clone()))
}

#[test]
fn every_refusal_has_its_status_code_and_facts() {
    let [eur, jpy] = ["EUR", "JPY"].map(|code| code.parse().unwrap());
    let reversal = || Refusal::NotReversible { event_type: "HoldPlaced".to_owned() };
    for (refusal, status, code, facts) in [
        (Refusal::AccountNotFound, 404, "account_not_found", json!({})),
        (Refusal::AccountExists, 409, "account_exists", json!({})),
        (Refusal::AccountClosed, 422, "account_closed", json!({})),
        (Refusal::AccountFrozen, 422, "account_frozen", json!({})),
        (
            Refusal::InsufficientFunds { available: 3, overdraft_limit: 4 },
            422,
            "insufficient_funds",
            json!({"available": 3, "overdraft_limit": 4}),
        ),
        (
            Refusal::InsufficientFundsAt { available: 3, overdraft_limit: 4, at: at(0) },
            422,
            "insufficient_funds",
            json!({"available": 3, "overdraft_limit": 4, "at": at(0).to_string()}),
        ),
        (
            Refusal::TooFarBack { most_later_events: 9 },
            422,
            "too_far_back",
            json!({"most_later_events": 9}),
        ),
        (Refusal::BalanceNotZero { balance: -1 }, 422, "balance_not_zero", json!({"balance": -1})),
        (Refusal::HoldsOpen { holds: 2 }, 422, "holds_open", json!({"holds": 2})),
        (Refusal::SameAccount, 422, "same_account", json!({})),
        (
            Refusal::CurrencyMismatch { from: eur, to: jpy },
            422,
            "currency_mismatch",
            json!({"from_currency": "EUR", "to_currency": "JPY"}),
        ),
        (Refusal::TransferExists, 409, "transfer_exists", json!({})),
        (Refusal::HoldNotFound, 404, "hold_not_found", json!({})),
        (
            Refusal::HoldNotOpen { status: HoldStatus::Expired },
            422,
            "hold_not_open",
            json!({"status_of_hold": "expired"}),
        ),
        (Refusal::HoldExists, 409, "hold_exists", json!({})),
        (Refusal::TooManyHolds { most: 5 }, 422, "too_many_holds", json!({"limit": 5})),
        (Refusal::HoldExceeded { amount: 5 }, 422, "hold_exceeded", json!({"held": 5})),
        (Refusal::ExpiryPassed, 422, "expiry_passed", json!({})),
        (
            Refusal::OverdraftInUse { available: -5 },
            422,
            "overdraft_in_use",
            json!({"available": -5}),
        ),
        (
            Refusal::EntryNotFound { current_version: 6 },
            404,
            "version_not_found",
            json!({"current_version": 6}),
        ),
        (reversal(), 422, "not_reversible", json!({})),
        (
            Refusal::AlreadyReversed { reversed_by: 6 },
            422,
            "already_reversed",
            json!({"reversed_by": 6}),
        ),
        (Refusal::AmountOverflow, 422, "amount_overflow", json!({})),
        (
            Refusal::VersionMismatch { current_version: 6 },
            412,
            "version_mismatch",
            json!({"current_version": 6}),
        ),
    ] {
        let problem = refused(ACCOUNT, &refusal);
        assert_eq!(shown(&problem), (status, code, facts), "{refusal:?}");
        assert_eq!((problem.retry_after, problem.errors.len()), (None, 0), "{refusal:?}");
    }
}

#[test]
fn a_stored_refusal_has_the_same_problem_after_it_is_read() {
    for refusal in [
        Refusal::InsufficientFundsAt { available: 3, overdraft_limit: 4, at: at(0) },
        Refusal::HoldNotOpen { status: HoldStatus::Captured },
        Refusal::Counterparty { account_id: ACCOUNT, refusal: Box::new(Refusal::AccountClosed) },
        Refusal::NotReversible { event_type: "HoldPlaced".to_owned() },
    ] {
        let stored = serde_json::to_string(&refusal).unwrap();
        let read: Refusal = serde_json::from_str(&stored).unwrap();
        assert_eq!(refused(ACCOUNT, &read), refused(ACCOUNT, &refusal), "{stored}");
    }
}

#[test]
fn an_error_of_the_lanes_has_its_status_code_and_time_to_retry() {
    let behind = CommandError::LogIsBehind {
        partition: Partition::new(3),
        log_position: 10,
        topic_position: 12,
    };
    let positions = json!({"partition": 3, "log_position": 10, "topic_position": 12});
    for (error, status, code, retry_after, facts) in [
        (CommandError::Overloaded, 503, "overloaded", Some(1), json!({})),
        (CommandError::ShareTaken, 503, "overloaded", Some(1), json!({})),
        (CommandError::ShuttingDown, 503, "overloaded", Some(1), json!({})),
        (
            CommandError::StoreUnavailable("away".into()),
            503,
            "store_unavailable",
            Some(1),
            json!({}),
        ),
        (CommandError::OutcomeUnknown, 503, "outcome_unknown", Some(1), json!({})),
        (behind, 503, "log_is_behind", Some(30), positions),
        (CommandError::Conflict, 409, "conflict", None, json!({})),
        (CommandError::KeyReused, 422, "idempotency_key_reused", None, json!({})),
        (CommandError::SetAborted, 409, "held_back", None, json!({})),
        (CommandError::Internal, 500, "internal_error", None, json!({})),
    ] {
        let problem = undecided(&error);
        assert_eq!(shown(&problem), (status, code, facts), "{error:?}");
        assert_eq!(problem.retry_after, retry_after, "{error:?}");
        assert_eq!(error.is_passing(), status == 503, "{error:?}");
        // Only an unknown outcome may have had an effect.
        let says_so = problem.detail.contains("changed nothing");
        let passing = error.is_passing() || error == CommandError::Conflict;
        let is_known = error != CommandError::OutcomeUnknown;
        assert_eq!(
            says_so,
            (passing && is_known) || error == CommandError::SetAborted,
            "{error:?}"
        );
    }
}
