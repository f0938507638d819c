//! Idempotency keys as clients may write them.

use anyhow::ensure;
use reqwest::Method;
use serde_json::json;

use super::send;
use crate::environment::{Environment, Pair};

#[tokio::test(flavor = "multi_thread")]
async fn a_quoted_key_equals_the_unquoted_key() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("quoted_keys").await?, 1).await?;
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
    let deposit = json!({"type": "deposit", "account_id": account, "amount": 5,
        "idempotency_key": "two words"});
    let body = json!({ "commands": [deposit] }).to_string();
    let (_, _, answer) = send(&pair.commands[0], Method::POST, "/v1/commands", &[], &body).await?;
    ensure!(answer["results"][0]["replayed"] == true, "{answer}");
    pair.assert_consistent(&[]).await.map(drop)
}
