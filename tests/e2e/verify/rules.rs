//! Logs that break the domain's rules, and rows kept with the log that contradict its events. A
//! superuser makes the changes, without triggers.

use anyhow::ensure;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::{finds_nothing, found, run};
use crate::client::{Client, created};
use crate::environment::{Environment, Pair};
use crate::process::Process;

struct Case {
    table: &'static str,
    tamper: &'static str,
    kind: &'static str,
}

const fn case(table: &'static str, tamper: &'static str, kind: &'static str) -> Case {
    Case { table, tamper, kind }
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    case("snapshots", "UPDATE passbook.snapshots SET state = replace(state::text, '\"balance\":',
            '\"balance\":9')::json",
         "snapshot_differs"),
    case("snapshots", "UPDATE passbook.snapshots SET position = position + 1", "snapshot_differs"),
    case("snapshots", "UPDATE passbook.snapshots SET version = version + 100000",
        "snapshot_differs"),
    case("snapshots", "UPDATE passbook.snapshots SET account_id = gen_random_uuid()",
        "snapshot_differs"),
    case("holds", "DELETE FROM passbook.holds WHERE ended IS NULL", "hold_differs"),
    case("holds", "UPDATE passbook.holds SET ended = 'released' WHERE ended = 'captured'",
        "hold_differs"),
    case("holds", "UPDATE passbook.holds SET ended = 'released' WHERE ended IS NULL",
        "hold_differs"),
    case("holds", "UPDATE passbook.holds SET expires_at = now() WHERE ended IS NULL",
        "hold_differs"),
    case("holds", "UPDATE passbook.holds SET hold_id = gen_random_uuid()", "hold_differs"),
    case("holds", "UPDATE passbook.holds SET account_id = gen_random_uuid()", "hold_differs"),
    case("transfers", "DELETE FROM passbook.transfers", "transfer_differs"),
    case("transfers", "UPDATE passbook.transfers SET version = version + 1", "transfer_differs"),
    case("transfers", "INSERT INTO passbook.transfers (transfer_id, account_id, version)
                       SELECT gen_random_uuid(), account_id, version FROM passbook.transfers",
                           "transfer_differs"),
    case("reversals", "DELETE FROM passbook.reversals", "reversal_differs"),
    case("reversals", "UPDATE passbook.reversals SET reversed_by = reversed_by + 1",
        "reversal_differs"),
    case("reversals", "UPDATE passbook.reversals SET version = version + 1", "reversal_differs"),
    case("log_head", "UPDATE passbook.log_head SET position = position + 1", "log_head"),
    case("log_head", "DELETE FROM passbook.log_head WHERE position > 0", "log_head"),
    case("events", "UPDATE passbook.events SET data = '{\"amount\":99000000000}'
                    WHERE type = 'MoneyWithdrawn'", "log_rule"),
    case("events", "UPDATE passbook.events SET type = 'MoneyWithdrawn',
                          data = '{\"amount\":99000000000}'
                     WHERE type = 'MoneyDeposited'", "log_rule"),
    case("events", "UPDATE passbook.events SET data = '{\"reason\":\"closed\"}',
                          type = 'AccountClosed'
                     WHERE type = 'MoneyDeposited' AND version = 3", "log_rule"),
    case("events", "DELETE FROM passbook.events WHERE type = 'MoneyReceived'", "log_rule"),
    case("events", "DELETE FROM passbook.events WHERE type = 'HoldPlaced'", "log_rule"),
    // Triggers do not run for a change of type.
    case("events", "ALTER TABLE passbook.events ALTER COLUMN data TYPE json USING
                    CASE type WHEN 'MoneyReceived' THEN replace(data::text, '\"amount\":',
                    '\"amount\":7')::json ELSE data END",
         "log_rule"),
    case("events", "ALTER TABLE passbook.events ALTER COLUMN data TYPE json USING
                    CASE type WHEN 'EntryReversed' THEN replace(data::text, '\"amount\":',
                    '\"amount\":7')::json ELSE data END",
         "log_rule"),
    case("events", "ALTER TABLE passbook.events ALTER COLUMN data TYPE json USING
                    CASE type WHEN 'HoldCaptured' THEN replace(data::text, '\"amount\":',
                    '\"amount\":7')::json ELSE data END",
         "log_rule"),
];

async fn post(client: &Client, path: &str, body: &Value) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&created(client.post(path, None, body).await?).await?)?)
}

