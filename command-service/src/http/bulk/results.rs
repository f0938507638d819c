//! Results of a bulk request.

use passbook_shared::http::problem::Problem;
use serde::Serialize;
use serde_json::Value;

use super::ResultForm;
use crate::domain::Refusal;
use crate::http::answer::{Body, Form};
use crate::http::{examples, problems};
use crate::outcome::{CommandResult, Outcome};

/// Discriminator of a result, in its field `result`.
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
struct Succeeded<'a> {
    result: Kind,
    status: u16,
    #[serde(flatten)]
    body: Body<'a>,
    #[serde(skip_serializing_if = "is_false")]
    replayed: bool,
}

/// Result of a command that failed; `problem` has the status.
#[derive(Serialize)]
struct Failed {
    result: Kind,
    #[serde(flatten)]
    problem: Problem,
    #[serde(skip_serializing_if = "is_false")]
    replayed: bool,
}

impl Failed {
    fn of(problem: Problem, replayed: bool) -> Self {
        Self { result: Kind::Problem, problem, replayed }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Serializes the results as the body of the answer.
///
/// # Errors
/// 500 if a result cannot be serialized, which is a defect.
pub(super) fn write(forms: &[ResultForm], results: &[CommandResult]) -> Result<Vec<u8>, Problem> {
    let mut body = Vec::with_capacity(results.len() * 512);
    body.extend_from_slice(b"{\"results\":[");
    for (n, (form, result)) in forms.iter().zip(results).enumerate() {
        if n > 0 {
            body.push(b',');
        }
        if let Err(error) = write_one(&mut body, *form, result) {
            tracing::error!(%error, "a result cannot be serialized");
            return Err(Problem::internal());
        }
    }
    body.extend_from_slice(b"]}");
    Ok(body)
}

fn write_one(
    body: &mut Vec<u8>,
    form: ResultForm,
    result: &CommandResult,
) -> serde_json::Result<()> {
    match result {
        Ok(outcome) => match form.form.body(form.account_id, outcome) {
            Ok(body_of_result) => {
                let status = form.form.status.as_u16();
                serde_json::to_writer(
                    body,
                    &Succeeded {
                        result: Kind::of(&body_of_result),
                        status,
                        body: body_of_result,
                        replayed: outcome.is_replay(),
                    },
                )
            }
            Err(problem) => serde_json::to_writer(body, &Failed::of(problem, outcome.is_replay())),
        },
        Err(error) => serde_json::to_writer(body, &Failed::of(problems::undecided(error), false)),
    }
}

/// Returns the example answer: two deposits, the second of which is refused.
pub(super) fn example() -> Option<Value> {
    let refusal = Refusal::InsufficientFunds { available: 125_000, overdraft_limit: 0 };
    let own = examples::accepted_deposit()?;
    let accepted = Outcome::Accepted { replayed: false, own, to: None };
    let results = [Ok(accepted), Ok(Outcome::Refused { replayed: false, refusal })];
    let form = ResultForm { account_id: examples::ACCOUNT, form: Form::ENTRY };
    serde_json::from_slice(&write(&[form; 2], &results).ok()?).ok()
}
