//! `verify`: it finds nothing where nothing is wrong, at rest and under load, and it finds everything that was tampered
//! with.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use passbook_shared::partition::partition_of;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::client::Client;
use crate::ground::{PARTITIONS, directory};
use crate::load::Load;
use crate::process::{Process, eventually};
use crate::site::{Pair, Service, Site};
use crate::unreadable::{append, open};

/// Asks for a verification and waits for its end.
async fn verify(projection: &Client) -> anyhow::Result<Value> {
    let asked = projection.post("/admin/verify", None, &json!({})).await?;
    let (status, location) = (asked.status(), asked.headers().get("location").cloned());
    let body = asked.text().await?;
    ensure!(status == 202, "{status}: {body}");
    let location = location.context("no Location")?.to_str()?.to_owned();
    eventually("the verification ends", async || {
        let job = projection.json(&location).await?;
        ensure!(job["state"] != "running", "{job}");
        Ok(job)
    })
    .await
}

/// What a verification found, each kind once; its count must be that of its samples.
async fn found(projection: &Client) -> anyhow::Result<(u64, BTreeSet<String>, Value)> {
    let job = verify(projection).await?;
    ensure!(job["state"] == "done", "{job}");
    let samples = job["samples"].as_array().context("no samples")?;
    let kinds = samples.iter().filter_map(|sample| sample["what"].as_str()).map(str::to_owned).collect();
    Ok((job["differences"].as_u64().context("no count")?, kinds, job))
}

async fn finds_nothing(projection: &Client) -> anyhow::Result<Value> {
    let (differences, _, job) = found(projection).await?;
    ensure!(differences == 0 && job["events"].as_i64() > Some(0), "{job}");
    Ok(job)
}

/// `passbook verify`: whether it says that nothing is wrong, and its output.
async fn by_launcher(projection: &Service) -> anyhow::Result<(bool, String)> {
    by_command(&["verify".to_owned(), format!("--projection-addr={}", projection.addr)]).await
}

async fn by_command(arguments: &[String]) -> anyhow::Result<(bool, String)> {
    let log = tempfile::Builder::new().prefix("verify").tempfile_in(directory()?)?.into_temp_path();
    let mut process = Process::start(arguments, &log)?;
    let status = process.ended().await?;
    ensure!(matches!(status.code(), Some(0 | 1)), "{status}: {}", process.output());
    Ok((status.success(), process.output()))
}

/// A pair at rest, with some accounts and all kinds of events, and its views complete.
async fn at_rest(name: &'static str) -> anyhow::Result<Pair> {
    let mut pair = Pair::start(Site::new(name).await?, 1).await?;
    let client = pair.command()?;
    let load = Load::start(&client, 8, 30).await?;
    load.further(300).await?;
    let acknowledged = load.stop().await?;
    let account = Uuid::new_v4();
    let opening = json!({"account_id": account, "owner": "customer-4711", "currency": "JPY", "overdraft_limit": 500,
                         "initial_deposit": 100, "metadata": {"branch": "Kyoto", "a": "b"}});
    let steps = [
        ("", opening),
        ("/withdrawals", json!({"amount": 600, "effective_at": "2026-01-02T03:04:05.678901Z"})),
        ("/freeze", json!({"reason": "a question"})),
        ("/unfreeze", json!({})),
        ("/deposits", json!({"amount": 500, "reference": "r", "metadata": {"till": "3", "shift": "\"late\""}})),
        ("/close", json!({})),
    ];
    for (step, body) in steps {
        let path = if step.is_empty() { "/v1/accounts".to_owned() } else { format!("/v1/accounts/{account}{step}") };
        let response = client.post(&path, None, &body).await?;
        ensure!(response.status().is_success(), "POST {path}: {}", response.text().await?);
    }
    pair.holds(&acknowledged).await?;
    Ok(pair)
}

