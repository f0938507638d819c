//! Quotas of tenants.

use anyhow::{Context, ensure};
use passbook_shared::access::Reach;
use passbook_shared::access::keys_file::{TenantEntry, set_quotas};
use passbook_shared::access::scope::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{ask, known, restricted_key};
use crate::environment::Environment;
use crate::infrastructure::keys;
use crate::process::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_limits_the_accounts_and_holds_of_a_tenant() -> anyhow::Result<()> {
    let environment = Environment::new("quotas").await?;
    let service = environment.command("command-0").await?;
    let name = "small";
    let quotas = TenantEntry {
        name: name.parse().map_err(anyhow::Error::msg)?,
        rate: None,
        max_accounts: Some(2),
        max_open_holds: Some(1),
    };
    set_quotas(&keys()?.keys_file, &quotas)?;
    let reach = Reach { tenant: Some(quotas.name), owner: None };
    let key = restricted_key(name, Role::Manager.scopes(), reach)?;
    known(&service, &key).await?;
    let bearer = format!("Bearer {}", key.text);
    let post = async |path: &str, body: Value| {
        ask(&service, Method::POST, path, Some(&bearer), Some(&body)).await
    };
    let opening = || json!({"owner": "ada", "currency": "EUR", "initial_deposit": 100});
    // A bulk request counts its own commands.
    let open = json!({"type": "open", "owner": "ada", "currency": "EUR"});
    let (status, refused) = post("/v1/commands", json!({"commands": [open, open, open]})).await?;
    ensure!(status == StatusCode::FORBIDDEN && refused["index"] == 2, "{refused}");
    let (_, first) = post("/v1/accounts", opening()).await?;
    let mut keyed = open.clone();
    keyed["idempotency_key"] = json!("second");
    let second = json!({"commands": [keyed]});
    let (status, opened) = post("/v1/commands", second.clone()).await?;
    ensure!(status == StatusCode::OK && opened["results"][0]["status"] == 201, "{opened}");
    let account = first["account_id"].as_str().context("no id")?;
    let holds = format!("/v1/accounts/{account}/holds");
    let (status, hold) = post(&holds, json!({"amount": 5})).await?;
    ensure!(status == StatusCode::CREATED, "{hold}");
    // The counts follow within a second, so more than one hold may be placed until then.
    let placed = Mutex::new(vec![hold]);
    eventually("the quotas are reached", async || {
        for (path, body) in [("/v1/accounts", opening()), (&*holds, json!({"amount": 1}))] {
            let (status, answer) = post(path, body).await?;
            if status == StatusCode::CREATED && path == holds {
                placed.lock().await.push(answer.clone());
            }
            let is_it = answer["code"] == "quota_exceeded";
            ensure!(status == StatusCode::FORBIDDEN && is_it, "{path}: {answer}");
        }
        Ok(())
    })
    .await?;
    let (status, repeated) = post("/v1/commands", second).await?;
    let account = &repeated["results"][0]["account_id"];
    ensure!(
        status == StatusCode::OK && *account == opened["results"][0]["account_id"],
        "{repeated}"
    );
    // What ends makes room.
    for hold in placed.into_inner() {
        let hold = hold["hold"]["hold_id"].as_str().context("no hold")?;
        let (status, released) = post(&format!("{holds}/{hold}/release"), json!({})).await?;
        ensure!(status == StatusCode::CREATED, "{released}");
    }
    eventually("a hold is possible again", async || {
        let (status, answer) = post(&holds, json!({"amount": 1})).await?;
        ensure!(status == StatusCode::CREATED, "{answer}");
        Ok(())
    })
    .await
}
