//! The HTTP contract as a client meets it: what is refused, with which status, code and field; conditional requests;
//! reads of the past; documents and metrics.

use std::collections::HashSet;

use anyhow::{Context, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::process::eventually;
use crate::site::{Pair, Service, Site};

/// A request, and what is to come of it.
struct Case<'a> {
    method: Method,
    path: String,
    headers: &'a [(&'a str, &'a str)],
    body: &'a str,
    status: u16,
    code: &'a str,
    field: Option<&'a str>,
}

/// Sends a request with a body of JSON; gives status, headers and body.
async fn send(
    service: &Service,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> anyhow::Result<(StatusCode, reqwest::header::HeaderMap, Value)> {
    let mut request =
        reqwest::Client::new().request(method, format!("http://{}{path}", service.addr));
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.body(body.to_owned()).send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await?;
    Ok((status, headers, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

async fn check(service: &Service, cases: &[Case<'_>]) -> anyhow::Result<()> {
    for case in cases {
        let Case { method, path, headers, body, .. } = case;
        let what = format!("{method} {path} {headers:?} {body}");
        let (status, headers, answer) = send(service, method.clone(), path, headers, body).await?;
        ensure!(
            status.as_u16() == case.status && answer["code"] == case.code,
            "{what}: {status}: {answer}"
        );
        ensure!(headers["content-type"] == "application/problem+json", "{what}: {headers:?}");
        ensure!(headers.contains_key("x-request-id"), "{what}: {headers:?}");
        if let Some(field) = case.field {
            ensure!(answer["errors"][0]["field"] == field, "{what}: {answer}");
        }
        ensure!(status != 503 || headers.contains_key("retry-after"), "{what}: {headers:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_commands_are_refused_by_the_name_of_the_field() -> anyhow::Result<()> {
    let mut pair = Pair::start(Site::new("malformed_commands").await?, 1).await?;
    let account = pair.command()?.open().await?;
    let deposits = format!("/v1/accounts/{account}/deposits");
    let malformed = |path: &str, body, field| Case {
        method: Method::POST,
        path: path.to_owned(),
        headers: &[],
        body,
        status: 400,
        code: "malformed_request",
        field: Some(field),
    };
    let deposit = |body, field| malformed(&deposits, body, field);
    let open = |body, field| malformed("/v1/accounts", body, field);
    let long = |length: usize| "ä".repeat(length);
    let owner = format!(r#"{{"owner":"{}","currency":"EUR"}}"#, long(201));
    let reference = format!(r#"{{"amount":1,"reference":"{}"}}"#, long(501));
    let labels: Value =
        (0..21).map(|n| (n.to_string(), json!("x"))).collect::<serde_json::Map<_, _>>().into();
    let metadata = json!({"owner": "a", "currency": "EUR", "metadata": labels}).to_string();
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    check(
        &pair.commands[0],
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
    pair.holds(&[]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_paths_and_routes_are_checked_too() -> anyhow::Result<()> {
    let pair = Pair::start(Site::new("checked_requests").await?, 1).await?;
    let account = pair.command()?.open().await?;
    let case = |method, path: &str, headers, body, status, code, field| Case {
        method,
        path: path.replace("{id}", &account.to_string()),
        headers,
        body,
        status,
        code,
        field,
    };
    let nobody = Uuid::new_v4().to_string();
    let (get, post) = (Method::GET, Method::POST);
    let (one, long_key) = (r#"{"amount":1}"#, "k".repeat(256));
    let (long_key, text): (&[_], &[_]) =
        (&[("idempotency-key", long_key.as_str())], &[("content-type", "text/plain")]);
    check(
        &pair.commands[0],
        &[
            case(
                post.clone(),
                "/v1/accounts/{id}/deposits",
                text,
                one,
                415,
                "unsupported_media_type",
                None,
            ),
            case(
                post.clone(),
                "/v1/accounts/{id}/deposits",
                text,
                "",
                400,
                "malformed_request",
                Some("amount"),
            ),
            case(
                post.clone(),
                "/v1/accounts/{id}/reversals",
                text,
                "",
                400,
                "malformed_request",
                Some("version"),
            ),
            case(post.clone(), "/v1/transfers", text, "", 400, "malformed_request", Some("from")),
            case(
                post.clone(),
                "/v1/commands",
                text,
                "",
                400,
                "malformed_request",
                Some("commands"),
            ),
            case(
                post.clone(),
                "/v1/accounts/{id}/deposits",
                long_key,
                one,
                400,
                "malformed_request",
                Some("Idempotency-Key"),
            ),
            case(
                post.clone(),
                "/v1/accounts/{id}/deposits",
                &[("if-match", "7")],
                one,
                400,
                "malformed_request",
                Some("If-Match"),
            ),
            case(
                post.clone(),
                "/v1/accounts/{id}/deposits",
                &[("if-match", "\"7\"")],
                one,
                412,
                "version_mismatch",
                None,
            ),
            case(
                post.clone(),
                "/v1/accounts/{id}/deposits?dry_run=maybe",
                &[],
                one,
                400,
                "malformed_request",
                Some("dry_run"),
            ),
            case(
                post.clone(),
                "/v1/accounts/7/deposits",
                &[],
                one,
                400,
                "malformed_request",
                Some("id"),
            ),
            case(
                post.clone(),
                &format!("/v1/accounts/{nobody}/deposits"),
                &[],
                one,
                404,
                "account_not_found",
                None,
            ),
            case(
                post.clone(),
                "/v1/accounts",
                &[("if-match", "\"7\"")],
                r#"{"owner":"a","currency":"EUR"}"#,
                412,
                "version_mismatch",
                None,
            ),
            case(
                post.clone(),
                "/v1/accounts/{id}/withdrawals",
                &[],
                r#"{"amount":9007199254740991}"#,
                422,
                "insufficient_funds",
                None,
            ),
            case(post.clone(), "/v1/accounts/{id}/close", &[], "", 422, "balance_not_zero", None),
            case(post, "/v1/nothing", &[], "", 404, "not_found", None),
            case(Method::PATCH, "/v1/accounts", &[], "", 405, "method_not_allowed", None),
            case(
                get.clone(),
                "/v1/events?partition=99&after=0",
                &[],
                "",
                400,
                "malformed_request",
                Some("partition"),
            ),
            case(
                get.clone(),
                "/v1/events?cursor=x",
                &[],
                "",
                400,
                "malformed_request",
                Some("cursor"),
            ),
            case(
                get.clone(),
                "/v1/accounts/{id}/state?version=9",
                &[],
                "",
                404,
                "version_not_found",
                None,
            ),
        ],
    )
    .await?;
    pair.projection()?.json(&format!("/v1/accounts/{account}?min_version=1")).await?;
    check(
        &pair.projections[0],
        &[
            case(
                get.clone(),
                "/v1/accounts?limit=0",
                &[],
                "",
                400,
                "malformed_request",
                Some("limit"),
            ),
            case(
                get.clone(),
                "/v1/accounts?limit=201",
                &[],
                "",
                400,
                "malformed_request",
                Some("limit"),
            ),
            case(
                get.clone(),
                "/v1/accounts?sort=owner",
                &[],
                "",
                400,
                "malformed_request",
                Some("sort"),
            ),
            case(
                get.clone(),
                "/v1/accounts?cursor=x",
                &[],
                "",
                400,
                "malformed_request",
                Some("cursor"),
            ),
            case(
                get.clone(),
                "/v1/accounts?ownr=a",
                &[],
                "",
                400,
                "malformed_request",
                Some("ownr"),
            ),
            case(
                get.clone(),
                "/v1/accounts/{id}/entries?from=today",
                &[],
                "",
                400,
                "malformed_request",
                Some("from"),
            ),
            case(
                get.clone(),
                &format!("/v1/accounts/{nobody}"),
                &[],
                "",
                404,
                "account_not_found",
                None,
            ),
            case(
                get,
                "/v1/accounts/{id}?min_version=9",
                &[("prefer", "wait=0")],
                "",
                503,
                "view_behind",
                None,
            ),
        ],
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_and_what_has_not_changed_can_be_asked_for() -> anyhow::Result<()> {
    let pair = Pair::start(Site::new("the_past").await?, 1).await?;
    let (commands, views) = (&pair.commands[0], &pair.projections[0]);
    let account = pair.command()?.open().await?;
    let deposits = format!("/v1/accounts/{account}/deposits");
    let expecting = |version: &str| format!("\"{version}\"");
    let (status, headers, dry) =
        send(commands, Method::POST, &format!("{deposits}?dry_run=true"), &[], r#"{"amount":5}"#)
            .await?;
    ensure!(
        status == 200 && dry["version"] == 2 && headers["etag"] == expecting("2"),
        "{status}: {dry}"
    );
    for tags in ["W/\"1\"", "\"abc\"", "\"01\"", "\"7\", \"8\"", "\"1,7\""] {
        let (status, _, refused) =
            send(commands, Method::POST, &deposits, &[("if-match", tags)], r#"{"amount":5}"#)
                .await?;
        ensure!(
            status == 412 && refused["code"] == "version_mismatch",
            "{tags}: {status}: {refused}"
        );
    }
    let (status, headers, done) = send(
        commands,
        Method::POST,
        &deposits,
        &[("if-match", "W/\"1\", \"7\",\"1\"")],
        r#"{"amount":5}"#,
    )
    .await?;
    ensure!(status == 201 && done["version"] == 2, "a dry run leaves nothing: {status}: {done}");
    ensure!(headers["cache-control"] == "no-store", "{headers:?}");
    let opened = pair.command()?.json(&format!("/v1/accounts/{account}/events")).await?;
    let opened_at = opened["data"][0]["recorded_at"].as_str().context("no time")?.to_owned();

    let view = format!("/v1/accounts/{account}");
    let wait = [("prefer", "wait=10")];
    let (status, headers, now) =
        send(views, Method::GET, &format!("{view}?min_version=2"), &wait, "").await?;
    ensure!(
        status == 200 && headers["etag"] == expecting("2") && now["balance"] == 1_000_005,
        "{status}: {now}"
    );
    ensure!(headers["cache-control"] == "private, no-cache", "{headers:?}");
    let balances = format!("balances?from={opened_at}&interval=day");
    for path in ["entries", &balances, "holds"] {
        let (status, headers, _) =
            send(views, Method::GET, &format!("{view}/{path}"), &[], "").await?;
        let kept = headers["cache-control"].to_str()?.to_owned();
        ensure!(
            status == 200 && ["no-store", "private, no-cache"].contains(&kept.as_str()),
            "{path}: {status}, {kept}"
        );
    }
    for (service, path) in [(views, view.clone()), (commands, format!("{view}/state"))] {
        let (status, headers, _) = send(service, Method::GET, &path, &[], "").await?;
        ensure!(
            status == 200 && headers["etag"] == expecting("2"),
            "{path}: {status}: {headers:?}"
        );
        let (status, _, body) =
            send(service, Method::GET, &path, &[("if-none-match", &expecting("2"))], "").await?;
        ensure!(status == 304, "{path}: {status}: {body}");
    }
    for service in [commands, views] {
        let path =
            if service.addr == commands.addr { format!("{view}/state") } else { view.clone() };
        for past in ["version=1".to_owned(), format!("as_of={opened_at}")] {
            let (status, _, then) =
                send(service, Method::GET, &format!("{path}?{past}"), &[], "").await?;
            let balance = if path == view { &then["balance"] } else { &then["account"]["balance"] };
            ensure!(
                status == 200 && then["version"] == 1 && *balance == 1_000_000,
                "{path}?{past}: {status}: {then}"
            );
        }
    }
    let statement =
        pair.projection()?.json(&format!("{view}/entries?from={opened_at}&limit=1")).await?;
    ensure!(statement["data"][0]["amount"] == 5 && statement["has_more"] == true, "{statement}");
    ensure!(
        statement["opening_balance"] == 0 && statement["closing_balance"] == 1_000_005,
        "{statement}"
    );
    let buckets =
        pair.projection()?.json(&format!("{view}/balances?from={opened_at}&interval=hour")).await?;
    let last =
        buckets["data"].as_array().and_then(|buckets| buckets.last()).context("no buckets")?;
    ensure!(last["balance"] == 1_000_005, "{buckets}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_quotes_is_the_same_key() -> anyhow::Result<()> {
    let mut pair = Pair::start(Site::new("quoted_keys").await?, 1).await?;
    let account = pair.command()?.open().await?;
    let path = format!("/v1/accounts/{account}/deposits");
    for (first, again) in
        [("8e03", "\"8e03\""), ("\"k\"", "k"), ("\"two words\"", "\"two words\"; by=us")]
    {
        for (key, replayed) in [(first, false), (again, true)] {
            let headers = [("idempotency-key", key)];
            let (status, headers, answer) =
                send(&pair.commands[0], Method::POST, &path, &headers, r#"{"amount":5}"#).await?;
            let is_replay = headers.contains_key("idempotency-replayed");
            ensure!(
                status == 201 && is_replay == replayed,
                "{key}: {status}, replayed {is_replay}: {answer}"
            );
        }
    }
    let deposit = json!({"type": "deposit", "account_id": account, "amount": 5, "idempotency_key": "two words"});
    let body = json!({ "commands": [deposit] }).to_string();
    let (_, _, answer) = send(&pair.commands[0], Method::POST, "/v1/commands", &[], &body).await?;
    ensure!(answer["results"][0]["replayed"] == true, "{answer}");
    pair.holds(&[]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_has_options_and_every_read_has_a_head() -> anyhow::Result<()> {
    let pair = Pair::start(Site::new("options").await?, 1).await?;
    let account = pair.command()?.open().await?;
    pair.projection()?.json(&format!("/v1/accounts/{account}?min_version=1")).await?;
    for service in [&pair.commands[0], &pair.projections[0]] {
        let document = service.client()?.json("/openapi.json").await?;
        for (path, operations) in document["paths"].as_object().context("no paths")? {
            let url = path.replace("{id}", &account.to_string()).replace("{version}", "1");
            let (status, headers, _) = send(service, Method::OPTIONS, &url, &[], "").await?;
            let allowed =
                headers.get("allow").map(|allow| allow.to_str()).transpose()?.unwrap_or_default();
            ensure!(status == StatusCode::NO_CONTENT, "OPTIONS {path}: {status}");
            for method in operations.as_object().context("no operations")?.keys() {
                let method = method.to_uppercase();
                ensure!(
                    allowed.split(',').any(|allowed| allowed == method),
                    "{path}: {method} is not in `{allowed}`"
                );
            }
        }
        for path in
            ["/openapi.json", "/health/live", "/metrics", &format!("/v1/accounts/{account}/events")]
        {
            if path.starts_with("/v1") && service.addr != pair.commands[0].addr {
                continue;
            }
            let (status, headers, body) = send(service, Method::HEAD, path, &[], "").await?;
            ensure!(
                status == StatusCode::OK && headers.contains_key("content-type"),
                "HEAD {path}: {status}"
            );
            ensure!(body.as_str() == Some(""), "HEAD {path}: {body}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn large_answers_are_compressed_for_whoever_asks() -> anyhow::Result<()> {
    let pair = Pair::start(Site::new("compressed").await?, 1).await?;
    for service in [&pair.commands[0], &pair.projections[0]] {
        let http = reqwest::Client::new();
        let get = |path: &str| http.get(format!("http://{}{path}", service.addr));
        let plain = get("/openapi.json").send().await?;
        ensure!(!plain.headers().contains_key("content-encoding"), "{:?}", plain.headers());
        let compressed = get("/openapi.json").header("accept-encoding", "br, gzip").send().await?;
        ensure!(
            compressed.headers().get("content-encoding").is_some_and(|coding| coding == "gzip"),
            "{compressed:?}"
        );
        let (plain, compressed) = (plain.bytes().await?, compressed.bytes().await?);
        ensure!(
            compressed.starts_with(&[0x1f, 0x8b]) && compressed.len() * 4 < plain.len(),
            "{}",
            compressed.len()
        );
        let small = get("/health/live").header("accept-encoding", "gzip").send().await?;
        ensure!(!small.headers().contains_key("content-encoding"), "{:?}", small.headers());
    }
    Ok(())
}

/// With which the names of operations begin: methods of generated clients.
const VERBS: [&str; 20] = [
    "accept", "cancel", "capture", "check", "close", "create", "discard", "execute", "freeze",
    "get", "list", "open", "place", "release", "retry", "set", "settle", "start", "stream",
    "unfreeze",
];

#[tokio::test(flavor = "multi_thread")]
async fn both_services_document_and_measure_themselves() -> anyhow::Result<()> {
    let pair = Pair::start(Site::new("documents").await?, 1).await?;
    let account = pair.command()?.open().await?;
    pair.projection()?.json(&format!("/v1/accounts/{account}?min_version=1")).await?;
    let counted = [
        (pair.command()?, "passbook_commands_total{command=\"open\",outcome=\"accepted\"} 1"),
        (pair.projection()?, "passbook_projection_events_total 1"),
    ];
    for (service, counted) in counted {
        let document = service.json("/openapi.json").await?;
        let mut names = HashSet::new();
        ensure!(
            document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")),
            "{document}"
        );
        for (path, operations) in document["paths"].as_object().context("no paths")? {
            for (method, operation) in operations.as_object().context("no operations")? {
                let described =
                    operation["summary"].is_string() && operation["responses"].is_object();
                ensure!(described, "{method} {path} is not described: {operation}");
                let name = operation["operationId"].as_str().unwrap_or_default();
                let verb = name.split_once('_').map_or("", |(verb, _)| verb);
                ensure!(VERBS.contains(&verb), "{method} {path}: `{name}` is no verb and noun");
                ensure!(names.insert(name.to_owned()), "{method} {path} has another's name");
                let request = operation["requestBody"]["content"].as_object().into_iter();
                let answers =
                    operation["responses"].as_object().into_iter().flat_map(|all| all.values());
                let bodies =
                    request.chain(answers.filter_map(|answer| answer["content"].as_object()));
                for (media_type, body) in bodies.flatten() {
                    let has_example =
                        body["example"] != Value::Null || body["examples"].is_object();
                    ensure!(has_example, "{method} {path}: no example of {media_type}: {body}");
                }
            }
        }
        let docs = service.get("/docs/").await?.text().await?;
        ensure!(
            docs.contains("swagger") && !docs.contains("https://"),
            "the page needs a network: {docs}"
        );
        let metrics = service.get("/metrics").await?.text().await?;
        ensure!(metrics.contains(counted), "{metrics}");
        for path in ["/health/live", "/health/ready"] {
            // On a machine as busy as that of all these tests, Postgres may not answer at once.
            eventually("it says that it is well", async || {
                let response = service.get(path).await?;
                let status = response.status();
                ensure!(status == StatusCode::OK, "{path}: {status}: {}", response.text().await?);
                Ok(())
            })
            .await?;
        }
    }
    Ok(())
}