/// Starts a pair with snapshots, holds of every status, transfers and reversals. Returns it and an
/// account.
async fn at_rest(name: &'static str) -> anyhow::Result<(Pair, Uuid)> {
    let environment = Environment::new(name).await?;
    let mut service =
        environment.command_with("command-0", &[("snapshot-every", "10".to_owned())])?;
    service.ready().await?;
    let mut pair = Pair::resume(environment, service, 1).await?;
    let client = pair.command()?;
    let (one, other) = (client.open().await?, client.open().await?);
    for _ in 0..30 {
        client.deposit(one, None, 5).await?;
    }
    let path = |step: &str| format!("/v1/accounts/{one}/{step}");
    post(&client, &path("withdrawals"), &json!({"amount": 3})).await?;
    let (open, captured, released) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    for hold in [open, captured, released] {
        let hold = json!({"hold_id": hold, "amount": 10, "expires_at": "2090-01-01T00:00:00Z"});
        post(&client, &path("holds"), &hold).await?;
    }
    post(&client, &path(&format!("holds/{captured}/capture")), &json!({"amount": 4})).await?;
    let response =
        client.post(&path(&format!("holds/{released}/release")), None, &json!({})).await?;
    ensure!(response.status().is_success(), "{}", response.text().await?);
    let sent =
        post(&client, "/v1/transfers", &json!({"from": one, "to": other, "amount": 7})).await?;
    post(&client, "/v1/transfers", &json!({"from": other, "to": one, "amount": 2})).await?;
    post(&client, &path("reversals"), &json!({"version": 2})).await?;
    post(&client, &path("reversals"), &json!({"version": sent["from"]["version"]})).await?;
    pair.assert_consistent(&[]).await?;
    Ok((pair, one))
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_every_broken_rule_and_every_row_that_contradicts_the_events()
-> anyhow::Result<()> {
    let (mut pair, account) = at_rest("verify_rules").await?;
    let views = pair.projection()?;
    let mut connection = PgConnection::connect(&pair.environment.database_url).await?;
    run(&mut connection, "SET session_replication_role = replica").await?;
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM passbook.snapshots")
        .fetch_one(&mut connection)
        .await?;
    ensure!(kept > 0, "there is no snapshot to tamper with");
    for Case { table, tamper, kind } in CASES {
        run(&mut connection, &format!("CREATE TABLE public.kept AS TABLE passbook.{table}"))
            .await?;
        run(&mut connection, tamper).await?;
        let (count, kinds, job) = found(&views).await?;
        ensure!(
            count > 0 && kinds.contains(*kind),
            "{tamper}: {kind} is not among {kinds:?}: {job}"
        );
        let restore = format!(
            "TRUNCATE passbook.{table};
             INSERT INTO passbook.{table} TABLE public.kept;
             DROP TABLE public.kept"
        );
        run(&mut connection, &restore).await?;
    }
    finds_nothing(&views).await?;

    // The subcommand needs only the database.
    let subcommand = async |log: &str| {
        let log = crate::infrastructure::directory()?.join(log);
        let database = format!("--database-url={}", pair.environment.command_role_url);
        let mut job =
            Process::start(&["command-service".to_owned(), database, "verify".to_owned()], &log)?;
        anyhow::Ok((job.ended().await?, job.output()))
    };
    let (status, output) = subcommand("verify_rules_whole.out").await?;
    ensure!(status.success() && output.contains("accounts, 0 differences"), "{status}: {output}");

    // A balance that only a tampered snapshot has cannot be withdrawn.
    run(&mut connection, CASES[0].tamper).await?;
    let (status, output) = subcommand("verify_rules_tampered.out").await?;
    ensure!(!status.success() && output.contains("snapshot_differs"), "{status}: {output}");
    pair.commands[0].kill_and_start().await?;
    pair.commands[0].ready().await?;
    let path = format!("/v1/accounts/{account}/withdrawals");
    let response = pair.command()?.post(&path, None, &json!({"amount": 8_000_000})).await?;
    let body = response.text().await?;
    ensure!(body.contains("insufficient_funds"), "{body}");
    let (_, kinds, job) = found(&views).await?;
    ensure!(kinds.contains("snapshot_differs") && kinds.len() == 1, "{job}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_is_checked_page_by_page_in_whole_accounts() -> anyhow::Result<()> {
    let (pair, _) = at_rest("verify_pages").await?;
    let client = pair.command()?;
    let (mut accounts, mut events) = (0, 0);
    for partition in crate::infrastructure::PARTITIONS.all() {
        let mut cursor = None;
        loop {
            let more = cursor.map(|cursor: String| format!("&cursor={cursor}")).unwrap_or_default();
            let page =
                client.json(&format!("/v1/partitions/{partition}/check?limit=1{more}")).await?;
            ensure!(page["differences"] == 0 && page["unreadable"] == 0, "{page}");
            accounts += page["accounts"].as_u64().unwrap_or_default();
            events += page["events"].as_u64().unwrap_or_default();
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = Some(next.to_owned());
        }
    }
    let mut connection = PgConnection::connect(&pair.environment.database_url).await?;
    let (all_accounts, all_events): (i64, i64) =
        sqlx::query_as("SELECT count(DISTINCT account_id), count(*) FROM passbook.events")
            .fetch_one(&mut connection)
            .await?;
    ensure!(
        (accounts, events) == (all_accounts.unsigned_abs(), all_events.unsigned_abs()),
        "{accounts}, {events}"
    );
    for wrong in
        ["partitions/99/check", "partitions/0/check?cursor=x", "partitions/0/check?limit=0"]
    {
        let status = client.get(&format!("/v1/{wrong}")).await?.status();
        ensure!(status.is_client_error(), "{wrong}: {status}");
    }
    Ok(())
}
