//! `verify` finds every row that was tampered with, and nothing else, at rest and under load.

mod log;
mod quarantine;
mod rules;
mod views;

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use crate::client::Client;
use crate::environment::{Environment, Pair, Service};
use crate::infrastructure::directory;
use crate::load::Load;
use crate::process::{Process, eventually};

/// Runs a verification and returns its result.
async fn verify(projection: &Client) -> anyhow::Result<Value> {
    let response = projection.post("/admin/verify", None, &json!({})).await?;
    let (status, location) = (response.status(), response.headers().get("location").cloned());
    let body = response.text().await?;
    ensure!(status == 202, "{status}: {body}");
    let location = location.context("no Location")?.to_str()?.to_owned();
    eventually("the verification ends", async || {
        let job = projection.json(&location).await?;
        ensure!(job["state"] != "running", "{job}");
        Ok(job)
    })
    .await
}

/// Runs a verification and returns the number of differences, their kinds, and the result.
async fn found(projection: &Client) -> anyhow::Result<(u64, BTreeSet<String>, Value)> {
    let job = verify(projection).await?;
    ensure!(job["state"] == "done", "{job}");
    let samples = job["samples"].as_array().context("no samples")?;
    let kinds =
        samples.iter().filter_map(|sample| sample["what"].as_str()).map(str::to_owned).collect();
    Ok((job["differences"].as_u64().context("no count")?, kinds, job))
}

/// Checks that a verification finds no difference, and returns its result.
pub(crate) async fn finds_nothing(projection: &Client) -> anyhow::Result<Value> {
    let (differences, _, job) = found(projection).await?;
    ensure!(differences == 0 && job["events"].as_i64() > Some(0), "{job}");
    Ok(job)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_can_be_read_on_every_instance() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("verify_anywhere").await?, 2).await?;
    pair.command()?.open().await?;
    pair.assert_consistent(&[]).await?;
    let (here, there) = (pair.projections[0].client()?, pair.projections[1].client()?);
    let job = verify(&here).await?;
    let path = format!("/admin/verify/{}", job["id"].as_str().context("no id")?);
    ensure!(there.json(&path).await? == job, "{}: {job}", there.json(&path).await?);
    ensure!(there.get(&format!("/admin/verify/{}", Uuid::new_v4())).await?.status() == 404);
    Ok(())
}

/// Runs `passbook verify` and returns whether it found no difference, and its output.
async fn by_launcher(projection: &Service) -> anyhow::Result<(bool, String)> {
    by_command(&["verify".to_owned(), format!("--projection-addr={}", projection.addr)]).await
}

/// Runs `passbook` with the given arguments, and returns whether its exit status is 0, and its
/// output.
pub(crate) async fn by_command(arguments: &[String]) -> anyhow::Result<(bool, String)> {
    let log = tempfile::Builder::new().prefix("verify").tempfile_in(directory()?)?.into_temp_path();
    let mut process = Process::start(arguments, &log)?;
    let status = process.ended().await?;
    ensure!(matches!(status.code(), Some(0 | 1)), "{status}: {}", process.output());
    Ok((status.success(), process.output()))
}

/// Starts a pair with many kinds of events, and waits until its views have applied them.
async fn at_rest(name: &'static str) -> anyhow::Result<Pair> {
    let mut pair = Pair::start(Environment::new(name).await?, 1).await?;
    let client = pair.command()?;
    let load = Load::start(&client, 8, 30).await?;
    load.further(300).await?;
    let acknowledged = load.stop().await?;
    let account = Uuid::new_v4();
    let opening = json!({"account_id": account, "owner": "customer-4711", "currency": "JPY",
        "overdraft_limit": 500,
                         "initial_deposit": 100, "metadata": {"branch": "Kyoto", "a": "b"}});
    let steps = [
        ("", opening),
        (
            "/withdrawals",
            json!({"amount": 600, "effective_at": "2026-01-02T03:04:05.678901Z",
                "allow_backdated_overdraft": true}),
        ),
        ("/owner", json!({"owner": "customer-4712"})),
        ("/freeze", json!({"reason": "a question"})),
        ("/unfreeze", json!({})),
        (
            "/deposits",
            json!({"amount": 500, "reference": "r", "metadata": {"till": "3",
                "shift": "\"late\""}}),
        ),
        ("/close", json!({})),
    ];
    for (step, body) in steps {
        let path = if step.is_empty() {
            "/v1/accounts".to_owned()
        } else {
            format!("/v1/accounts/{account}{step}")
        };
        let response = client.post(&path, None, &body).await?;
        ensure!(response.status().is_success(), "POST {path}: {}", response.text().await?);
    }
    pair.assert_consistent(&acknowledged).await?;
    Ok(pair)
}

async fn run(connection: &mut PgConnection, sql: &str) -> anyhow::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.with_context(|| sql.to_owned())?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_nothing_under_load_and_at_rest() -> anyhow::Result<()> {
    let pair = at_rest("verify_under_load").await?;
    let views = pair.projection()?;
    let load = Load::start(&pair.command()?, 8, 40).await?;
    for _ in 0..5 {
        load.further(50).await?;
        finds_nothing(&views).await?;
    }
    // During a replay, a new generation becomes the live one.
    let replay =
        views.post("/admin/replays", None, &json!({"from": "beginning"})).await?.text().await?;
    let replay: Value = serde_json::from_str(&replay)?;
    let path = format!("/admin/replays/{}", replay["id"].as_str().context("no id")?);
    eventually("the replay has ended", async || {
        finds_nothing(&views).await?;
        let replay = views.json(&path).await?;
        ensure!(replay["state"] == "done", "{replay}");
        Ok(())
    })
    .await?;
    // A second verification is refused while one runs.
    let first = views.post("/admin/verify", None, &json!({})).await?.text().await?;
    let second = views.post("/admin/verify", None, &json!({})).await?;
    let (status, problem) = (second.status(), second.text().await?);
    let (first, problem): (Value, Value) =
        (serde_json::from_str(&first)?, serde_json::from_str(&problem)?);
    ensure!(status == 409 && problem["code"] == "verify_running", "{status}: {problem}");
    ensure!(problem["verify_id"] == first["id"], "{problem}");
    let response = views.get(&format!("/admin/verify/{}", Uuid::new_v4())).await?;
    ensure!(response.status() == 404, "{}", response.text().await?);

    load.stop().await?;
    eventually("the first verification has ended", async || finds_nothing(&views).await).await?;
    let (equal, output) = by_launcher(&pair.projections[0]).await?;
    ensure!(equal && output.contains(" 0 differences"), "{output}");
    let database = format!("--projection-database-url={}", pair.environment.projection_role_url);
    let addr = format!("--projection-addr={}", pair.projections[0].addr);
    let (equal, output) =
        by_command(&["projection-service".to_owned(), database, addr, "verify".to_owned()]).await?;
    ensure!(equal && output.contains(" 0 differences"), "{output}");
    Ok(())
}
