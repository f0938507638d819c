use passbook_shared::partition::partition_of;
use serde_json::json;

use super::*;

/// Each command as (path, body); the paths of an account are relative to it.
fn commands() -> Vec<(&'static str, Value)> {
    let (to, amount) = (Uuid::from_u128(2), 5);
    vec![
        ("deposits", json!({"amount": amount})),
        ("withdrawals", json!({"amount": amount})),
        ("holds", json!({"amount": amount})),
        ("reversals", json!({"version": 1})),
        ("freeze", json!({"block_credits": false})),
        ("unfreeze", json!({})),
        ("close", json!({})),
        ("/v1/transfers", json!({"from": ACCOUNT, "to": to, "amount": amount})),
        ("/v1/accounts", json!({"account_id": ACCOUNT, "owner": "ada", "currency": "EUR"})),
    ]
}

fn path(of_account: &str) -> String {
    match of_account.starts_with('/') {
        true => of_account.to_owned(),
        false => format!("/v1/accounts/{ACCOUNT}/{of_account}"),
    }
}

#[tokio::test]
async fn a_command_gets_503_while_postgres_is_away() {
    let service = Service::start(false).await;
    for (path_of, body) in commands() {
        let response = service.post(&path(path_of), &body).send().await.unwrap();
        assert_eq!(response.headers()["retry-after"], "1", "{path_of}");
        let problem: Value = response.json().await.unwrap();
        let unavailable = [json!("store_unavailable"), json!("overloaded")];
        assert!(unavailable.contains(&problem["code"]), "{path_of}: {problem}");
        assert_eq!(problem["status"], 503);
    }
}

#[tokio::test]
async fn a_command_without_a_key_is_refused_where_keys_are_required() {
    let service = Service::start(true).await;
    for (path_of, body) in commands() {
        let found = problem(service.post(&path(path_of), &body)).await;
        assert_eq!(found, expected(400, "idempotency_key_missing", "Idempotency-Key"), "{path_of}");
        let keyed = service.post(&path(path_of), &body).header("Idempotency-Key", "k");
        assert_eq!(problem(keyed).await.0, 503, "{path_of}");
        // A dry run keeps no key.
        let dry = service.post(&format!("{}?dry_run=true", path(path_of)), &body);
        assert_eq!(problem(dry).await.0, 503, "{path_of}");
    }
}

#[tokio::test]
async fn an_unknown_field_of_a_command_is_named() {
    let service = Service::start(false).await;
    for (path_of, mut body) in commands() {
        body["surprise"] = json!(1);
        let found = problem(service.post(&path(path_of), &body)).await;
        assert_eq!(found, malformed("surprise"), "{path_of}");
        let query = service.post(&format!("{}?surprise=1", path(path_of)), &json!({}));
        assert_eq!(problem(query).await, malformed("surprise"), "{path_of}");
    }
}

#[tokio::test]
async fn a_malformed_field_of_a_command_is_named() {
    let service = Service::start(false).await;
    for (path_of, body, field) in [
        ("deposits", json!({"amount": 0}), "amount"),
        ("deposits", json!({"amount": "5"}), "amount"),
        ("deposits", json!({}), "amount"),
        ("deposits", json!({"amount": 5, "effective_at": "2999-01-01T00:00:00Z"}), "effective_at"),
        (
            "withdrawals",
            json!({"amount": 5, "allow_backdated_overdraft": 1}),
            "allow_backdated_overdraft",
        ),
        ("holds", json!({"amount": 5, "expires_at": "tomorrow"}), "expires_at"),
        ("reversals", json!({"version": 0}), "version"),
        ("reversals", json!({"version": 1.5}), "version"),
        ("/v1/transfers", json!({"from": ACCOUNT, "to": "bob", "amount": 5}), "to"),
        ("/v1/transfers", json!({"to": ACCOUNT, "amount": 5}), "from"),
        ("/v1/accounts", json!({"owner": "", "currency": "EUR"}), "owner"),
        ("/v1/accounts", json!({"owner": "ada", "currency": "eur"}), "currency"),
        ("/v1/commands", json!({"commands": []}), "commands"),
    ] {
        let found = problem(service.post(&path(path_of), &body)).await;
        assert_eq!(found, malformed(field), "{path_of}: {body}");
    }
    let limit = service.put(&path("overdraft-limit"), &json!({"limit": -1}));
    assert_eq!(problem(limit).await, malformed("limit"));
}

#[tokio::test]
async fn a_malformed_header_of_a_command_is_named() {
    let service = Service::start(false).await;
    let deposit = || service.post(&path("deposits"), &json!({"amount": 5}));
    for (name, value) in
        [("If-Match", "seven"), ("Idempotency-Key", "a b"), ("X-Correlation-Id", "a b")]
    {
        let found = problem(deposit().header(name, value)).await;
        assert_eq!(found.2.to_lowercase(), name.to_lowercase(), "{found:?}");
        assert_eq!(found.0, 400);
    }
    let long = "k".repeat(256);
    assert_eq!(problem(deposit().header("Idempotency-Key", &long)).await.0, 400);
    assert_eq!(problem(deposit().header("Idempotency-Key", &long[1..])).await.0, 503);
}

#[tokio::test]
async fn a_bulk_request_does_not_take_the_headers_of_single_commands() {
    let service = Service::start(false).await;
    let command = json!({"type": "deposit", "account_id": ACCOUNT, "amount": 1});
    let bulk = |body: &Value| service.post("/v1/commands", body);
    let body = json!({"commands": [command]});
    for (name, value) in [("Idempotency-Key", "k"), ("If-Match", "\"7\"")] {
        assert_eq!(problem(bulk(&body).header(name, value)).await, malformed(name));
    }
    assert_eq!(problem(bulk(&body)).await.0, 503);
    let atomic = json!({"commands": [command, command], "atomic": true});
    assert_eq!(problem(bulk(&atomic)).await.0, 503);
}

#[tokio::test]
async fn a_command_on_a_forked_partition_is_refused_before_postgres_is_asked() {
    let service = Service::start(false).await;
    let forked = (1..)
        .map(Uuid::from_u128)
        .find(|id| partition_of(*id, PARTITIONS) == PARTITIONS.last())
        .unwrap();
    let deposit = service.post(&format!("/v1/accounts/{forked}/deposits"), &json!({"amount": 5}));
    let response = deposit.send().await.unwrap();
    assert_eq!(response.headers()["retry-after"], "30");
    let problem: Value = response.json().await.unwrap();
    assert_eq!((&problem["code"], &problem["partition"]), (&json!("log_is_behind"), &json!(3)));
    let positions = (&problem["log_position"], &problem["topic_position"]);
    assert_eq!(positions, (&json!(10), &json!(12)));
}
