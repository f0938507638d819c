//! Accounts out of a key's reach: every operation on one answers as on a missing one.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::tenants::Sender;
use crate::environment::{Environment, Pair, Service};

/// Longest difference between the times of two equal answers.
const SAME_TIME: Duration = Duration::from_millis(500);

/// Operation on an account.
struct Operation {
    method: Method,
    path: String,
    id: String,
}

/// Reads the operations of a service that name an account in their path.
async fn operations_of(service: &Service) -> anyhow::Result<Vec<Operation>> {
    let document = service.client()?.json("/openapi.json").await?;
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().context("no paths")? {
        for (method, operation) in methods.as_object().context("no operations")? {
            if path.starts_with("/v1/accounts/{id}") {
                let id = operation["operationId"].as_str().context("no id")?.to_owned();
                let path = path.replace("{version}", "2");
                found.push(Operation { method: method.to_uppercase().parse()?, path, id });
            }
        }
    }
    Ok(found)
}

/// Returns a body that the operation accepts.
fn body(operation: &str) -> anyhow::Result<Option<Value>> {
    Ok(Some(match operation {
        "create_deposit" | "create_withdrawal" => json!({"amount": 5}),
        "place_hold" => json!({"amount": 5, "hold_id": Uuid::from_u128(9)}),
        "capture_hold" => json!({"amount": 5}),
        "create_reversal" => json!({"version": 2}),
        "set_overdraft_limit" => json!({"limit": 100}),
        "change_owner" => json!({"owner": "ada"}),
        "freeze_account" => json!({"block_credits": true}),
        "release_hold" | "unfreeze_account" | "close_account" => json!({}),
        "list_account_events"
        | "get_account_state"
        | "get_entry"
        | "list_entries"
        | "get_account"
        | "list_balances"
        | "list_holds" => return Ok(None),
        unknown => anyhow::bail!("operation {unknown} has no expectation here"),
    }))
}

/// Returns an answer without what differs between two accounts, and the time that it took.
async fn answer(
    sender: &Sender,
    service: &Service,
    operation: &Operation,
    (account, hold): (Uuid, Uuid),
    query: &str,
) -> anyhow::Result<((StatusCode, String), Duration)> {
    let path = operation.path.replace("{id}", &account.to_string());
    let path = format!("{}{query}", path.replace("{hold_id}", &hold.to_string()));
    let asked = Instant::now();
    let body = body(&operation.id)?;
    let (status, answer) =
        sender.ask(service, operation.method.clone(), &path, body.as_ref()).await?;
    let text = answer.to_string().replace(&account.to_string(), "ACCOUNT");
    Ok(((status, text), asked.elapsed()))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_out_of_reach_answers_as_a_missing_one() -> anyhow::Result<()> {
    let pair = Pair::start(Environment::new("tenants").await?, 1).await?;
    let acme = Sender::new(&pair, "acme", "acme", None).await?;
    let account = acme.open(&pair, "ada").await?;
    let hold = Uuid::from_u128(7);
    let path = format!("/v1/accounts/{account}");
    for (path, body) in
        [("deposits", json!({"amount": 5})), ("holds", json!({"amount": 5, "hold_id": hold}))]
    {
        let (status, answer) =
            acme.post(&pair, &format!("/v1/accounts/{account}/{path}"), &body).await?;
        ensure!(status == StatusCode::CREATED, "{status}: {answer}");
    }
    let (status, view) = acme.get(&pair, &format!("{path}?min_version=3")).await?;
    ensure!(status == StatusCode::OK && view["tenant"] == "acme", "{view}");

    let strangers = [
        Sender::new(&pair, "other", "other", None).await?,
        Sender::new(&pair, "bob-of-acme", "acme", Some("bob")).await?,
        Sender::new(&pair, "ada-of-other", "other", Some("ada")).await?,
    ];
    let mut cases = 0;
    for service in [&pair.commands[0], &pair.projections[0]] {
        for operation in operations_of(service).await? {
            for stranger in &strangers {
                let missing = Uuid::new_v4();
                let (foreign, time) =
                    answer(stranger, service, &operation, (account, hold), "").await?;
                let (expected, other_time) =
                    answer(stranger, service, &operation, (missing, hold), "").await?;
                let Operation { method, path, .. } = &operation;
                ensure!(foreign == expected, "{method} {path}: {foreign:?}, not {expected:?}");
                let refused = [StatusCode::NOT_FOUND, StatusCode::FORBIDDEN].contains(&foreign.0);
                ensure!(refused, "{method} {path}: {foreign:?}");
                let difference = time.abs_diff(other_time);
                ensure!(difference < SAME_TIME, "{method} {path}: {time:?}, {other_time:?}");
                cases += 1;
            }
        }
    }
    // A read that waits for a version waits for both.
    let service = &pair.projections[0];
    let get = Operation {
        method: Method::GET,
        path: "/v1/accounts/{id}".into(),
        id: "get_account".into(),
    };
    let query = "?min_version=2";
    let (foreign, time) = answer(&strangers[0], service, &get, (account, hold), query).await?;
    let missing = (Uuid::new_v4(), hold);
    let (expected, other_time) = answer(&strangers[0], service, &get, missing, query).await?;
    ensure!(foreign == expected, "{foreign:?}, not {expected:?}");
    ensure!(time.abs_diff(other_time) < SAME_TIME, "{time:?}, {other_time:?}");
    eprintln!("figure: {cases} requests on accounts out of reach");
    ensure!(cases > 40, "only {cases} cases");
    // Nothing has changed.
    let (_, view) = acme.get(&pair, &path).await?;
    ensure!(view["version"] == 3, "{view}");
    Ok(())
}
