use serde_json::{Value, json};

use super::ACCOUNT;
use crate::domain::Refusal;
use crate::http::answer::Form;
use crate::http::bulk::{ResultForm, problems, results};
use crate::outcome::{CommandError, CommandResult, Outcome};

#[test]
fn an_atomic_set_fails_with_its_first_refusal() {
    let forms = vec![ResultForm { account_id: ACCOUNT.parse().unwrap(), form: Form::ENTRY }; 3];
    let refused = |refusal| Ok(Outcome::Refused { replayed: false, refusal });
    let results = [
        Err(CommandError::SetAborted),
        refused(Refusal::InsufficientFunds { available: 3, overdraft_limit: 0 }),
        Err(CommandError::SetAborted),
    ];
    let problem = serde_json::to_value(problems::first_failure(&forms, &results).unwrap()).unwrap();
    assert_eq!(problem["status"], 422);
    assert_eq!(
        (&problem["code"], &problem["index"], &problem["available"]),
        (&json!("insufficient_funds"), &json!(1), &json!(3))
    );
    assert!(problem["detail"].as_str().unwrap().starts_with("`commands[1]`: "));
    let missing =
        problems::first_failure(&forms[..1], &[refused(Refusal::AccountNotFound)]).unwrap();
    assert_eq!((missing.status, missing.code.as_str()), (422, "account_not_found"));
    let away =
        problems::first_failure(&forms[..1], &[Err(CommandError::StoreUnavailable("away".into()))])
            .unwrap();
    assert_eq!((away.status, away.retry_after, away.facts.len()), (503, Some(1), 0));
}

#[test]
fn results_match_single_answers() {
    let forms = vec![ResultForm { account_id: ACCOUNT.parse().unwrap(), form: Form::ENTRY }; 2];
    let replayed = Outcome::Refused { replayed: true, refusal: Refusal::AccountNotFound };
    let body = results::write(&forms, &[Ok(replayed), Err(CommandError::Overloaded)]).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["results"][0]["status"], 404);
    assert_eq!(body["results"][0]["replayed"], true);
    assert_eq!(body["results"][1]["code"], "overloaded");
    assert_eq!(body["results"][1].get("replayed"), None);
    let example = results::example().unwrap();
    assert_eq!(example["results"][0]["status"], 201);
    assert_eq!(
        example["results"][0]["account"],
        crate::http::examples::deposit().unwrap()["account"]
    );
}

#[test]
fn a_request_without_any_decision_fails_as_a_whole() {
    let problem = |results: &[CommandResult]| {
        problems::none_decided(results)
            .map(|problem| (problem.status, problem.code, problem.retry_after))
    };
    let whole = |code: &str| Some((503, code.to_owned(), Some(1)));
    let (away, unknown) = (
        || Err(CommandError::StoreUnavailable("away".into())),
        || Err(CommandError::OutcomeUnknown),
    );
    assert_eq!(problem(&vec![away(); 500]), whole("store_unavailable"));
    assert_eq!(problem(&[Err(CommandError::Overloaded), away()]), whole("overloaded"));
    assert_eq!(problem(&[away(), unknown(), away()]), whole("outcome_unknown"));
    // Any decided command is reported individually.
    let refused = || Ok(Outcome::Refused { replayed: false, refusal: Refusal::AccountNotFound });
    for decided in [refused(), Err(CommandError::KeyReused), Err(CommandError::Internal)] {
        assert_eq!(problem(&[away(), decided, away()]), None);
    }
}