async fn run(connection: &mut PgConnection, sql: &str) -> anyhow::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.with_context(|| sql.to_owned())?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_nothing_while_commands_go_on_and_at_rest() -> anyhow::Result<()> {
    let pair = at_rest("verify_at_work").await?;
    let views = pair.projection()?;
    let load = Load::start(&pair.command()?, 8, 40).await?;
    for _ in 0..5 {
        load.further(50).await?;
        finds_nothing(&views).await?;
    }
    // One at a time.
    let first = views.post("/admin/verify", None, &json!({})).await?.text().await?;
    let second = views.post("/admin/verify", None, &json!({})).await?;
    let (status, problem) = (second.status(), second.text().await?);
    let (first, problem): (Value, Value) = (serde_json::from_str(&first)?, serde_json::from_str(&problem)?);
    ensure!(status == 409 && problem["code"] == "verify_running", "{status}: {problem}");
    ensure!(problem["verify_id"] == first["id"], "{problem}");
    let response = views.get(&format!("/admin/verify/{}", Uuid::new_v4())).await?;
    ensure!(response.status() == 404, "{}", response.text().await?);

    load.stop().await?;
    eventually("the first has ended", async || finds_nothing(&views).await).await?;
    let (equal, output) = by_launcher(&pair.projections[0]).await?;
    ensure!(equal && output.contains(" 0 differences"), "{output}");
    let database = format!("--projection-database-url={}", pair.site.projection_database_url);
    let addr = format!("--projection-addr={}", pair.projections[0].addr);
    let (equal, output) = by_command(&["projection-service".to_owned(), database, addr, "verify".to_owned()]).await?;
    ensure!(equal && output.contains(" 0 differences"), "{output}");
    Ok(())
}

