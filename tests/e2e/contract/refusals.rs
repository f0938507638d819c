//! Refused requests: status, code and field of each problem.

use anyhow::ensure;
use reqwest::Method;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::send;
use crate::environment::{Environment, Pair, Service};

/// A request and the problem that answers it.
struct Case<'a> {
    method: Method,
    path: String,
    headers: &'a [(&'a str, &'a str)],
    body: &'a str,
    status: u16,
    code: &'a str,
    field: Option<&'a str>,
}

impl<'a> Case<'a> {
    fn get(path: &str, status: u16, code: &'a str) -> Self {
        let (method, path) = (Method::GET, path.to_owned());
        Self { method, path, headers: &[], body: "", status, code, field: None }
    }

    fn post(path: &str, body: &'a str, status: u16, code: &'a str) -> Self {
        Self { method: Method::POST, body, ..Self::get(path, status, code) }
    }

    fn malformed_get(path: &str, field: &'a str) -> Self {
        Self { field: Some(field), ..Self::get(path, 400, "malformed_request") }
    }

    fn malformed_post(path: &str, body: &'a str, field: &'a str) -> Self {
        Self { field: Some(field), ..Self::post(path, body, 400, "malformed_request") }
    }

    fn with(self, headers: &'a [(&'a str, &'a str)]) -> Self {
        Self { headers, ..self }
    }
}

