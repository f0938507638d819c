//! Tenants and owners: a sender sees and pays accounts in its reach only.

use anyhow::{Context, ensure};
use passbook_shared::access::api_key::NewKey;
use passbook_shared::access::{Reach, Scopes};
use passbook_shared::text::Owner;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ask, known, restricted_key};
use crate::environment::{Environment, Pair, Service};

/// Sender with its key.
pub(super) struct Sender(NewKey);

impl Sender {
    /// Creates a key with every scope that a tenant may have.
    pub(super) async fn new(
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

    pub(super) async fn ask(
        &self,
        service: &Service,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        ask(service, method, path, Some(&format!("Bearer {}", self.0.text)), body).await
    }

    pub(super) async fn post(
        &self,
        pair: &Pair,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<(StatusCode, Value)> {
        self.ask(&pair.commands[0], Method::POST, path, Some(body)).await
    }

    pub(super) async fn get(&self, pair: &Pair, path: &str) -> anyhow::Result<(StatusCode, Value)> {
        self.ask(&pair.projections[0], Method::GET, path, None).await
    }

    /// Opens an account with 100.00 EUR and returns its id.
    pub(super) async fn open(&self, pair: &Pair, owner: &str) -> anyhow::Result<Uuid> {
        let body = json!({"owner": owner, "currency": "EUR", "initial_deposit": 10_000});
        let (status, answer) = self.post(pair, "/v1/accounts", &body).await?;
        ensure!(status == StatusCode::CREATED, "{status}: {answer}");
        Ok(serde_json::from_value(answer["account_id"].clone())?)
    }
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