/// An account, and one with several entries: that of the most versions.
const ACCOUNT: &str = "(SELECT account_id FROM views_1.accounts ORDER BY version DESC, account_id LIMIT 1)";
const PARTITION: &str = "(SELECT partition FROM views_1.accounts ORDER BY version DESC, account_id LIMIT 1)";

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_every_row_of_the_views_that_was_changed_by_hand() -> anyhow::Result<()> {
    let pair = at_rest("verify_views").await?;
    let views = pair.projection()?;
    let mut connection = PgConnection::connect(&pair.site.projection_database_url).await?;
    let tables = ["accounts", "history", "checkpoints"];
    for table in tables {
        run(&mut connection, &format!("CREATE TABLE public.{table} AS TABLE views_1.{table}")).await?;
    }
    let set = |table: &str, change: &str| match table {
        "accounts" => format!("UPDATE views_1.accounts SET {change} WHERE account_id = {ACCOUNT}"),
        "history" => format!("UPDATE views_1.history SET {change} WHERE account_id = {ACCOUNT} AND version = 2"),
        _ => format!("UPDATE views_1.checkpoints SET {change} WHERE partition = {PARTITION}"),
    };
    let mut cases: Vec<(String, u64, &[&str])> = Vec::new();
    for column in ["version", "position", "balance", "held", "overdraft_limit", "transaction_count"] {
        let change = format!("{column} = {column} + 1");
        cases.push((set("accounts", &change), 1, &["account_differs"]));
        if column != "version" {
            cases.push((set("history", &change), 1, &["history_differs"]));
        }
    }
    for change in ["status = 'frozen'", "metadata = '{\"a\": \"b\"}'"] {
        cases.push((set("accounts", change), 1, &["account_differs"]));
        cases.push((set("history", change), 1, &["history_differs"]));
    }
    for change in ["opened_at = opened_at - interval '1 microsecond'", "last_activity = now()", "currency = 'USD'"] {
        cases.push((set("accounts", change), 1, &["account_differs"]));
    }
    cases.push((set("accounts", "owner = owner || ' '"), 1, &["account_differs"]));
    for change in ["recorded_at = now()", "effective_at = now()", "amount = NULL", "type = 'x'", "reference = NULL"] {
        cases.push((set("history", change), 1, &["history_differs"]));
    }
    let others: [(String, u64, &[&str]); 13] = [
        (set("accounts", "partition = (partition + 1) % 12"), 2, &["account_missing", "account_too_many"]),
        (set("accounts", "partition = 99"), 2, &["account_missing", "account_too_many"]),
        (format!("DELETE FROM views_1.accounts WHERE account_id = {ACCOUNT}"), 1, &["account_missing"]),
        ("INSERT INTO views_1.accounts SELECT (jsonb_populate_record(a, jsonb_build_object('account_id', gen_random_uuid()))).*
           FROM views_1.accounts AS a LIMIT 1".to_owned(), 1, &["account_too_many"]),
        (format!("DELETE FROM views_1.history WHERE account_id = {ACCOUNT} AND version = 2"), 1, &["history_missing"]),
        (set("history", "version = version + 1000"), 2, &["history_missing", "history_too_many"]),
        (set("history", "version = -1"), 2, &["history_missing", "history_too_many"]),
        (set("history", "account_id = gen_random_uuid()"), 2, &["history_missing", "history_too_many"]),
        (set("checkpoints", "event_id = gen_random_uuid()"), 1, &["checkpoint"]),
        (set("checkpoints", "recorded_at = now()"), 1, &["checkpoint"]),
        (set("checkpoints", "position = position + 1"), 1, &["checkpoint"]),
        ("INSERT INTO views_1.checkpoints (partition, position) VALUES (99, 7)".to_owned(), 1, &["checkpoint"]),
        // Its last event is in the views all the same.
        (set("checkpoints", "position = position - 1"), 3, &["account_differs", "checkpoint", "history_too_many"]),
    ];
    cases.extend(others);
    for (sql, differences, kinds) in cases {
        run(&mut connection, &sql).await?;
        let (count, found, job) = found(&views).await?;
        let kinds: BTreeSet<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        ensure!((count, &found) == (differences, &kinds), "{sql}: {count} of {found:?}: {job}");
        for table in tables {
            let restore = format!("DELETE FROM views_1.{table}; INSERT INTO views_1.{table} TABLE public.{table}");
            run(&mut connection, &restore).await?;
        }
    }
    finds_nothing(&views).await?;

    run(&mut connection, &set("accounts", "balance = balance + 1")).await?;
    let (equal, output) = by_launcher(&pair.projections[0]).await?;
    ensure!(!equal && output.contains("account_differs") && output.contains("1 difference"), "{output}");
    run(&mut connection, "DELETE FROM views_1.history").await?;
    let (count, kinds, job) = found(&views).await?;
    ensure!(count > 300 && job["samples"].as_array().is_some_and(|samples| samples.len() == 20), "{job}");
    ensure!(kinds.contains("history_missing"), "{job}");
    Ok(connection.close().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_events_that_are_missing_or_there_twice() -> anyhow::Result<()> {
    let mut pair = at_rest("verify_log").await?;
    let views = pair.projection()?;
    let mut connection = PgConnection::connect(&pair.site.database_url).await?;
    // What a superuser can do: triggers are passed over.
    run(&mut connection, "SET session_replication_role = replica; CREATE TABLE public.kept (LIKE passbook.events)")
        .await?;
    let middle = "version = 3 AND account_id = (SELECT account_id FROM passbook.events WHERE version = 5 LIMIT 1)";
    let newest = "(partition, position) = (SELECT partition, max(position) FROM passbook.events GROUP BY partition
                   ORDER BY partition LIMIT 1)";
    let last_of_account = "(partition, position) = (
        SELECT e.partition, max(e.position) FROM passbook.events AS e JOIN passbook.log_head AS h USING (partition)
         GROUP BY e.partition, e.account_id, h.position HAVING max(e.position) < h.position LIMIT 1)";
    let cases: [(&str, u64, &[&str]); 3] = [
        (middle, 2, &["log_positions", "log_versions"]),
        (newest, 3, &["account_differs", "checkpoint", "history_too_many"]),
        (last_of_account, 3, &["account_differs", "history_too_many", "log_positions"]),
    ];
    for (which, differences, kinds) in cases {
        let take = format!(
            "WITH taken AS (DELETE FROM passbook.events WHERE {which} RETURNING *) INSERT INTO public.kept TABLE taken"
        );
        run(&mut connection, &take).await?;
        let (count, found, job) = found(&views).await?;
        let kinds: BTreeSet<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        ensure!((count, &found) == (differences, &kinds), "{which}: {count} of {found:?}: {job}");
        let restore = "INSERT INTO passbook.events TABLE public.kept; TRUNCATE public.kept";
        run(&mut connection, restore).await?;
        finds_nothing(&views).await?;
    }

    // As if it had happened again, and the views have followed.
    let (account, version): (Uuid, i64) = sqlx::query_as(
        "WITH one AS (SELECT * FROM passbook.events WHERE version = 2 AND type = 'MoneyDeposited' LIMIT 1),
              head AS (UPDATE passbook.log_head AS h SET position = h.position + 1 FROM one
                        WHERE h.partition = one.partition RETURNING h.position)
         INSERT INTO passbook.events (position, version, recorded_at, partition, schema_version, account_id, event_id,
                                      command_id, type, data, metadata)
         SELECT head.position, (SELECT max(e.version) + 1 FROM passbook.events AS e WHERE e.account_id = one.account_id),
                one.recorded_at, one.partition, one.schema_version, one.account_id, one.event_id, one.command_id,
                one.type, one.data, one.metadata
           FROM one, head RETURNING account_id, version",
    )
    .fetch_one(&mut connection)
    .await?;
    let path = format!("/v1/accounts/{account}?min_version={version}");
    eventually("the views have it", async || views.json(&path).await).await?;
    let (_, kinds, job) = found(&views).await?;
    ensure!(kinds.contains("log_event_twice") && kinds.contains("log_time"), "{job}");
    let (equal, output) = by_launcher(&pair.projections[0]).await?;
    ensure!(!equal && output.contains("log_event_twice"), "{output}");

    // The log can't be read.
    pair.commands[0].stop().await?;
    let job = verify(&views).await?;
    ensure!(job["state"] == "failed" && job["error"].as_str().is_some_and(|why| why.contains("feed")), "{job}");
    let (equal, output) = by_launcher(&pair.projections[0]).await?;
    ensure!(!equal && output.contains("not all was compared"), "{output}");
    Ok(connection.close().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_refuses_the_log_of_another_store() -> anyhow::Result<()> {
    let mut pair = at_rest("verify_store").await?;
    let other = Site::new("verify_other_store").await?;
    let foreign = other.command("command-0").await?;
    let projection = &mut pair.projections[0];
    projection.set("command-service-url", &format!("http://{}", foreign.addr));
    projection.kill_and_start().await?;
    let client = projection.client()?;
    let job = eventually("the projection takes requests", async || verify(&client).await).await?;
    let named = job["error"].as_str().is_some_and(|why| why.contains("another installation's"));
    ensure!(job["state"] == "failed" && named, "{job}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_counts_what_is_in_quarantine_and_finds_what_should_be() -> anyhow::Result<()> {
    let pair = Pair::start(Site::new("verify_quarantine").await?, 1).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let account = open(&commands, Uuid::new_v4()).await?;
    for (version, event_type) in [(2, "MoneyBurnt"), (3, "MoneyDeposited"), (4, "MoneyDeposited")] {
        append(&pair.site, account, version, event_type).await?;
    }
    let partition = partition_of(account, PARTITIONS.cast_signed());
    views.json(&format!("/v1/stats?at_least={partition}-4")).await?;
    let job = finds_nothing(&views).await?;
    ensure!(job["quarantined"] == 3 && job["events"] == 4 && job["accounts"] == 1, "{job}");

    let mut connection = PgConnection::connect(&pair.site.projection_database_url).await?;
    let others = "INSERT INTO views_1.quarantine (partition, position, account_id, version, waits, reason, document)
                  SELECT partition, position + 1000, account_id, version + 1000, waits, reason, document";
    let cases = [
        (format!("{others} FROM views_1.quarantine WHERE version = 4"), "quarantine_too_many"),
        ("UPDATE views_1.quarantine SET document = '{}' WHERE version = 3".to_owned(), "quarantine_differs"),
        ("DELETE FROM views_1.quarantine WHERE version = 4".to_owned(), "quarantine_missing"),
        ("UPDATE views_1.accounts SET balance = 1".to_owned(), "account_differs"),
    ];
    for (sql, kind) in cases {
        run(&mut connection, &sql).await?;
        let (_, kinds, job) = found(&views).await?;
        ensure!(kinds.contains(kind), "{sql}: {job}");
    }
    // Nothing is set aside any more, and nothing was applied.
    run(&mut connection, "DELETE FROM views_1.quarantine").await?;
    let (_, kinds, job) = found(&views).await?;
    ensure!(kinds.contains("not_set_aside"), "{job}");
    Ok(connection.close().await?)
}
