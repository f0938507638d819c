//! Money that moves in more than one place: transfers, holds, reversals, many commands at once.

mod clock;
mod conserved;
mod effective;
mod explained;
mod holds;
mod moments;
mod periods;
mod reversed;

use anyhow::ensure;
use reqwest::StatusCode;
use serde_json::Value;

use crate::client::Client;

/// A POST that must be answered with 201; its answer.
async fn done(client: &Client, path: &str, body: Value) -> anyhow::Result<Value> {
    let (status, answer) = asked(client, path, body).await?;
    ensure!(status == StatusCode::CREATED, "POST {path}: {status}: {answer}");
    Ok(answer)
}

/// A POST that must be refused with this code; the problem.
async fn refused(client: &Client, path: &str, body: Value, code: &str) -> anyhow::Result<Value> {
    let (status, problem) = asked(client, path, body).await?;
    ensure!(problem["code"] == code, "POST {path}: {status}: {problem}, not {code}");
    Ok(problem)
}

async fn asked(client: &Client, path: &str, body: Value) -> anyhow::Result<(StatusCode, Value)> {
    let response = client.post(path, None, &body).await?;
    Ok((response.status(), serde_json::from_str(&response.text().await?)?))
}
