//! Problems of a bulk request as a whole.

use axum::http::StatusCode;
use passbook_shared::event::HoldStatus;
use passbook_shared::http::problem::Problem;
use passbook_shared::money::Currency;

use super::ResultForm;
use crate::domain::Refusal;
use crate::domain::effective::MOST_LATER_EVENTS;
use crate::http::{examples, problems};
use crate::outcome::{CommandError, CommandResult, Outcome};

/// Returns the problem of the whole request if no command was decided because the service is
/// unavailable.
pub(super) fn none_decided(results: &[CommandResult]) -> Option<Problem> {
    let passing =
        |result: &CommandResult| result.as_ref().err().filter(|error| error.is_passing()).cloned();
    let errors: Vec<CommandError> = results.iter().map(passing).collect::<Option<_>>()?;
    // An unknown outcome takes precedence: the other errors rule out any effect.
    let unknown = errors.iter().find(|error| **error == CommandError::OutcomeUnknown);
    unknown.or(errors.first()).map(problems::undecided)
}

/// Returns the problem of the first failed command of an atomic set, if any.
pub(super) fn first_failure(forms: &[ResultForm], results: &[CommandResult]) -> Option<Problem> {
    let mut aborted = false;
    for (index, (form, result)) in forms.iter().zip(results).enumerate() {
        match result {
            Ok(Outcome::Accepted { .. }) => {}
            Ok(Outcome::Refused { refusal, .. }) => {
                return Some(of_set(index, problems::refused(form.account_id, refusal)));
            }
            Err(error @ CommandError::KeyReused) => {
                return Some(of_set(index, problems::undecided(error)));
            }
            Err(CommandError::SetAborted) => aborted = true,
            // These errors concern the set as a whole.
            Err(
                error @ (CommandError::Overloaded
                | CommandError::ShareTaken
                | CommandError::ShuttingDown
                | CommandError::StoreUnavailable(_)
                | CommandError::LogIsBehind { .. }
                | CommandError::OutcomeUnknown
                | CommandError::Conflict
                | CommandError::Internal),
            ) => return Some(problems::undecided(error)),
        }
    }
    aborted.then(|| {
        tracing::error!("a set was aborted although none of its commands was refused");
        Problem::internal()
    })
}

/// Turns the problem of one command into the problem of its set.
fn of_set(index: usize, problem: Problem) -> Problem {
    let detail = format!("`commands[{index}]`: {}; nothing was done", problem.detail);
    let facts = problem.facts;
    Problem { facts, ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, &problem.code, detail) }
        .with("index", index)
}

/// Every problem that aborts an atomic set, for the documentation.
pub(super) fn set_problems() -> Vec<Problem> {
    let [from, to] = ["EUR", "JPY"].map(|code| code.parse::<Currency>().ok());
    let mismatch = from.zip(to).map(|(from, to)| Refusal::CurrencyMismatch { from, to });
    let refusals = [
        Refusal::InsufficientFunds { available: 300, overdraft_limit: 0 },
        Refusal::TooFarBack { most_later_events: MOST_LATER_EVENTS },
        Refusal::AccountNotFound,
        Refusal::AccountExists,
        Refusal::AccountClosed,
        Refusal::AccountFrozen,
        Refusal::BalanceNotZero { balance: 1_250 },
        Refusal::HoldsOpen { holds: 2 },
        Refusal::AmountOverflow,
        Refusal::SameAccount,
        Refusal::TransferExists,
        Refusal::HoldNotFound,
        Refusal::HoldNotOpen { status: HoldStatus::Released },
        Refusal::HoldExists,
        Refusal::TooManyHolds { most: 10_000 },
        Refusal::HoldExceeded { amount: 5_000 },
        Refusal::ExpiryPassed,
        Refusal::OverdraftInUse { available: -1_250 },
        Refusal::EntryNotFound { current_version: 7 },
        Refusal::NotReversible { event_type: "HoldPlaced".to_owned() },
        Refusal::AlreadyReversed { reversed_by: 6 },
        Refusal::VersionMismatch { current_version: 8 },
    ];
    let refused = |refusal| of_set(3, problems::refused(examples::ACCOUNT, &refusal));
    let reused = of_set(3, problems::undecided(&CommandError::KeyReused));
    refusals.into_iter().chain(mismatch).map(refused).chain([reused]).collect()
}
