//! Views that were tampered with.

use std::collections::BTreeSet;

use anyhow::ensure;
use sqlx::{Connection, PgConnection};

use super::{at_rest, by_launcher, finds_nothing, found, run};

/// Account with the highest version.
const ACCOUNT: &str =
    "(SELECT account_id FROM views_1.accounts ORDER BY version DESC, account_id LIMIT 1)";
const PARTITION: &str =
    "(SELECT partition FROM views_1.accounts ORDER BY version DESC, account_id LIMIT 1)";

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_every_tampered_row_of_the_views() -> anyhow::Result<()> {
    let pair = at_rest("verify_views").await?;
    let views = pair.projection()?;
    let mut connection = PgConnection::connect(&pair.environment.projection_database_url).await?;
    let tables = ["accounts", "history", "checkpoints"];
    for table in tables {
        run(&mut connection, &format!("CREATE TABLE public.{table} AS TABLE views_1.{table}"))
            .await?;
    }
    let set = |table: &str, change: &str| match table {
        "accounts" => format!("UPDATE views_1.accounts SET {change} WHERE account_id = {ACCOUNT}"),
        "history" => format!(
            "UPDATE views_1.history SET {change} WHERE account_id = {ACCOUNT} AND version = 2"
        ),
        _ => format!("UPDATE views_1.checkpoints SET {change} WHERE partition = {PARTITION}"),
    };
    let mut cases: Vec<(String, u64, &[&str])> = Vec::new();
    for column in ["version", "position", "balance", "held", "overdraft_limit", "transaction_count"]
    {
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
    for change in [
        "opened_at = opened_at - interval '1 microsecond'",
        "last_activity = now()",
        "currency = 'USD'",
    ] {
        cases.push((set("accounts", change), 1, &["account_differs"]));
    }
    for change in ["owner = owner || ' '", "opening_owner = owner"] {
        cases.push((set("accounts", change), 1, &["account_differs"]));
    }
    for change in [
        "recorded_at = now()",
        "effective_at = now()",
        "amount = NULL",
        "type = 'x'",
        "reference = NULL",
        "owner = 'x'",
    ] {
        cases.push((set("history", change), 1, &["history_differs"]));
    }
    let others: [(String, u64, &[&str]); 13] = [
        (
            set("accounts", "partition = (partition + 1) % 12"),
            2,
            &["account_missing", "account_too_many"],
        ),
        (set("accounts", "partition = 99"), 2, &["account_missing", "account_too_many"]),
        (
            format!("DELETE FROM views_1.accounts WHERE account_id = {ACCOUNT}"),
            1,
            &["account_missing"],
        ),
        (
            "INSERT INTO views_1.accounts SELECT (jsonb_populate_record(a,
                jsonb_build_object('account_id', gen_random_uuid()))).*
           FROM views_1.accounts AS a LIMIT 1"
                .to_owned(),
            1,
            &["account_too_many"],
        ),
        (
            format!("DELETE FROM views_1.history WHERE account_id = {ACCOUNT} AND version = 2"),
            1,
            &["history_missing"],
        ),
        (set("history", "version = version + 1000"), 2, &["history_missing", "history_too_many"]),
        (set("history", "version = -1"), 2, &["history_missing", "history_too_many"]),
        (
            set("history", "account_id = gen_random_uuid()"),
            2,
            &["history_missing", "history_too_many"],
        ),
        (set("checkpoints", "event_id = gen_random_uuid()"), 1, &["checkpoint"]),
        (set("checkpoints", "recorded_at = now()"), 1, &["checkpoint"]),
        (set("checkpoints", "position = position + 1"), 1, &["checkpoint"]),
        (
            "INSERT INTO views_1.checkpoints (partition, position) VALUES (99, 7)".to_owned(),
            1,
            &["checkpoint"],
        ),
        // The views have an event beyond the checkpoint.
        (
            set("checkpoints", "position = position - 1"),
            3,
            &["account_differs", "checkpoint", "history_too_many"],
        ),
    ];
    cases.extend(others);
    for (sql, differences, kinds) in cases {
        run(&mut connection, &sql).await?;
        let (count, found, job) = found(&views).await?;
        let kinds: BTreeSet<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        ensure!((count, &found) == (differences, &kinds), "{sql}: {count} of {found:?}: {job}");
        for table in tables {
            let restore = format!(
                "DELETE FROM views_1.{table}; INSERT INTO views_1.{table} TABLE public.{table}"
            );
            run(&mut connection, &restore).await?;
        }
    }
    finds_nothing(&views).await?;

    run(&mut connection, &set("accounts", "balance = balance + 1")).await?;
    let (equal, output) = by_launcher(&pair.projections[0]).await?;
    ensure!(
        !equal && output.contains("account_differs") && output.contains("1 difference"),
        "{output}"
    );
    run(&mut connection, "DELETE FROM views_1.history").await?;
    let (count, kinds, job) = found(&views).await?;
    ensure!(
        count > 300
            && job["samples"].as_array().is_some_and(|samples| (20..=21).contains(&samples.len())),
        "{job}"
    );
    ensure!(kinds.contains("history_missing"), "{job}");
    Ok(connection.close().await?)
}
