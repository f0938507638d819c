//! JSON Web Tokens: cases of the access matrix, and the accounts that a token reaches.

use std::collections::BTreeMap;

use anyhow::ensure;
use passbook_shared::access::api_key::NewKey;
use passbook_shared::access::scope::Role;
use passbook_shared::access::{Reach, Scope, Scopes};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{ask, known, restricted_key};
use crate::environment::{Environment, Pair};
use crate::issuer::{Issuer, in_seconds, issuer};

/// Tokens of one kind each.
pub(super) struct Tokens {
    /// By scope: a token with that scope only.
    single: BTreeMap<&'static str, String>,
    without: BTreeMap<Vec<String>, String>,
    all: String,
    /// All scopes that a tenant can have.
    of_tenant: String,
    /// With all scopes, and yet not valid.
    invalid: Vec<String>,
}

impl Tokens {
    /// Creates the tokens; `without` has the sets of scopes to leave out.
    pub(super) fn create(without: &BTreeMap<Vec<String>, NewKey>) -> anyhow::Result<Self> {
        let issuer = issuer()?;
        let all: Vec<&'static str> = Scopes::all().iter().map(Scope::as_str).collect();
        let valid = |scopes: &[&str]| issuer.token("jwt", &scopes.join(" "), &json!({}));
        let others = |missing: &Vec<String>| {
            let others: Vec<&str> = all
                .iter()
                .copied()
                .filter(|scope| !missing.iter().any(|one| one == scope))
                .collect();
            anyhow::Ok((missing.clone(), valid(&others)?))
        };
        let of_tenant: Vec<&str> =
            Scopes::all().iter().filter(|scope| !scope.is_of_store()).map(Scope::as_str).collect();
        let of_tenant = issuer.token("jwt", &of_tenant.join(" "), &json!({"tenant": "acme"}))?;
        Ok(Self {
            single: all
                .iter()
                .map(|scope| anyhow::Ok((*scope, valid(&[scope])?)))
                .collect::<Result<_, _>>()?,
            without: without.keys().map(others).collect::<Result<_, _>>()?,
            all: valid(&all)?,
            of_tenant,
            invalid: invalid(issuer, &all.join(" "))?,
        })
    }

    /// Returns the values of `Authorization` for an operation of these scopes, each with the
    /// expected status.
    pub(super) fn cases(&self, scopes: &[String]) -> Vec<(Option<String>, StatusCode)> {
        let status = |is_enough| if is_enough { StatusCode::OK } else { StatusCode::FORBIDDEN };
        let of_store = |scope: &String| scope.parse().is_ok_and(Scope::is_of_store);
        let has = |one: &&str| scopes.iter().any(|scope| scope == one);
        let single = self.single.iter().map(|(scope, token)| (token, status(has(scope))));
        let without = self.without.get(scopes).map(|token| (token, StatusCode::FORBIDDEN));
        let invalid = self.invalid.iter().map(|token| (token, StatusCode::UNAUTHORIZED));
        let tenant = (&self.of_tenant, status(!scopes.iter().all(of_store)));
        let all = [(&self.all, StatusCode::OK), tenant].into_iter();
        let cases = all.chain(single).chain(without).chain(invalid);
        cases.map(|(token, status)| (Some(format!("Bearer {token}")), status)).collect()
    }
}

/// Returns tokens that no service accepts.
fn invalid(issuer: &Issuer, scope: &str) -> anyhow::Result<Vec<String>> {
    let valid = issuer.token("mallory", scope, &json!({}))?;
    let forged = format!("{}A{}", &valid[..valid.len() - 2], &valid[valid.len() - 1..]);
    let changed = [
        json!({"aud": "other"}),
        json!({"iss": "https://other.example"}),
        json!({"exp": in_seconds(-60)}),
        json!({"exp": in_seconds(3_600).to_string()}),
        json!({"exp": null}),
        json!({"nbf": in_seconds(3_600)}),
        json!({"tenant": "acme"}),
        json!({"owner": "ada"}),
        json!({"tenant": null}),
        json!({"sub": "passbook"}),
    ];
    let changed = changed.iter().map(|changes| issuer.token("mallory", scope, changes));
    let others = [Issuer::unsigned(scope), issuer.of_public_key(scope)?, forged];
    changed.chain(others.into_iter().filter(|token| *token != valid).map(Ok)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_reaches_the_accounts_of_its_tenant_and_owner() -> anyhow::Result<()> {
    let pair = Pair::start(Environment::new("tokens").await?, 1).await?;
    let (command, projection) = (&pair.commands[0], &pair.projections[0]);
    let reach = Reach { tenant: Some("acme".parse().map_err(anyhow::Error::msg)?), owner: None };
    let key = restricted_key("acme-teller", Role::Teller.scopes(), reach)?;
    known(command, &key).await?;
    let bearer = |claims: &Value| {
        let token = issuer()?.token("jo@acme", "accounts:open accounts:read money:move", claims);
        token.map(|token| format!("Bearer {token}"))
    };
    let acme = bearer(&json!({"tenant": "acme"}))?;
    let opening = json!({"owner": "ada", "currency": "EUR"});
    let (status, opened) =
        ask(command, Method::POST, "/v1/accounts", Some(&acme), Some(&opening)).await?;
    ensure!(status == StatusCode::CREATED, "{opened}");
    let account = opened["id"].as_str().or(opened["account_id"].as_str()).unwrap_or_default();
    ensure!(!account.is_empty(), "{opened}");
    let events = pair.command()?.json(&format!("/v1/accounts/{account}/events")).await?;
    ensure!(events["data"][0]["metadata"]["actor"] == "jo@acme", "{events}");
    let path = format!("/v1/accounts/{account}?min_version=1");
    for (authorization, expected) in [
        (acme.clone(), StatusCode::OK),
        (format!("Bearer {}", key.text), StatusCode::OK),
        (bearer(&json!({}))?, StatusCode::OK),
        (bearer(&json!({"tenant": "acme", "owner": "ada"}))?, StatusCode::OK),
        (bearer(&json!({"tenant": "other"}))?, StatusCode::NOT_FOUND),
        (bearer(&json!({"tenant": "acme", "owner": "bob"}))?, StatusCode::NOT_FOUND),
    ] {
        known(projection, &key).await?;
        let (status, body) =
            ask(projection, Method::GET, &path, Some(&authorization), None).await?;
        ensure!(status == expected, "{authorization}: {expected} expected: {status}: {body}");
    }
    let refused = pair.commands[0].addr;
    let response = reqwest::Client::new()
        .get(format!("http://{refused}/v1/events"))
        .header("authorization", bearer(&json!({"aud": "other"}))?)
        .send()
        .await?;
    let challenge = response.headers()["www-authenticate"].to_str()?.to_owned();
    ensure!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    Ok(())
}
