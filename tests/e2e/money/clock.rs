//! Services whose clock differs from Postgres's: the log's time decides what is past and what is
//! future.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use passbook_shared::timestamp::Timestamp;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{done, refused};
use crate::environment::Environment;
use crate::process::eventually;

/// Library that shifts the time of day, and nothing else, of the program that loads it.
const SHIFTED_CLOCK: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    const char *shift = getenv("CLOCK_SHIFT_SECONDS");
    if (result == 0 && clock == CLOCK_REALTIME && shift) now->tv_sec += atol(shift);
    return result;
}
"#;

/// Builds the library with the C compiler that the build needs anyway.
fn shifted_clock(name: &str) -> anyhow::Result<PathBuf> {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (source, library) =
        (directory.join(format!("{name}.c")), directory.join(format!("{name}.so")));
    std::fs::write(&source, SHIFTED_CLOCK)?;
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status()?;
    ensure!(built.success(), "cc: {built}");
    Ok(library)
}

/// Returns the time `seconds` from now by this machine's clock, which Postgres has, too.
fn from_now(seconds: i64) -> anyhow::Result<Timestamp> {
    Timestamp::from_micros(Timestamp::now().as_micros() + seconds * 1_000_000)
        .context("the time is out of range")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_ten_days_ahead_changes_nothing() -> anyhow::Result<()> {
    with_clock("clock_ahead", 864_000).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_ten_days_behind_changes_nothing() -> anyhow::Result<()> {
    with_clock("clock_behind", -864_000).await
}

#[expect(clippy::print_stdout, reason = "prints a figure")]
async fn with_clock(name: &'static str, shift: i64) -> anyhow::Result<()> {
    let environment = Environment::new(name).await?;
    let library = shifted_clock(name)?;
    let mut service = environment.command("command-0").await?;
    service.set_variable("LD_PRELOAD", library.to_str().context("the path is not UTF-8")?);
    service.set_variable("CLOCK_SHIFT_SECONDS", &shift.to_string());
    service.kill_and_start().await?;
    service.ready().await?;
    let client = service.client()?;
    let account = client.open().await?;
    let path = |kind: &str| format!("/v1/accounts/{account}/{kind}");
    let state = async || -> anyhow::Result<Value> { client.json(&path("state")).await };

    let late =
        done(&client, &path("holds"), json!({"amount": 5, "expires_at": from_now(3_600)?})).await?;
    let soon = from_now(2)?;
    done(&client, &path("holds"), json!({"amount": 7, "expires_at": soon})).await?;
    refused(
        &client,
        &path("holds"),
        json!({"amount": 1, "expires_at": from_now(-3_600)?}),
        "expiry_passed",
    )
    .await?;
    ensure!(state().await?["account"]["held"] == 12, "{}", state().await?);
    eventually("the hold expires", async || {
        let state = state().await?;
        ensure!(state["account"]["held"] == 5, "{state}");
        Ok(())
    })
    .await?;
    let events = client.json(&path("events")).await?;
    let expired = events["data"]
        .as_array()
        .and_then(|events| events.iter().find(|e| e["type"] == "HoldExpired"));
    let recorded =
        expired.and_then(|event| event["recorded_at"].as_str()).context("no HoldExpired")?;
    let recorded: Timestamp = recorded.parse().map_err(anyhow::Error::msg)?;
    println!(
        "{name}: the hold expired {} ms late",
        (recorded.as_micros() - soon.as_micros()) / 1_000
    );
    ensure!(
        recorded >= soon && recorded.as_micros() - soon.as_micros() < 30_000_000,
        "{recorded}, not {soon}"
    );
    // The other hold has an hour left by the log's time.
    sleep(Duration::from_secs(2)).await;
    ensure!(state().await?["account"]["held"] == 5, "{}", state().await?);
    let hold = late["hold"]["hold_id"].as_str().context("no id")?;
    done(&client, &path(&format!("holds/{hold}/capture")), json!({})).await?;

    let deposit = |at: Timestamp| json!({"amount": 1, "effective_at": at});
    refused(&client, &path("deposits"), deposit(from_now(86_400)?), "malformed_request").await?;
    done(&client, &path("deposits"), deposit(from_now(-60)?)).await?;
    let as_of = format!("{}?as_of={}", path("state"), from_now(86_400)?);
    ensure!(client.get(&as_of).await?.status() == 400, "a state as of tomorrow");
    service.stop().await
}
