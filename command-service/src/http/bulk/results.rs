//! What became of many commands.

use axum::http::StatusCode;
use passbook_shared::event::HoldStatus;
use passbook_shared::http::problem::Problem;
use passbook_shared::money::Currency;
use serde::Serialize;

use super::Asked;
use crate::domain::Refusal;
use crate::domain::effective::MOST_LATER_EVENTS;
use crate::http::answer::{Body, Form};
use crate::http::{examples, problems};
use crate::outcome::{Answer, CommandError, Outcome};

/// What became of a command, as the lanes say.
type Became = Result<Answer, CommandError>;

/// Kind of a result, as its field `result` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "&'static str")]
pub(super) enum Kind {
    Account,
    Hold,
    Transfer,
    Problem,
}

impl Kind {
    fn of(body: &Body<'_>) -> Self {
        match body {
            Body::Account(_) => Self::Account,
            Body::Hold(_) => Self::Hold,
            Body::Transfer(_) => Self::Transfer,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Hold => "hold",
            Self::Transfer => "transfer",
            Self::Problem => "problem",
        }
    }
}

impl From<Kind> for &'static str {
    fn from(kind: Kind) -> Self {
        kind.as_str()
    }
}

#[derive(Serialize)]
struct Done<'a> {
    result: Kind,
    status: u16,
    #[serde(flatten)]
    body: Body<'a>,
    #[serde(skip_serializing_if = "is_false")]
    replayed: bool,
}

/// Its status is in the problem.
#[derive(Serialize)]
struct NotDone {
    result: Kind,
    #[serde(flatten)]
    problem: Problem,
    #[serde(skip_serializing_if = "is_false")]
    replayed: bool,
}

impl NotDone {
    fn of(problem: Problem, replayed: bool) -> Self {
        Self { result: Kind::Problem, problem, replayed }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(value: &bool) -> bool {
    !value
}

/// The body of the answer.
///
/// # Errors
/// 500, if a result can't be written: a defect.
pub(super) fn write(asked: &[Asked], results: &[Became]) -> Result<Vec<u8>, Problem> {
    let mut body = Vec::with_capacity(results.len() * 512);
    body.extend_from_slice(b"{\"results\":[");
    for (n, (asked, became)) in asked.iter().zip(results).enumerate() {
        if n > 0 {
            body.push(b',');
        }
        if let Err(error) = write_one(&mut body, *asked, became) {
            tracing::error!(%error, "an answer can't be written");
            return Err(Problem::internal());
        }
    }
    body.extend_from_slice(b"]}");
    Ok(body)
}

fn write_one(body: &mut Vec<u8>, asked: Asked, became: &Became) -> serde_json::Result<()> {
    match became {
        Ok(Answer { replayed, outcome }) => match asked.form.tell(asked.account_id, outcome) {
            Ok(told) => {
                let status = asked.form.status.as_u16();
                serde_json::to_writer(
                    body,
                    &Done { result: Kind::of(&told), status, body: told, replayed: *replayed },
                )
            }
            Err(problem) => serde_json::to_writer(body, &NotDone::of(problem, *replayed)),
        },
        Err(error) => serde_json::to_writer(body, &NotDone::of(problems::undecided(error), false)),
    }
}

/// The problem of the whole request, if none of its commands was decided because the service can't decide now.
pub(super) fn none_decided(results: &[Became]) -> Option<Problem> {
    let passing =
        |became: &Became| became.as_ref().err().filter(|error| error.is_passing()).cloned();
    let errors: Vec<CommandError> = results.iter().map(passing).collect::<Option<_>>()?;
    // Of the others it is certain that they were not done.
    let unknown = errors.iter().find(|error| **error == CommandError::OutcomeUnknown);
    unknown.or(errors.first()).map(problems::undecided)
}

/// Of a set of which all is to be done or nothing: the problem of the first command that was not, if one was not.
pub(super) fn first_not_done(asked: &[Asked], results: &[Became]) -> Option<Problem> {
    let mut held_back = false;
    for (index, (asked, became)) in asked.iter().zip(results).enumerate() {
        match became {
            Ok(Answer { outcome: Outcome::Accepted(_), .. }) => {}
            Ok(Answer { outcome: Outcome::Refused(refusal), .. }) => {
                return Some(of_set(index, problems::refused(asked.account_id, refusal)));
            }
            Err(error @ CommandError::KeyReused) => {
                return Some(of_set(index, problems::undecided(error)));
            }
            Err(CommandError::SetAborted) => held_back = true,
            // What befalls the set as a whole.
            Err(
                error @ (CommandError::Overloaded
                | CommandError::ShuttingDown
                | CommandError::StoreUnavailable(_)
                | CommandError::LogIsBehind { .. }
                | CommandError::OutcomeUnknown
                | CommandError::Conflict
                | CommandError::Internal),
            ) => return Some(problems::undecided(error)),
        }
    }
    held_back.then(|| {
        tracing::error!("the commands of a set were held back, and none of them was refused");
        Problem::internal()
    })
}

/// The problem of a command, as that of the set that it keeps from being done.
fn of_set(index: usize, problem: Problem) -> Problem {
    let detail = format!("`commands[{index}]`: {}; nothing was done", problem.detail);
    let facts = problem.facts;
    Problem { facts, ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, &problem.code, detail) }
        .with("index", index)
}

/// For the documentation: every way in which a command of a set may be refused.
pub(super) fn not_done() -> Vec<Problem> {
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

/// For the documentation: the answer to these, of deposits or withdrawals.
pub(in crate::http) fn example(results: &[Became]) -> Result<Vec<u8>, Problem> {
    let asked = Asked { account_id: examples::ACCOUNT, form: Form::ENTRY };
    write(&vec![asked; results.len()], results)
}
