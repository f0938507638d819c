//! Access to both services: keys, scopes, and requests of web pages.

mod audit;
mod issuers;
mod matrix;
mod pages;
mod quotas;
mod strangers;
mod tenants;
mod tokens;

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use passbook_shared::access::api_key::NewKey;
use passbook_shared::access::keys_file::{KeyRequest, add, revoke, rotate};
use passbook_shared::access::scope::Role;
use passbook_shared::access::{Reach, Scope, Scopes};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::environment::{Environment, Pair, Service};
use crate::infrastructure::keys;
use crate::process::eventually;

/// Longest time until a changed file of keys is in force.
const RELOAD: Duration = Duration::from_secs(1);

/// Adds a key to the file that all services of the run read.
pub(crate) fn key(principal: &str, scopes: Scopes) -> anyhow::Result<NewKey> {
    restricted_key(principal, scopes, Reach::default())
}

/// Adds a key that is restricted to the accounts in its reach.
fn restricted_key(principal: &str, scopes: Scopes, reach: Reach) -> anyhow::Result<NewKey> {
    let request = KeyRequest {
        principal: principal.to_owned(),
        scopes,
        reach,
        rate: None,
        lifetime: None,
        note: None,
    };
    add(&keys()?.keys_file, &request)
}

/// Sends a request with the given value of `Authorization`; returns status and body.
async fn ask(
    service: &Service,
    method: Method,
    path: &str,
    authorization: Option<&str>,
    body: Option<&Value>,
) -> anyhow::Result<(StatusCode, Value)> {
    let mut request =
        reqwest::Client::new().request(method, format!("http://{}{path}", service.addr));
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    if let Some(body) = body {
        request = request.json(body);
    }
    let response = request.header("prefer", "wait=10").send().await?;
    let (status, text) = (response.status(), response.text().await?);
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

async fn is_known(service: &Service, key: &NewKey) -> anyhow::Result<bool> {
    let bearer = format!("Bearer {}", key.text);
    let (status, _) = ask(service, Method::GET, "/nowhere", Some(&bearer), None).await?;
    Ok(status != StatusCode::UNAUTHORIZED)
}

/// Waits until a service accepts a key.
pub(crate) async fn known(service: &Service, key: &NewKey) -> anyhow::Result<()> {
    eventually("a key is known", async || {
        ensure!(is_known(service, key).await?, "{} is unknown", key.id);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_within_a_second_and_a_rotated_one_never() -> anyhow::Result<()> {
    let pair = Pair::start(Environment::new("revoked").await?, 1).await?;
    let services = [&pair.commands[0], &pair.projections[0]];
    let file = keys()?.keys_file;
    let first = key("revoked", Role::Reader.scopes())?;
    for service in services {
        known(service, &first).await?;
    }
    let second = rotate(&file, "revoked", Duration::from_secs(3_600), None)?;
    for service in services {
        known(service, &second).await?;
        ensure!(is_known(service, &first).await?, "the overlap has not begun");
    }
    ensure!(revoke(&file, &first.id)? == 1);
    let revoked = Instant::now();
    for service in services {
        while is_known(service, &first).await? {
            ensure!(revoked.elapsed() < RELOAD, "a revoked key is accepted");
        }
        ensure!(is_known(service, &second).await?, "the other key was revoked as well");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_and_its_entry_name_the_principal() -> anyhow::Result<()> {
    let pair = Pair::start(Environment::new("actor").await?, 1).await?;
    let (client, views) = (pair.command()?, pair.projection()?);
    let teller = key("till-3", Role::Teller.scopes())?;
    known(&pair.commands[0], &teller).await?;
    let account = client.open().await?;
    let path = format!("/v1/accounts/{account}/deposits");
    let bearer = format!("Bearer {}", teller.text);
    let body = json!({"amount": 5});
    let (status, answer) =
        ask(&pair.commands[0], Method::POST, &path, Some(&bearer), Some(&body)).await?;
    ensure!(status == StatusCode::CREATED, "{answer}");
    let events = client.json(&format!("/v1/accounts/{account}/events")).await?;
    let actors = [0, 1].map(|n| &events["data"][n]["metadata"]["actor"]);
    ensure!(actors == [&json!("operator"), &json!("till-3")], "{events}");
    views.json(&format!("/v1/accounts/{account}?min_version=2")).await?;
    let entry = views.json(&format!("/v1/accounts/{account}/entries/2")).await?;
    ensure!(entry["command"]["actor"] == "till-3", "{entry}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_forbidden_command_refuses_a_bulk_request_and_keeps_no_key() -> anyhow::Result<()> {
    let environment = Environment::new("forbidden_bulk").await?;
    let service = environment.command("command-0").await?;
    let client = service.client()?;
    let teller = key("teller", Role::Teller.scopes())?;
    known(&service, &teller).await?;
    let account = client.open().await?;
    let commands = json!({"commands": [
        {"type": "deposit", "account_id": account, "amount": 1, "idempotency_key": "first"},
        {"type": "freeze", "account_id": account, "idempotency_key": "second"},
    ]});
    let bearer = format!("Bearer {}", teller.text);
    let (status, problem) =
        ask(&service, Method::POST, "/v1/commands", Some(&bearer), Some(&commands)).await?;
    let lacks = problem["detail"].as_str().is_some_and(|text| text.contains("accounts:manage"));
    ensure!(status == StatusCode::FORBIDDEN && problem["index"] == 1 && lacks, "{problem}");
    let path = format!("/v1/accounts/{account}");
    let freeze = format!("{path}/freeze");
    let response = client.request(Method::POST, &freeze).bearer_auth(&teller.text);
    let response = response.header("idempotency-key", "second").send().await?;
    ensure!(response.status() == StatusCode::FORBIDDEN, "{}", response.status());
    let events = client.json(&format!("{path}/events")).await?;
    ensure!(events["data"].as_array().context("no list")?.len() == 1, "{events}");
    // The same keys by a principal that may use them.
    let response = client.post("/v1/commands", None, &commands).await?;
    let (status, results) = (response.status(), response.text().await?);
    ensure!(status == StatusCode::OK && results.contains("\"frozen\""), "{results}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn health_needs_no_key() -> anyhow::Result<()> {
    let environment = Environment::new("secret_reasons").await?;
    let mut service = environment.command("command-0").await?;
    let (status, ready) = ask(&service, Method::GET, "/health/ready", None, None).await?;
    ensure!(status == StatusCode::OK && ready["ready"] == true, "{ready}");
    // A store that does not answer is a reason.
    service.kill().await?;
    service.set("database-url", "postgres://nobody@127.0.0.1:1/nothing");
    service.start()?;
    let reader = key("reasons", [Scope::OpsRead].into_iter().collect())?;
    eventually("the service waits for its store", async || {
        let (status, ready) = ask(&service, Method::GET, "/health/ready", None, None).await?;
        ensure!(status == StatusCode::SERVICE_UNAVAILABLE, "{status}: {ready}");
        Ok(())
    })
    .await?;
    // Keys are reloaded meanwhile.
    known(&service, &reader).await?;
    let bearer = format!("Bearer {}", reader.text);
    let reason = async |authorization| {
        let (_, ready) = ask(&service, Method::GET, "/health/ready", authorization, None).await?;
        anyhow::Ok(ready["checks"]["postgres"]["reason"].clone())
    };
    ensure!(reason(Some(&*bearer)).await?.is_string() && reason(None).await?.is_null());
    ensure!(revoke(&keys()?.keys_file, &reader.id)? == 1);
    eventually("the key is unknown", async || {
        ensure!(!is_known(&service, &reader).await?, "a revoked key is accepted");
        Ok(())
    })
    .await?;
    ensure!(reason(Some(&*bearer)).await?.is_null(), "a revoked key shows reasons");
    Ok(())
}
