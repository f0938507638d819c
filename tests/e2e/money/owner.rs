//! Change of an account's owner, from the command to views of the past.

use anyhow::{Context, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{done, post, refused};
use crate::environment::{Environment, Pair};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_owner_appears_in_the_view_and_the_former_one_in_the_past() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("owner").await?, 1).await?;
    let (client, views) = (pair.command()?, pair.projection()?);
    let account = client.open().await?;
    let path = format!("/v1/accounts/{account}/owner");
    let eve = json!({"owner": "eve", "reason": "inherited"});
    let trial = client.post(&format!("{path}?dry_run=true"), None, &eve).await?;
    ensure!(trial.status() == StatusCode::OK, "{}", trial.text().await?);
    let (status, changed) = post(&client, &path, eve.clone()).await?;
    let event = &changed["events"][0];
    ensure!(status == StatusCode::OK && changed["version"] == 2, "{status}: {changed}");
    ensure!(event["type"] == "OwnerChanged" && event["data"] == eve, "{changed}");
    let (status, again) = post(&client, &path, json!({"owner": "eve"})).await?;
    ensure!(status == StatusCode::OK && again["events"] == json!([]), "{status}: {again}");
    refused(&client, &path, json!({"owner": ""}), "malformed_request").await?;
    refused(&client, &path, json!({}), "malformed_request").await?;
    let nobody = format!("/v1/accounts/{}/owner", Uuid::new_v4());
    refused(&client, &nobody, eve, "account_not_found").await?;
    client.deposit(account, None, 5).await?;
    let bulk = json!({"commands": [
        {"type": "change_owner", "account_id": account, "owner": "bob", "expected_version": 3},
        {"type": "change_owner", "account_id": account, "owner": "eve", "expected_version": 3},
    ]});
    let (status, results) = post(&client, "/v1/commands", bulk).await?;
    ensure!(status == StatusCode::OK && results["results"][0]["version"] == 4, "{results}");
    ensure!(results["results"][1]["code"] == "version_mismatch", "{results}");

    let view = views.json(&format!("/v1/accounts/{account}?min_version=4")).await?;
    ensure!(view["owner"] == "bob" && view["balance"] == 1_000_005, "{view}");
    let as_of = event["recorded_at"].as_str().context("no time")?;
    for (state, owner) in
        [("version=1", "ada"), ("version=3", "eve"), (&*format!("as_of={as_of}"), "eve")]
    {
        let then = views.json(&format!("/v1/accounts/{account}?{state}")).await?;
        ensure!(then["owner"] == owner, "{state}: {then}");
    }
    let owned = async |list: String| -> anyhow::Result<Value> {
        Ok(views.json(&format!("/v1/accounts?{list}")).await?["data"][0]["account_id"].clone())
    };
    ensure!(owned("owner=bob".to_owned()).await? == json!(account));
    ensure!(owned("owner=ada".to_owned()).await? == Value::Null);
    ensure!(owned(format!("owner=eve&as_of={as_of}")).await? == json!(account));
    let entries = views.json(&format!("/v1/accounts/{account}/entries?type=OwnerChanged")).await?;
    let lines = entries["data"].as_array().context("no entries")?;
    let owners: Vec<_> = lines.iter().map(|entry| (&entry["owner"], &entry["reference"])).collect();
    ensure!(owners == [(&json!("bob"), &Value::Null), (&json!("eve"), &json!("inherited"))]);
    // A replay folds the changes again.
    let replay = json!({"from": "account", "account_id": account});
    views.post("/admin/replays", None, &replay).await?;
    done(&client, &format!("/v1/accounts/{account}/withdrawals"), json!({"amount": 1_000_005}))
        .await?;
    post(&client, &format!("/v1/accounts/{account}/close"), json!({})).await?;
    refused(&client, &path, json!({"owner": "ada"}), "account_closed").await?;
    pair.assert_consistent(&[]).await.map(drop)
}
