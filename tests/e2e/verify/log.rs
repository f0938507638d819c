//! Logs with missing or repeated events, of another store, or unreachable.

use std::collections::BTreeSet;

use anyhow::ensure;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::{at_rest, by_launcher, finds_nothing, found, run, verify};
use crate::environment::Environment;
use crate::process::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_missing_and_repeated_events() -> anyhow::Result<()> {
    let mut pair = at_rest("verify_log").await?;
    let views = pair.projection()?;
    let mut connection = PgConnection::connect(&pair.environment.database_url).await?;
    // As a superuser, without triggers.
    run(
        &mut connection,
        "SET session_replication_role = replica; CREATE TABLE public.kept (LIKE passbook.events)",
    )
    .await?;
    let middle = "version = 3 AND account_id = (
        SELECT account_id FROM passbook.events WHERE version = 5 LIMIT 1)";
    let newest = "(partition, position) = (
        SELECT partition, max(position) FROM passbook.events GROUP BY partition
                   ORDER BY partition LIMIT 1)";
    let last_of_account = "(partition, position) = (
        SELECT e.partition, max(e.position)
          FROM passbook.events AS e JOIN passbook.log_head AS h USING (partition)
         GROUP BY e.partition, e.account_id, h.position
        HAVING max(e.position) < h.position LIMIT 1)";
    let cases: [(&str, u64, &[&str]); 3] = [
        (middle, 3, &["log_positions", "log_rule", "log_versions"]),
        (newest, 4, &["account_differs", "checkpoint", "history_too_many", "log_head"]),
        (last_of_account, 3, &["account_differs", "history_too_many", "log_positions"]),
    ];
    for (which, differences, kinds) in cases {
        let delete = format!(
            "WITH deleted AS (DELETE FROM passbook.events WHERE {which} RETURNING *)
             INSERT INTO public.kept TABLE deleted"
        );
        run(&mut connection, &delete).await?;
        let (count, found, job) = found(&views).await?;
        let kinds: BTreeSet<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        ensure!((count, &found) == (differences, &kinds), "{which}: {count} of {found:?}: {job}");
        let restore = "INSERT INTO passbook.events TABLE public.kept; TRUNCATE public.kept";
        run(&mut connection, restore).await?;
        finds_nothing(&views).await?;
    }

    // The relay may have noted a fork while events were missing.
    run(&mut connection, "UPDATE passbook.log_head SET fork_position = NULL, fork_reason = NULL")
        .await?;

    // Appends a copy of an event, which the views apply.
    let (account, version): (Uuid, i64) = sqlx::query_as(
        "WITH one AS (SELECT * FROM passbook.events
                        WHERE version = 2 AND type = 'MoneyDeposited' LIMIT 1),
              head AS (UPDATE passbook.log_head AS h SET position = h.position + 1 FROM one
                        WHERE h.partition = one.partition RETURNING h.position)
         INSERT INTO passbook.events (position, version, recorded_at, partition, schema_version,
                                      account_id, event_id,
                                      command_id, type, data, metadata)
         SELECT head.position, (SELECT max(e.version) + 1 FROM passbook.events AS e
                                 WHERE e.account_id = one.account_id),
                one.recorded_at, one.partition, one.schema_version, one.account_id, one.event_id,
                one.command_id,
                one.type, one.data, one.metadata
           FROM one, head RETURNING account_id, version",
    )
    .fetch_one(&mut connection)
    .await?;
    let path = format!("/v1/accounts/{account}?min_version={version}");
    eventually("the views have applied the copy", async || views.json(&path).await).await?;
    let (_, kinds, job) = found(&views).await?;
    ensure!(kinds.contains("log_event_twice") && kinds.contains("log_time"), "{job}");
    let (equal, output) = by_launcher(&pair.projections[0]).await?;
    ensure!(!equal && output.contains("log_event_twice"), "{output}");

    // Without the command-service, the log cannot be read.
    pair.commands[0].stop().await?;
    let job = verify(&views).await?;
    ensure!(
        job["state"] == "failed" && job["error"].as_str().is_some_and(|why| why.contains("feed")),
        "{job}"
    );
    let (equal, output) = by_launcher(&pair.projections[0]).await?;
    ensure!(!equal && output.contains("the comparison ended early"), "{output}");
    Ok(connection.close().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_refuses_the_log_of_another_store() -> anyhow::Result<()> {
    let mut pair = at_rest("verify_store").await?;
    let other = Environment::new("verify_other_store").await?;
    let foreign = other.command("command-0").await?;
    let projection = &mut pair.projections[0];
    projection.set("command-service-url", &format!("http://{}", foreign.addr));
    projection.kill_and_start().await?;
    let client = projection.client()?;
    let job = eventually("the projection answers", async || verify(&client).await).await?;
    let named = job["error"].as_str().is_some_and(|why| why.contains("another installation?"));
    ensure!(job["state"] == "failed" && named, "{job}");
    Ok(())
}
