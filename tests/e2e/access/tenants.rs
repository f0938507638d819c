//! Tenants and owners: every operation on an account out of a key's reach answers as on a missing
//! one.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use passbook_shared::access::api_key::NewKey;
use passbook_shared::access::{Reach, Scopes};
use passbook_shared::text::Owner;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ask, known, restricted_key};
use crate::environment::{Environment, Pair, Service};

/// Longest difference between the times of two equal answers.
const SAME_TIME: Duration = Duration::from_millis(500);

/// Sender with its key.
struct Sender(NewKey);

impl Sender {
    /// Creates a key with every scope that a tenant may have.
    async fn new(
        pair: &Pair,
        name: &str,
        tenant: &str,
        owner: Option<&str>,
    ) -> anyhow::Result<Self> {
        let reach = Reach {
            tenant: Some(tenant.parse().map_err(anyhow::Error::msg)?),
            owner: owner.map(|owner| Owner::new(owner).map_err(anyhow::Error::msg)).transpose()?,
        };
        let scopes: Scopes = Scopes::all().iter().filter(|scope| !scope.is_of_store()).collect();
        let key = restricted_key(name, scopes, reach)?;
        for service in pair.commands.iter().chain(&pair.projections) {
            known(service, &key).await?;
        }
        Ok(Self(key))
    }

    async fn ask(
        &self,
        service: &Service,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        ask(service, method, path, Some(&format!("Bearer {}", self.0.text)), body).await
    }

