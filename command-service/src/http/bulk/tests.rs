//! Tests of bulk requests.

mod results;

use passbook_shared::access::Reach;
use passbook_shared::http::problem::Problem;
use passbook_shared::recorded_event::CommandContext;
use passbook_shared::timestamp::Timestamp;
use serde_json::{Value, json};

use super::parse::{MOST, Set, read};
use crate::domain::Command;
use crate::http::command_headers::BulkHeaders;

const ACCOUNT: &str = "01990d2c-6f4a-7d3e-9b1a-5c8e2f7a4b60";
const OTHER: &str = "01990d2c-7b10-7c41-8e52-93d70a4c1f88";

fn headers() -> BulkHeaders {
    let correlation_id = Some("trail-1".to_owned());
    BulkHeaders {
        reach: Reach::default(),
        dry_run: false,
        context: CommandContext { correlation_id, ..CommandContext::default() },
    }
}

fn read_text(body: &str) -> Result<Set, Problem> {
    read(body.as_bytes(), &headers(), false, Timestamp::now())
}

fn read_commands(commands: &Value) -> Result<Set, Problem> {
    read_text(&json!({ "commands": commands }).to_string())
}

/// Returns a command of each type with all of its fields.
fn each_type() -> Value {
    let metadata = json!({"till": "3"});
    json!([
        {"type": "open", "owner": "customer-4711", "currency": "EUR", "initial_deposit": 5,
         "idempotency_key": "k"},
        {"type": "deposit", "account_id": ACCOUNT, "amount": 1, "reference": "a",
         "effective_at": "2026-01-01T00:00:00Z", "metadata": metadata, "expected_version": 7},
        {"type": "withdraw", "account_id": ACCOUNT, "amount": 1, "expected_version": null,
         "idempotency_key": null},
        {"type": "transfer", "from": ACCOUNT, "to": OTHER, "amount": 1, "transfer_id": OTHER,
         "metadata": metadata},
        {"type": "hold", "account_id": ACCOUNT, "amount": 1, "hold_id": OTHER,
         "expires_at": "2099-01-01T00:00:00Z"},
        {"type": "capture", "account_id": ACCOUNT, "hold_id": OTHER, "amount": 1},
        {"type": "release", "account_id": ACCOUNT, "hold_id": OTHER, "reason": "cancelled"},
        {"type": "reverse", "account_id": ACCOUNT, "version": 2, "reference": "twice"},
        {"type": "set_overdraft_limit", "account_id": ACCOUNT, "limit": 0},
        {"type": "freeze", "account_id": ACCOUNT, "block_credits": true},
        {"type": "unfreeze", "account_id": ACCOUNT},
        {"type": "close", "account_id": ACCOUNT, "reason": null},
    ])
}

#[test]
fn each_type_is_read_into_its_command() {
    let set = read_commands(&each_type()).unwrap();
    let types: Vec<Value> =
        each_type().as_array().unwrap().iter().map(|command| command["type"].clone()).collect();
    assert_eq!(
        set.requests.iter().map(|request| Value::from(request.command.name())).collect::<Vec<_>>(),
        types
    );
    let [opening, deposit, rest @ ..] = set.requests.as_slice() else { panic!("too few") };
    assert_eq!(deposit.expected_versions, Some(vec![7]));
    assert!(
        rest.iter().all(|request| request.account_id.to_string() == ACCOUNT
            && request.expected_versions.is_none())
    );
    assert_eq!(opening.context.idempotency_key.as_deref(), Some("k"));
    assert_eq!(deposit.context.correlation_id.as_deref(), Some("trail-1"));
    assert!(!set.atomic);
}

#[test]
fn ids_derived_from_a_key_are_stable() {
    let commands = json!([
        {"type": "open", "owner": "a", "currency": "EUR", "idempotency_key": "k"},
        {"type": "transfer", "from": ACCOUNT, "to": OTHER, "amount": 1, "idempotency_key": "k"},
        {"type": "hold", "account_id": ACCOUNT, "amount": 1, "idempotency_key": "k"},
    ]);
    let parsed = || {
        let requests = read_commands(&commands).unwrap().requests;
        requests
            .into_iter()
            .map(|request| (request.account_id, request.command))
            .collect::<Vec<_>>()
    };
    let first = parsed();
    assert_eq!(first, parsed());
    let [_, (_, Command::Transfer(transfer)), (_, Command::Hold(hold))] = first.as_slice() else {
        panic!("{first:?}")
    };
    assert_ne!(transfer.transfer_id, hold.hold_id);
}

#[test]
fn at_most_twenty_malformed_commands_are_listed() {
    let bad = json!({"type": "deposit", "account_id": ACCOUNT, "amount": 0});
    let good = json!({"type": "deposit", "account_id": ACCOUNT, "amount": 1});
    for (count, named) in [(1, 1), (3, 3), (25, 20)] {
        let commands: Vec<Value> = (0..count).flat_map(|_| [good.clone(), bad.clone()]).collect();
        let problem = read_commands(&commands.into()).unwrap_err();
        let fields: Vec<&str> = problem.errors.iter().map(|error| error.field.as_str()).collect();
        let expected: Vec<String> =
            (0..named).map(|n| format!("commands[{}].amount", 2 * n + 1)).collect();
        assert_eq!((fields, problem.status), (expected.iter().map(String::as_str).collect(), 400));
        assert_eq!(problem.detail.contains("more in `errors`"), named > 1, "{}", problem.detail);
    }
}

