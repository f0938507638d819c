//! Reads: entity tags, conditional requests, and states of the past.

use anyhow::{Context, ensure};
use reqwest::Method;

use super::send;
use crate::environment::{Environment, Pair};

#[tokio::test(flavor = "multi_thread")]
async fn past_states_and_unchanged_states_are_answered() -> anyhow::Result<()> {
    let pair = Pair::start(Environment::new("the_past").await?, 1).await?;
    let (commands, views) = (&pair.commands[0], &pair.projections[0]);
    let account = pair.command()?.open().await?;
    let deposits = format!("/v1/accounts/{account}/deposits");
    let tag = |version: &str| format!("\"{version}\"");
    let (status, headers, dry) =
        send(commands, Method::POST, &format!("{deposits}?dry_run=true"), &[], r#"{"amount":5}"#)
            .await?;
    ensure!(status == 200 && dry["version"] == 2 && headers["etag"] == tag("2"), "{status}: {dry}");
    for tags in ["W/\"1\"", "\"abc\"", "\"01\"", "\"7\", \"8\"", "\"1,7\""] {
        let (status, _, refused) =
            send(commands, Method::POST, &deposits, &[("if-match", tags)], r#"{"amount":5}"#)
                .await?;
        ensure!(
            status == 412 && refused["code"] == "version_mismatch",
            "{tags}: {status}: {refused}"
        );
    }
    let (status, headers, done) = send(
        commands,
        Method::POST,
        &deposits,
        &[("if-match", "W/\"1\", \"7\",\"1\"")],
        r#"{"amount":5}"#,
    )
    .await?;
    ensure!(status == 201 && done["version"] == 2, "a dry run left an event: {status}: {done}");
    ensure!(headers["cache-control"] == "no-store", "{headers:?}");
    let opened = pair.command()?.json(&format!("/v1/accounts/{account}/events")).await?;
    let opened_at = opened["data"][0]["recorded_at"].as_str().context("no recorded_at")?.to_owned();

    let view = format!("/v1/accounts/{account}");
    let wait = [("prefer", "wait=10")];
    let (status, headers, now) =
        send(views, Method::GET, &format!("{view}?min_version=2"), &wait, "").await?;
    ensure!(
        status == 200 && headers["etag"] == tag("2") && now["balance"] == 1_000_005,
        "{status}: {now}"
    );
    ensure!(headers["cache-control"] == "private, no-cache", "{headers:?}");
    let balances = format!("balances?from={opened_at}&interval=day");
    for path in ["entries", &balances, "holds"] {
        let (status, headers, _) =
            send(views, Method::GET, &format!("{view}/{path}"), &[], "").await?;
        let kept = headers["cache-control"].to_str()?.to_owned();
        ensure!(
            status == 200 && ["no-store", "private, no-cache"].contains(&kept.as_str()),
            "{path}: {status}, {kept}"
        );
    }
    for (service, path) in [(views, view.clone()), (commands, format!("{view}/state"))] {
        let (status, headers, _) = send(service, Method::GET, &path, &[], "").await?;
        ensure!(status == 200 && headers["etag"] == tag("2"), "{path}: {status}: {headers:?}");
        let (status, _, body) =
            send(service, Method::GET, &path, &[("if-none-match", &tag("2"))], "").await?;
        ensure!(status == 304, "{path}: {status}: {body}");
    }
    for service in [commands, views] {
        let path =
            if service.addr == commands.addr { format!("{view}/state") } else { view.clone() };
        for past in ["version=1".to_owned(), format!("as_of={opened_at}")] {
            let (status, _, then) =
                send(service, Method::GET, &format!("{path}?{past}"), &[], "").await?;
            let balance = if path == view { &then["balance"] } else { &then["account"]["balance"] };
            ensure!(
                status == 200 && then["version"] == 1 && *balance == 1_000_000,
                "{path}?{past}: {status}: {then}"
            );
        }
    }
    let statement =
        pair.projection()?.json(&format!("{view}/entries?from={opened_at}&limit=1")).await?;
    ensure!(statement["data"][0]["amount"] == 5 && statement["has_more"] == true, "{statement}");
    ensure!(
        statement["opening_balance"] == 0 && statement["closing_balance"] == 1_000_005,
        "{statement}"
    );
    let buckets =
        pair.projection()?.json(&format!("{view}/balances?from={opened_at}&interval=hour")).await?;
    let last =
        buckets["data"].as_array().and_then(|buckets| buckets.last()).context("no buckets")?;
    ensure!(last["balance"] == 1_000_005, "{buckets}");
    Ok(())
}
