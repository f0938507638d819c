//! Every operation of both OpenAPI documents with every kind of key and token.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use passbook_shared::access::api_key::NewKey;
use passbook_shared::access::keys_file::{KeyRequest, add, revoke};
use passbook_shared::access::{Reach, Scope, Scopes};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

use super::tokens::Tokens;
use super::{Duration, ask, key, known};
use crate::environment::{Environment, Pair, Service};
use crate::infrastructure::{PARTITIONS, keys};

/// Identifier that no account, hold or replay has.
const NOWHERE: &str = "01990d2c-6f4a-7d3e-9b1a-5c8e2f7a4b60";
/// Longest time until a request is refused, also one that asks to wait.
const SOON: Duration = Duration::from_secs(2);

/// Operation of a document.
struct Operation {
    method: Method,
    path: String,
    /// Scopes of which one suffices; none if no key is needed.
    scopes: Vec<String>,
}

/// Keys of one principal each, and tokens.
struct Keys {
    /// By scope: a key with that scope only, and one with all other scopes.
    single: BTreeMap<&'static str, NewKey>,
    without: BTreeMap<Vec<String>, NewKey>,
    all: NewKey,
    expired: NewKey,
    revoked: NewKey,
    tokens: Tokens,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_needs_a_valid_key_with_one_of_its_scopes() -> anyhow::Result<()> {
    let pair = Pair::start(Environment::new("access_matrix").await?, 1).await?;
    let services = [&pair.commands[0], &pair.projections[0]];
    let mut operations = Vec::new();
    for service in services {
        operations.push(operations_of(service).await?);
    }
    let keys = create(operations.iter().flatten()).await?;
    let mut cases = 0;
    for (service, operations) in services.into_iter().zip(&operations) {
        known(service, &keys.all).await?;
        for operation in operations {
            cases += check(service, operation, &keys).await?;
        }
    }
    eprintln!("figure: {cases} requests of the access matrix");
    ensure!(cases > 1_000, "only {cases} cases");
    for partition in 0..PARTITIONS.get() {
        let events = pair.command()?.json(&format!("/v1/events?partition={partition}")).await?;
        ensure!(events["data"].as_array().is_some_and(Vec::is_empty), "{events}");
    }
    Ok(())
}

/// Reads the operations of a service's document.
async fn operations_of(service: &Service) -> anyhow::Result<Vec<Operation>> {
    let document = service.client()?.json("/openapi.json").await?;
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().context("no paths")? {
        for (method, operation) in methods.as_object().context("no operations")? {
            let security = operation["security"].as_array().context("no security")?;
            let scopes = security.iter().flat_map(|one| one["api_key"].as_array()).flatten();
            let scopes = scopes.filter_map(Value::as_str).map(str::to_owned).collect();
            let path = path.replace("{partition}", "0").replace("{version}", "1");
            let parts =
                path.split('/').map(|part| if part.starts_with('{') { NOWHERE } else { part });
            let path = parts.collect::<Vec<_>>().join("/");
            let method = method.to_uppercase().parse()?;
            found.push(Operation { method, path, scopes });
        }
    }
    Ok(found)
}

async fn create(operations: impl Iterator<Item = &Operation>) -> anyhow::Result<Keys> {
    let all: Vec<Scope> = Scopes::all().iter().collect();
    let mut single = BTreeMap::new();
    for scope in &all {
        let name = format!("only-{}", scope.as_str().replace(':', "-"));
        single.insert(scope.as_str(), key(&name, [*scope].into_iter().collect())?);
    }
    let mut without = BTreeMap::new();
    for operation in operations.filter(|operation| !operation.scopes.is_empty()) {
        if without.contains_key(&operation.scopes) {
            continue;
        }
        let others = all.iter().copied();
        let others = others.filter(|scope| !operation.scopes.contains(&scope.as_str().to_owned()));
        without.insert(operation.scopes.clone(), key("all-others", others.collect())?);
    }
    let file = keys()?.keys_file;
    let lifetime = Some(Duration::ZERO);
    let expired = KeyRequest {
        principal: "expired".to_owned(),
        scopes: Scopes::all(),
        reach: Reach::default(),
        rate: None,
        lifetime,
        note: None,
    };
    let expired = add(&file, &expired)?;
    let revoked = key("revoked-for-good", Scopes::all())?;
    revoke(&file, &revoked.id)?;
    // Last, so that a service that knows it knows all.
    let (all, tokens) = (key("everything", Scopes::all())?, Tokens::create(&without)?);
    Ok(Keys { single, without, expired, revoked, all, tokens })
}

/// Sends an operation with every kind of key; returns the number of requests.
async fn check(service: &Service, operation: &Operation, keys: &Keys) -> anyhow::Result<usize> {
    let Keys { single, without, all, expired, revoked, tokens } = keys;
    let bearer = |key: &NewKey| Some(format!("Bearer {}", key.text));
    let another = all.text.replace(&all.id, &revoked.id);
    let last = if all.text.ends_with('0') { '1' } else { '0' };
    let secret = format!("Bearer {}{last}", &all.text[..all.text.len() - 1]);
    let mut cases = vec![
        (None, StatusCode::UNAUTHORIZED),
        (Some(all.text.clone()), StatusCode::UNAUTHORIZED),
        (Some(format!("Basic {}", all.text)), StatusCode::UNAUTHORIZED),
        (Some(format!("Bearer {another}")), StatusCode::UNAUTHORIZED),
        (Some(secret), StatusCode::UNAUTHORIZED),
        (Some("Bearer eyJhbGciOiJub25lIn0.e30.".to_owned()), StatusCode::UNAUTHORIZED),
        (bearer(expired), StatusCode::UNAUTHORIZED),
        (bearer(revoked), StatusCode::UNAUTHORIZED),
        (bearer(all), StatusCode::OK),
    ];
    for (scope, key) in single {
        let is_enough = operation.scopes.iter().any(|one| one == scope);
        cases.push((bearer(key), if is_enough { StatusCode::OK } else { StatusCode::FORBIDDEN }));
    }
    if let Some(key) = without.get(&operation.scopes) {
        cases.push((bearer(key), StatusCode::FORBIDDEN));
    }
    cases.extend(tokens.cases(&operation.scopes));
    let Operation { method, path, scopes } = operation;
    for (authorization, expected) in &cases {
        let asked = Instant::now();
        // A refused request does not wait for the version.
        let wait = if *expected == StatusCode::OK { "" } else { "?min_version=1000000" };
        let path = format!("{path}{wait}");
        let (status, body) =
            ask(service, method.clone(), &path, authorization.as_deref(), None).await?;
        let refusal = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status);
        let is_right = if scopes.is_empty() || *expected == StatusCode::OK {
            !refusal
        } else {
            status == *expected && asked.elapsed() < SOON
        };
        ensure!(
            is_right,
            "{method} {path} {authorization:?}: {expected} expected: {status}: {body}"
        );
    }
    Ok(cases.len())
}
