//! What is set aside because it could not be applied: reads say so, and it can be tried again, or thrown away. When too
//! much of a partition would be, it stops.

use anyhow::{Context, ensure};
use passbook_shared::partition::{Partition, partition_of};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::client::Client;
use crate::ground::PARTITIONS;
use crate::process::eventually;
use crate::site::{Pair, Site};
use crate::unreadable::{append, open};
use crate::verify;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_not_known_is_discarded_and_its_account_goes_on_for_good()
-> anyhow::Result<()> {
    let pair = Pair::start(Site::new("quarantine_discard").await?, 1).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let account = open(&commands, Uuid::new_v4()).await?;
    let neighbour = open(&commands, in_partition(of(account))).await?;
    for (version, event_type) in [(2, "MoneyBurnt"), (3, "MoneyDeposited")] {
        append(&pair.site, account, version, event_type).await?;
    }
    let row = set_aside(&views, account, 1).await?;
    let one = views.json(&format!("/admin/quarantine/{}", row["id"])).await?;
    ensure!(
        one["document"].as_str().is_some_and(|document| document.contains("MoneyBurnt")),
        "{one}"
    );
    ensure!(one["events"][0]["version"] == 3 && one["reason"] == row["reason"], "{one}");

    commands.deposit(neighbour, None, 1).await?;
    views.json(&format!("/v1/accounts/{neighbour}?min_version=2")).await?;
    let since = row["since"].as_str().context("no time")?;
    for path in ["", "?version=1", "/entries", "/balances"] {
        let shown = views.json(&format!("/v1/accounts/{account}{path}")).await?;
        ensure!(shown["quarantined_since"] == since, "{path}: {shown}");
        let other = views.json(&format!("/v1/accounts/{neighbour}{path}")).await?;
        ensure!(other.get("quarantined_since").is_none(), "{path}: {other}");
    }
    let list = views.json("/v1/accounts").await?;
    let marked = list["data"]
        .as_array()
        .context("no list")?
        .iter()
        .filter(|row| row["quarantined_since"] == since);
    ensure!(marked.count() == 1, "{list}");
    let behind = views.get(&format!("/v1/accounts/{account}?min_version=3")).await?;
    ensure!(behind.status() == 503 && behind.json::<Value>().await?["quarantined_since"] == since);

    eventually("readiness tells", async || {
        let check = views.json("/health/ready").await?["checks"]["quarantine"].clone();
        let reason = check["reason"].as_str().unwrap_or_default();
        ensure!(
            check["state"] == "degraded"
                && reason.contains("2 records and events are in quarantine"),
            "{check}"
        );
        Ok(())
    })
    .await?;
    let log = pair.projections[0].output();
    let line = log.lines().find(|line| line.contains("event quarantined")).context("no warning")?;
    for part in [
        "WARN",
        &format!("partition {}", of(account)),
        "offset",
        &account.to_string(),
        "MoneyBurnt",
    ] {
        ensure!(line.contains(part), "no `{part}`: {line}");
    }
    let refused = settle(&views, &row, "retry", &json!({})).await?;
    ensure!(refused.0 == 409 && refused.1["code"] == "still_unapplicable", "{refused:?}");
    ensure!(
        refused.1["reason"].as_str().is_some_and(|reason| reason.contains("MoneyBurnt")),
        "{refused:?}"
    );
    for nothing in [json!({}), json!({"reason": ""}), json!({"reason": "x".repeat(501)})] {
        let refused = settle(&views, &row, "discard", &nothing).await?;
        ensure!(refused.0 == 400, "{refused:?}");
    }
    let settled = settle(&views, &row, "discard", &json!({"reason": "nobody burns money"})).await?;
    ensure!(settled == (200, json!({"applied": 1, "left": 0})), "{settled:?}");
    ensure!(settle(&views, &row, "retry", &json!({})).await?.0 == 404);
    let shown = views.json(&format!("/v1/accounts/{account}")).await?;
    ensure!(
        shown["version"] == 3 && shown["balance"] == 1 && shown.get("quarantined_since").is_none(),
        "{shown}"
    );
    ensure!(entries(&views, account).await? == [3, 1]);
    verify::finds_nothing(&views).await?;
    let thrown = views.json("/admin/quarantine/discarded").await?;
    let first = &thrown["data"][0];
    ensure!(first["discard_reason"] == "nobody burns money" && first["version"] == 2, "{thrown}");
    ensure!(first["document"] == one["document"] && first["reason"] == row["reason"], "{thrown}");

    append(&pair.site, account, 4, "MoneyDeposited").await?;
    views.json(&format!("/v1/accounts/{account}?min_version=4")).await?;
    for from in [
        json!({"from": "beginning"}),
        json!({"from": "account", "account_id": account}),
        json!({"from": "partition_offsets", "partition_offsets": {of(account).to_string(): 1}}),
    ] {
        replayed(&views, &from).await?;
        let shown = views.json(&format!("/v1/accounts/{account}")).await?;
        ensure!(
            shown["version"] == 4 && shown["balance"] == 2,
            "after a replay from {from}: {shown}"
        );
        ensure!(entries(&views, account).await? == [4, 3, 1]);
    }
    let metrics = views.get("/metrics").await?.text().await?;
    ensure!(metrics.contains("passbook_projection_quarantined_events 0"), "{metrics}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_known_by_now_is_applied_with_what_waits_up_to_the_next_that_is_not()
-> anyhow::Result<()> {
    let pair = Pair::start(Site::new("quarantine_retry").await?, 1).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let account = open(&commands, Uuid::new_v4()).await?;
    let types = ["MoneyBurnt", "MoneyDeposited", "MoneyMelted", "MoneyDeposited"];
    for (version, event_type) in (2..).zip(types) {
        append(&pair.site, account, version, event_type).await?;
    }
    let row = set_aside(&views, account, 3).await?;
    // Stands for a version of the program that knows the event: the log and what was set aside have one that it knows.
    let mut log = PgConnection::connect(&pair.site.database_url).await?;
    sqlx::query("SET session_replication_role = replica").execute(&mut log).await?;
    let known = "UPDATE passbook.events SET type = 'MoneyDeposited' WHERE account_id = $1 AND type = 'MoneyBurnt'";
    ensure!(sqlx::query(known).bind(account).execute(&mut log).await?.rows_affected() == 1);
    let mut connection = PgConnection::connect(&pair.site.projection_database_url).await?;
    let repair = "UPDATE views_1.quarantine
                     SET document = convert_to(replace(convert_from(document, 'UTF8'), 'MoneyBurnt', 'MoneyDeposited'), 'UTF8')";
    sqlx::query(repair).execute(&mut connection).await?;
    let settled = settle(&views, &row, "retry", &json!({})).await?;
    ensure!(settled == (200, json!({"applied": 2, "left": 2})), "{settled:?}");
    ensure!(entries(&views, account).await? == [3, 2, 1]);
    verify::finds_nothing(&views).await?;
    let next = set_aside(&views, account, 1).await?;
    ensure!(next["reason"].as_str().is_some_and(|reason| reason.contains("MoneyMelted")), "{next}");

    append(&pair.site, account, 6, "MoneyDeposited").await?;
    let next = set_aside(&views, account, 2).await?;
    let settled = settle(&views, &next, "discard", &json!({"reason": "a test"})).await?;
    ensure!(settled == (200, json!({"applied": 2, "left": 0})), "{settled:?}");
    append(&pair.site, account, 7, "MoneyDeposited").await?;
    views.json(&format!("/v1/accounts/{account}?min_version=7")).await?;
    ensure!(entries(&views, account).await? == [7, 6, 5, 3, 2, 1]);

    let unopened = Uuid::new_v4();
    append(&pair.site, unopened, 1, "AccountMelted").await?;
    let row = set_aside(&views, unopened, 0).await?;
    let missing = views.get(&format!("/v1/accounts/{unopened}")).await?;
    ensure!(
        missing.status() == 404
            && missing.json::<Value>().await?["quarantined_since"] == row["since"]
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_is_taken_up_again_knows_what_was_discarded_since() -> anyhow::Result<()>
{
    let pair = Pair::start(Site::new("quarantine_kept").await?, 1).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let account = open(&commands, Uuid::new_v4()).await?;
    for (version, event_type) in [(2, "MoneyBurnt"), (3, "MoneyDeposited")] {
        append(&pair.site, account, version, event_type).await?;
    }
    set_aside(&views, account, 1).await?;
    replayed(&views, &json!({"from": "beginning"})).await?;
    let row = set_aside(&views, account, 1).await?;
    let settled = settle(&views, &row, "discard", &json!({"reason": "a test"})).await?;
    ensure!(settled == (200, json!({"applied": 1, "left": 0})), "{settled:?}");

    replayed(&views, &json!({"from": "generation", "generation": 1})).await?;
    let state = views.json("/admin/projection").await?;
    ensure!(state["generation"] == 1 && state["quarantined"] == 0, "{state}");
    let shown = views.json(&format!("/v1/accounts/{account}")).await?;
    ensure!(shown["version"] == 3 && shown["balance"] == 1, "{shown}");
    append(&pair.site, account, 4, "MoneyDeposited").await?;
    views.json(&format!("/v1/accounts/{account}?min_version=4")).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_of_which_too_much_would_be_set_aside_stops_and_says_so() -> anyhow::Result<()>
{
    let mut pair = Pair::start(Site::new("quarantine_share").await?, 1).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let account = open(&commands, Uuid::new_v4()).await?;
    let elsewhere = loop {
        let id = Uuid::new_v4();
        if of(id) != of(account) {
            break open(&commands, id).await?;
        }
    };
    fail(&pair.site, of(account), 45).await?;
    eventually("45 are set aside", async || {
        let state = views.json("/admin/projection").await?;
        ensure!(state["quarantined"] == 45, "{state}");
        Ok(())
    })
    .await?;
    fail(&pair.site, of(account), 10).await?;
    stopped(&views, of(account)).await?;
    commands.deposit(account, None, 1).await?;
    commands.deposit(elsewhere, None, 1).await?;
    views.json(&format!("/v1/accounts/{elsewhere}?min_version=2")).await?;
    let shown = views.json(&format!("/v1/accounts/{account}")).await?;
    ensure!(shown["version"] == 1, "the partition has not stopped: {shown}");

    let oldest = views.json("/admin/quarantine?limit=6").await?;
    ensure!(oldest["has_more"] == true, "{oldest}");
    for row in oldest["data"].as_array().context("no list")? {
        let settled = settle(&views, row, "discard", &json!({"reason": "a test"})).await?;
        ensure!(settled.0 == 200, "{settled:?}");
    }
    eventually("the partition goes on with less in quarantine", async || {
        let shown = views.json(&format!("/v1/accounts/{account}")).await?;
        ensure!(shown["version"] == 2, "{shown}");
        Ok(())
    })
    .await?;
    pair.projections[0].ready().await?;

    fail(&pair.site, of(account), 20).await?;
    stopped(&views, of(account)).await?;
    pair.projections[0].stop().await?;
    pair.projections[0].set("quarantine-limit-percent", "100");
    pair.projections[0].start()?;
    pair.projections[0].ready().await?;
    commands.deposit(account, None, 1).await?;
    // The group may give its partitions out later than one query waits.
    let path = format!("/v1/accounts/{account}?min_version=3");
    let shown = eventually("the partition goes on", async || views.json(&path).await).await?;
    ensure!(shown["balance"] == 2, "{shown}");
    let state = views.json("/admin/projection").await?;
    ensure!(state["quarantined"] == 45 + 10 + 20 - 6, "{state}");
    Ok(())
}

fn of(account: Uuid) -> Partition {
    partition_of(account, PARTITIONS.cast_signed())
}

fn in_partition(partition: Partition) -> Uuid {
    loop {
        let id = Uuid::new_v4();
        if of(id) == partition {
            return id;
        }
    }
}

/// Appends events that nobody knows, each of an account of its own.
async fn fail(site: &Site, partition: Partition, count: usize) -> anyhow::Result<()> {
    for _ in 0..count {
        append(site, in_partition(partition), 1, "AccountMelted").await?;
    }
    Ok(())
}

async fn stopped(views: &Client, partition: Partition) -> anyhow::Result<()> {
    eventually("readiness says that the partition has stopped", async || {
        let ready = views.get("/health/ready").await?;
        let status = ready.status();
        let body = ready.text().await?;
        let told =
            [&format!("partition {partition} stops"), "AccountMelted", "QUARANTINE_LIMIT_PERCENT"];
        ensure!(status == 503 && told.iter().all(|part| body.contains(*part)), "{body}");
        Ok(())
    })
    .await
}

/// What of the account could not be applied, once so many wait behind it.
async fn set_aside(views: &Client, account: Uuid, waiting: i64) -> anyhow::Result<Value> {
    eventually("it is set aside", async || {
        let list = views.json("/admin/quarantine").await?;
        let rows = list["data"].as_array().context("no list")?;
        let row =
            rows.iter().find(|row| row["account_id"] == json!(account)).context("not there")?;
        ensure!(row["waiting"] == waiting, "{row}");
        Ok(row.clone())
    })
    .await
}

async fn settle(
    views: &Client,
    row: &Value,
    how: &str,
    body: &Value,
) -> anyhow::Result<(u16, Value)> {
    let response =
        views.post(&format!("/admin/quarantine/{}/{how}", row["id"]), None, body).await?;
    Ok((response.status().as_u16(), response.json().await?))
}

/// Versions on the statement, newest first.
async fn entries(views: &Client, account: Uuid) -> anyhow::Result<Vec<i64>> {
    let statement = views.json(&format!("/v1/accounts/{account}/entries")).await?;
    let entries = statement["data"].as_array().context("no list")?;
    Ok(entries.iter().filter_map(|entry| entry["version"].as_i64()).collect())
}

/// Replays to the end, without a difference.
async fn replayed(views: &Client, from: &Value) -> anyhow::Result<()> {
    let asked = views.post("/admin/replays", None, from).await?;
    ensure!(asked.status() == 202, "{}", asked.text().await?);
    let id = asked.json::<Value>().await?["id"].clone();
    let path = format!("/admin/replays/{}", id.as_str().context("no id")?);
    eventually("the replay is done", async || {
        let replay = views.json(&path).await?;
        ensure!(replay["state"] == "done", "{replay}");
        ensure!(replay["differences"].as_i64().unwrap_or(0) == 0, "{replay}");
        Ok(())
    })
    .await
}
