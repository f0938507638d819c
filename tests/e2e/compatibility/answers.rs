//! Comparison of answers with those of the first release.

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::fixtures::{Exchange, Read, Repeated};
use crate::client::Client;

/// Checks that a query has the answer that the first release gave.
pub(super) async fn reads_the_same(client: &Client, read: &Read) -> anyhow::Result<()> {
    let response = client.get(&read.path).await?;
    let status = response.status();
    let etag =
        response.headers().get("etag").map(|etag| etag.to_str().map(str::to_owned)).transpose()?;
    let body = response.text().await?;
    ensure!(status == read.status, "{status}: {body}");
    ensure!(read.etag.is_none() || etag == read.etag, "ETag {etag:?}, not {:?}", read.etag);
    let mut expected = read.answer.clone();
    if read.path.starts_with("/admin/replays") {
        expected["data"].as_array_mut().into_iter().flatten().for_each(flatten_from);
    }
    has_all("", &serde_json::from_str(&body)?, &expected)
}

/// Moves the origin of a replay into fields of its own, as `docs/UPGRADE.md` describes.
fn flatten_from(replay: &mut Value) {
    let Some(from) = replay["from"].as_object().cloned() else { return };
    for (name, value) in from {
        replay["from"] = json!(if name == "account_id" { "account" } else { &name });
        replay[&name] = value;
    }
}

/// Checks that `actual` has every field of `expected`. Objects may have more.
fn has_all(place: &str, actual: &Value, expected: &Value) -> anyhow::Result<()> {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            expected.iter().try_for_each(|(name, expected)| {
                match (place, name.as_str()) {
                    // A cursor is opaque, and the topic is this test's own.
                    ("", "next_cursor") | (".kafka", "topic") => Ok(()),
                    _ => has_all(
                        &format!("{place}.{name}"),
                        actual.get(name).unwrap_or(&Value::Null),
                        expected,
                    ),
                }
            })
        }
        (Value::Array(actual), Value::Array(expected)) if actual.len() == expected.len() => {
            let mut pairs = actual.iter().zip(expected).enumerate();
            pairs.try_for_each(|(index, (actual, expected))| {
                has_all(&format!("{place}[{index}]"), actual, expected)
            })
        }
        _ => {
            ensure!(actual == expected, "{place} is {actual}, not {expected}");
            Ok(())
        }
    }
}

/// Checks that the repeat of a command gets the first answer, byte for byte.
pub(super) async fn answers_the_same(
    commands: &Client,
    exchange: &Exchange,
    repeated: &Repeated,
) -> anyhow::Result<()> {
    let mut request =
        commands.request(Method::from_bytes(exchange.method.as_bytes())?, &exchange.path);
    for (name, value) in &exchange.headers {
        request = request.header(name, value.as_str().context("not a string")?);
    }
    let response = request.json(&exchange.body).send().await?;
    let status = response.status();
    let replayed =
        response.headers().get("idempotency-replayed").is_some_and(|value| value == "true");
    let mut body = response.text().await?;
    if exchange.path == "/v1/commands" {
        // Later builds add the kind of each result, as `docs/UPGRADE.md` describes.
        for result in ["account", "hold", "transfer", "problem"] {
            body = body.replace(&format!(r#""result":"{result}","#), "");
        }
    }
    ensure!(
        status == exchange.status && body == repeated.answer,
        "{status}: {body}, not {repeated:?}"
    );
    ensure!(replayed == repeated.replayed, "replayed: {replayed}");
    Ok(())
}