#[test]
fn a_non_object_element_does_not_hide_other_errors() {
    let commands =
        json!([5, {"type": "deposit", "account_id": ACCOUNT, "amount": 0}, null, [], "x"]);
    let problem = read_commands(&commands).unwrap_err();
    let fields: Vec<&str> = problem.errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(
        fields,
        ["commands[0]", "commands[1].amount", "commands[2]", "commands[3]", "commands[4]"]
    );
    let unknown = json!([{"type": "deposit", "account_id": ACCOUNT, "amount": 1, "if_match": 3}]);
    let detail = read_commands(&unknown).unwrap_err().detail;
    assert!(detail.contains("`amount`") && detail.contains("`expected_version`"), "{detail}");
}

#[test]
fn a_malformed_field_is_named_by_its_path() {
    let deposit = |more: &str| {
        let good = format!(r#"{{"type":"deposit","account_id":"{ACCOUNT}","amount":1}}"#);
        format!(r#"{{"commands":[{good},{{"type":"deposit","account_id":"{ACCOUNT}"{more}}}]}}"#)
    };
    let one = |fields: &str| format!(r#"{{"commands":[{{{fields}}}]}}"#);
    for (body, field) in [
        ("[]".to_owned(), "body"),
        ("{}".to_owned(), "commands"),
        (r#"{"commands":[]}"#.to_owned(), "commands"),
        (r#"{"commands":{}}"#.to_owned(), "commands"),
        (r#"{"commands":[[]]}"#.to_owned(), "commands[0]"),
        (r#"{"commands":[],"atomc":true}"#.to_owned(), "atomc"),
        (r#"{"atomic":1,"commands":[]}"#.to_owned(), "atomic"),
        (deposit(""), "commands[1].amount"),
        (deposit(r#","amount":0"#), "commands[1].amount"),
        (deposit(r#","amount":null"#), "commands[1].amount"),
        (deposit(r#","amount":1.0"#), "commands[1].amount"),
        (deposit(r#","amount":1,"amount":1"#), "commands[1].amount"),
        (deposit(r#","amount":1,"hold_id":null"#), "commands[1].hold_id"),
        (deposit(r#","amount":1,"type":"deposit""#), "commands[1].type"),
        (deposit(&format!(r#","amount":1,"account_id":"{ACCOUNT}""#)), "commands[1].account_id"),
        (
            deposit(r#","amount":1,"effective_at":"2999-01-01T00:00:00Z""#),
            "commands[1].effective_at",
        ),
        (deposit(r#","amount":1,"metadata":{"a":1}"#), "commands[1].metadata.a"),
        (deposit(r#","amount":1,"idempotency_key":"a\u0007b""#), "commands[1].idempotency_key"),
        (deposit(r#","amount":1,"expected_version":-1"#), "commands[1].expected_version"),
        (one(r#""amount":1"#), "commands[0].type"),
        (one(r#""type":"spend""#), "commands[0].type"),
        (one(r#""type":"deposit","amount":1"#), "commands[0].account_id"),
        (one(&format!(r#""type":"capture","account_id":"{ACCOUNT}""#)), "commands[0].hold_id"),
        (one(&format!(r#""type":"transfer","from":"{ACCOUNT}","amount":1"#)), "commands[0].to"),
        (
            one(&format!(r#""type":"transfer","account_id":"{ACCOUNT}","from":"x""#)),
            "commands[0].account_id",
        ),
        (
            one(&format!(r#""type":"reverse","account_id":"{ACCOUNT}","version":0"#)),
            "commands[0].version",
        ),
    ] {
        let problem = read_text(&body).expect_err(&body);
        assert_eq!(problem.errors[0].field, field, "{body}: {}", problem.detail);
        assert_eq!((problem.status, problem.code.as_str()), (400, "malformed_request"));
    }
}

#[test]
fn a_request_has_at_most_a_thousand_commands() {
    let many = vec![json!({"type": "close", "account_id": ACCOUNT}); MOST + 1];
    assert!(read_commands(&json!(many[1..])).is_ok());
    assert_eq!(read_commands(&json!(many)).unwrap_err().errors[0].field, "commands");
}

fn deposit(account: &str, key: &str) -> Value {
    json!({"type": "deposit", "account_id": account, "amount": 1, "idempotency_key": key})
}

#[test]
fn keys_can_be_required_and_must_be_unique_in_a_set() {
    let set = |commands: Value| json!({"atomic": true, "commands": commands}).to_string();
    let twice =
        read_text(&set(json!([deposit(ACCOUNT, "a"), deposit(OTHER, "a"), deposit(ACCOUNT, "a")])));
    assert_eq!(twice.unwrap_err().errors[0].field, "commands[2].idempotency_key");
    assert!(read_text(&set(json!([deposit(ACCOUNT, "a"), deposit(OTHER, "a")]))).is_ok());
    let without =
        json!({"commands": [deposit(ACCOUNT, "a"), {"type": "close", "account_id": ACCOUNT}]})
            .to_string();
    let problem = read(without.as_bytes(), &headers(), true, Timestamp::now()).unwrap_err();
    assert_eq!(problem.code, "idempotency_key_missing");
    assert_eq!(problem.errors[0].field, "commands[1].idempotency_key");
}