async fn check(service: &Service, account: Uuid, cases: &[Case<'_>]) -> anyhow::Result<()> {
    for case in cases {
        let Case { method, headers, body, .. } = case;
        let path = case.path.replace("{id}", &account.to_string());
        let request = format!("{method} {path} {headers:?} {body}");
        let (status, headers, answer) = send(service, method.clone(), &path, headers, body).await?;
        ensure!(
            status.as_u16() == case.status && answer["code"] == case.code,
            "{request}: {status}: {answer}"
        );
        ensure!(headers["content-type"] == "application/problem+json", "{request}: {headers:?}");
        ensure!(headers.contains_key("x-request-id"), "{request}: {headers:?}");
        if let Some(field) = case.field {
            ensure!(answer["errors"][0]["field"] == field, "{request}: {answer}");
        }
        ensure!(status != 503 || headers.contains_key("retry-after"), "{request}: {headers:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_commands_are_refused_by_the_name_of_the_field() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("malformed_commands").await?, 1).await?;
    let account = pair.command()?.open().await?;
    let deposit = |body, field| Case::malformed_post("/v1/accounts/{id}/deposits", body, field);
    let open = |body, field| Case::malformed_post("/v1/accounts", body, field);
    let long = |length: usize| "ä".repeat(length);
    let owner = format!(r#"{{"owner":"{}","currency":"EUR"}}"#, long(201));
    let reference = format!(r#"{{"amount":1,"reference":"{}"}}"#, long(501));
    let entries: Map<_, _> = (0..21).map(|n| (n.to_string(), json!("x"))).collect();
    let metadata =
        json!({"owner": "a", "currency": "EUR", "metadata": Value::from(entries)}).to_string();
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    check(
        &pair.commands[0],
        account,
        &[
            deposit("", "amount"),
            deposit("{", "body"),
            deposit("[1]", "body"),
            deposit("null", "body"),
            deposit(&deep, "body"),
            deposit("{}", "amount"),
            deposit(r#"{"amount":0}"#, "amount"),
            deposit(r#"{"amount":-1}"#, "amount"),
            deposit(r#"{"amount":1.0}"#, "amount"),
            deposit(r#"{"amount":1e3}"#, "amount"),
            deposit(r#"{"amount":"1"}"#, "amount"),
            deposit(r#"{"amount":true}"#, "amount"),
            deposit(r#"{"amount":9007199254740992}"#, "amount"),
            deposit(r#"{"amount":18446744073709551616}"#, "amount"),
            deposit(r#"{"amount":1,"amount":1}"#, "amount"),
            deposit(r#"{"amount":1,"more":1}"#, "more"),
            deposit(r#"{"amount":1,"reference":"a\u0000b"}"#, "reference"),
            deposit(&reference, "reference"),
            deposit(r#"{"amount":1,"effective_at":"2999-01-01T00:00:00Z"}"#, "effective_at"),
            deposit(r#"{"amount":1,"effective_at":"yesterday"}"#, "effective_at"),
            open(r#"{"owner":"","currency":"EUR"}"#, "owner"),
            open(r#"{"owner":"a","currency":"XXZ"}"#, "currency"),
            open(r#"{"owner":"a","currency":"EUR","account_id":"7"}"#, "account_id"),
            open(r#"{"owner":"a","currency":"EUR","initial_deposit":-1}"#, "initial_deposit"),
            open(&owner, "owner"),
            open(&metadata, "metadata"),
        ],
    )
    .await?;
    pair.assert_consistent(&[]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_paths_and_routes_of_commands_are_checked() -> anyhow::Result<()> {
    let pair = Pair::start(Environment::new("checked_commands").await?, 1).await?;
    let account = pair.command()?.open().await?;
    let unknown = format!("/v1/accounts/{}/deposits", Uuid::new_v4());
    let (deposits, one) = ("/v1/accounts/{id}/deposits", r#"{"amount":1}"#);
    let (large, opening) = (r#"{"amount":9007199254740991}"#, r#"{"owner":"a","currency":"EUR"}"#);
    let long_key = "k".repeat(256);
    let long_key = [("idempotency-key", long_key.as_str())];
    let text = [("content-type", "text/plain")];
    let unsupported = Case::post(deposits, one, 415, "unsupported_media_type");
    let no_method = Case::post("/v1/accounts", "", 405, "method_not_allowed");
    check(
        &pair.commands[0],
        account,
        &[
            unsupported.with(&text),
            Case::malformed_post(deposits, "", "amount").with(&text),
            Case::malformed_post("/v1/accounts/{id}/reversals", "", "version").with(&text),
            Case::malformed_post("/v1/transfers", "", "from").with(&text),
            Case::malformed_post("/v1/commands", "", "commands").with(&text),
            Case::malformed_post(deposits, one, "Idempotency-Key").with(&long_key),
            Case::malformed_post(deposits, one, "If-Match").with(&[("if-match", "7")]),
            Case::post(deposits, one, 412, "version_mismatch").with(&[("if-match", "\"7\"")]),
            Case::malformed_post("/v1/accounts/{id}/deposits?dry_run=maybe", one, "dry_run"),
            Case::malformed_post("/v1/accounts/7/deposits", one, "id"),
            Case::post(&unknown, one, 404, "account_not_found"),
            Case::post("/v1/accounts", opening, 412, "version_mismatch")
                .with(&[("if-match", "\"7\"")]),
            Case::post("/v1/accounts/{id}/withdrawals", large, 422, "insufficient_funds"),
            Case::post("/v1/accounts/{id}/close", "", 422, "balance_not_zero"),
            Case::post("/v1/nothing", "", 404, "not_found"),
            Case { method: Method::PATCH, ..no_method },
            Case::malformed_get("/v1/events?partition=99&after=0", "partition"),
            Case::malformed_get("/v1/events?cursor=x", "cursor"),
            Case::get("/v1/accounts/{id}/state?version=9", 404, "version_not_found"),
        ],
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_of_queries_are_checked() -> anyhow::Result<()> {
    let pair = Pair::start(Environment::new("checked_queries").await?, 1).await?;
    let account = pair.command()?.open().await?;
    pair.projection()?.json(&format!("/v1/accounts/{account}?min_version=1")).await?;
    let unknown = format!("/v1/accounts/{}", Uuid::new_v4());
    check(
        &pair.projections[0],
        account,
        &[
            Case::malformed_get("/v1/accounts?limit=0", "limit"),
            Case::malformed_get("/v1/accounts?limit=201", "limit"),
            Case::malformed_get("/v1/accounts?sort=owner", "sort"),
            Case::malformed_get("/v1/accounts?cursor=x", "cursor"),
            Case::malformed_get("/v1/accounts?ownr=a", "ownr"),
            Case::malformed_get("/v1/accounts/{id}/entries?from=today", "from"),
            Case::get(&unknown, 404, "account_not_found"),
            Case::get("/v1/accounts/{id}?min_version=9", 503, "view_behind")
                .with(&[("prefer", "wait=0")]),
        ],
    )
    .await
}
