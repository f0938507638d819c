//! Transfers, holds, reversals, effective time, statements, and many commands in one request.

mod clock;
mod conserved;
mod effective;
mod explained;
mod holds;
mod moments;
mod owner;
mod periods;
mod reversed;
mod value_dates;

use anyhow::ensure;
use reqwest::StatusCode;
use serde_json::Value;

use crate::client::Client;

/// Sends a POST that must be answered with 201, and returns the answer.
async fn done(client: &Client, path: &str, body: Value) -> anyhow::Result<Value> {
    let (status, answer) = post(client, path, body).await?;
    ensure!(status == StatusCode::CREATED, "POST {path}: {status}: {answer}");
    Ok(answer)
}

/// Sends a POST that must be refused with this code, and returns the problem.
async fn refused(client: &Client, path: &str, body: Value, code: &str) -> anyhow::Result<Value> {
    let (status, problem) = post(client, path, body).await?;
    ensure!(problem["code"] == code, "POST {path}: {status}: {problem}, not {code}");
    Ok(problem)
}

async fn post(client: &Client, path: &str, body: Value) -> anyhow::Result<(StatusCode, Value)> {
    let response = client.post(path, None, &body).await?;
    Ok((response.status(), serde_json::from_str(&response.text().await?)?))
}

/// Returns midnight of that day of January.
fn day(day: u32) -> String {
    format!("2026-01-{day:02}T00:00:00.000000Z")
}