    async fn post(
        &self,
        pair: &Pair,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<(StatusCode, Value)> {
        self.ask(&pair.commands[0], Method::POST, path, Some(body)).await
    }

    async fn get(&self, pair: &Pair, path: &str) -> anyhow::Result<(StatusCode, Value)> {
        self.ask(&pair.projections[0], Method::GET, path, None).await
    }

    /// Opens an account with 100.00 EUR and returns its id.
    async fn open(&self, pair: &Pair, owner: &str) -> anyhow::Result<Uuid> {
        let body = json!({"owner": owner, "currency": "EUR", "initial_deposit": 10_000});
        let (status, answer) = self.post(pair, "/v1/accounts", &body).await?;
        ensure!(status == StatusCode::CREATED, "{status}: {answer}");
        Ok(serde_json::from_value(answer["account_id"].clone())?)
    }
}

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

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_uses_up_no_key_and_sees_no_outcome() -> anyhow::Result<()> {
    let pair = Pair::start(Environment::new("strangers").await?, 1).await?;
    let acme = Sender::new(&pair, "acme-2", "acme", None).await?;
    let other = Sender::new(&pair, "other-2", "other", None).await?;
    let account = acme.open(&pair, "ada").await?;
    let deposit = |key: &str| {
        json!({"commands": [
        {"type": "deposit", "account_id": account, "amount": 5, "idempotency_key": key}]})
    };
    for key in ["first", "second"] {
        // Before and after the owner has used the key.
        let (_, refused) = other.post(&pair, "/v1/commands", &deposit(key)).await?;
        ensure!(refused["results"][0]["status"] == 404, "{refused}");
        let (_, accepted) = acme.post(&pair, "/v1/commands", &deposit(key)).await?;
        ensure!(accepted["results"][0]["status"] == 201, "{accepted}");
        let (_, refused) = other.post(&pair, "/v1/commands", &deposit(key)).await?;
        ensure!(refused["results"][0]["status"] == 404, "{refused}");
    }
    // An opening with the id of another tenant's account.
    let body = json!({"account_id": account, "owner": "ada", "currency": "EUR"});
    let (status, taken) = other.post(&pair, "/v1/accounts", &body).await?;
    ensure!(status == StatusCode::CONFLICT && taken["code"] == "account_exists", "{taken}");
    let body = json!({"owner": "ada", "currency": "EUR", "tenant": "acme"});
    let (status, refused) = other.post(&pair, "/v1/accounts", &body).await?;
    ensure!(status == StatusCode::FORBIDDEN && refused["code"] == "out_of_reach", "{refused}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_sees_and_pays_its_own_accounts_only() -> anyhow::Result<()> {
    let pair = Pair::start(Environment::new("tenant_views").await?, 1).await?;
    let acme = Sender::new(&pair, "acme-3", "acme", None).await?;
    let other = Sender::new(&pair, "other-3", "other", None).await?;
    let bob = Sender::new(&pair, "bob-3", "acme", Some("bob")).await?;
    let (ada, bobs) = (acme.open(&pair, "ada").await?, bob.open(&pair, "bob").await?);
    let foreign = other.open(&pair, "ada").await?;

    let pay = |from: Uuid, to: Uuid| json!({"from": from, "to": to, "amount": 700});
    let (status, paid) = acme.post(&pair, "/v1/transfers", &pay(ada, bobs)).await?;
    ensure!(status == StatusCode::CREATED, "{paid}");
    let of =
        |answer: &Value, account: Uuid| answer.to_string().replace(&account.to_string(), "ACCOUNT");
    let (status, refused) = acme.post(&pair, "/v1/transfers", &pay(ada, foreign)).await?;
    let nobody = Uuid::new_v4();
    let (_, missing) = acme.post(&pair, "/v1/transfers", &pay(ada, nobody)).await?;
    ensure!(status.as_u16() >= 400, "{refused}");
    ensure!(of(&refused, foreign) == of(&missing, nobody), "{refused}, not {missing}");

    let transfer = format!("/v1/transfers/{}", paid["transfer_id"].as_str().context("no id")?);
    let (status, both) = acme.get(&pair, &transfer).await?;
    let legs = |view: &Value| [view["from"].is_null(), view["to"].is_null()];
    ensure!(status == StatusCode::OK && legs(&both) == [false, false], "{both}");
    let (_, own) = bob.get(&pair, &transfer).await?;
    ensure!(legs(&own) == [true, false] && own["to"]["balance"] == 10_700, "{own}");
    let (status, none) = other.get(&pair, &transfer).await?;
    ensure!(status == StatusCode::NOT_FOUND, "{none}");

    let store = pair.projection()?;
    store.json(&format!("/v1/accounts/{foreign}?min_version=1")).await?;
    let ids = |page: &Value| -> Vec<String> {
        let rows = page["data"].as_array().into_iter().flatten();
        let mut ids: Vec<String> =
            rows.filter_map(|row| row["account_id"].as_str()).map(str::to_owned).collect();
        ids.sort_unstable();
        ids
    };
    let sorted = |accounts: &[Uuid]| {
        let mut ids: Vec<String> = accounts.iter().map(Uuid::to_string).collect();
        ids.sort_unstable();
        ids
    };
    for query in ["", "?sort=-balance", "?owner=ada", "?as_of=2020-01-01T00:00:00Z"] {
        let path = format!("/v1/accounts{query}");
        let keep = |accounts: &[Uuid]| match query {
            "?owner=ada" => {
                sorted(&accounts.iter().copied().filter(|id| *id != bobs).collect::<Vec<_>>())
            }
            "" | "?sort=-balance" => sorted(accounts),
            _ => Vec::new(),
        };
        for (sender, accounts) in [(&acme, &[ada, bobs][..]), (&bob, &[bobs]), (&other, &[foreign])]
        {
            let (_, page) = sender.get(&pair, &path).await?;
            ensure!(ids(&page) == keep(accounts), "{path}: {page}");
        }
    }
    let page = store.json("/v1/accounts?tenant=acme").await?;
    ensure!(ids(&page) == sorted(&[ada, bobs]), "{page}");
    let page = store.json("/v1/accounts").await?;
    ensure!(ids(&page) == sorted(&[ada, bobs, foreign]), "{page}");
    Ok(())
}
