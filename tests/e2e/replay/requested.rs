//! Replays requested over HTTP or on the command line.

use anyhow::{Context, ensure};
use passbook_shared::partition::partition_of;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::json;
use sqlx::{Connection, PgConnection};

use super::{ended, generation, more, pair_with_history, request};
use crate::infrastructure::PARTITIONS;
use crate::verify;

#[tokio::test(flavor = "multi_thread")]
async fn replays_from_a_time_offsets_an_account_and_a_kept_generation() -> anyhow::Result<()> {
    let mut pair = pair_with_history("requested", 300).await?;
    let views = pair.projection()?;
    let middle = passbook_shared::timestamp::Timestamp::now();
    more(&pair, 300).await?;
    let log = pair.assert_consistent(&[]).await?;
    let account = log.iter().flatten().next().context("no events")?.account_id;
    let offsets = json!({partition_of(account, PARTITIONS).to_string(): 1});
    for from in [
        json!({"from": "time", "time": middle}),
        json!({"from": "partition_offsets", "partition_offsets": offsets}),
        json!({"from": "account", "account_id": account}),
    ] {
        let requested = request(&views, from.clone()).await?;
        let replay = ended(&views).await?;
        let done = replay["state"] == "done"
            && replay["id"] == requested["id"]
            && replay["events_done"] != 0;
        ensure!(done && generation(&views).await? == 1, "{from}: {replay}");
        more(&pair, 20).await?;
        pair.assert_consistent(&[]).await?;
    }
    // A replay reports that the tampered views differ, and the new ones are right.
    let mut connection = PgConnection::connect(&pair.environment.projection_database_url).await?;
    let tamper = "UPDATE views_1.accounts SET balance = balance + 1 WHERE account_id = $1";
    sqlx::query(tamper).bind(account).execute(&mut connection).await?;
    request(&views, json!({"from": "beginning"})).await?;
    let replay = ended(&views).await?;
    ensure!(replay["state"] == "done" && replay["differences"] == 1, "{replay}");
    ensure!(replay["samples"][0]["new"]["account_id"] == json!(account), "{replay}");
    pair.assert_consistent(&[]).await?;

    more(&pair, 20).await?;
    request(&views, json!({"from": "generation", "generation": 1})).await?;
    let replay = ended(&views).await?;
    ensure!(replay["state"] == "done" && generation(&views).await? == 1, "{replay}");
    ensure!(
        replay["differences"] == 0,
        "the tampered account was not corrected before the switch: {replay}"
    );
    pair.assert_consistent(&[]).await?;
    for from in [
        json!({"from": "generation", "generation": 9}),
        json!({"from": "partition_offsets", "partition_offsets": {"99": 0}}),
        json!({"from": "the end"}),
        json!({"from": "time"}),
        json!({"from": "beginning", "generation": 1}),
    ] {
        let refused = views.post("/admin/replays", None, &from).await?;
        ensure!(refused.status() == 400, "{from}: {}", refused.status());
    }
    Ok(())
}

/// Retention has deleted the topic's head. The replay is requested on the command line.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(containers), ignore = "needs Kafka's admin API: PASSBOOK_TEST_CONTAINERS=always")]
async fn events_missing_from_the_topic_are_replayed_from_the_log() -> anyhow::Result<()> {
    let mut pair = pair_with_history("trimmed_replay", 300).await?;
    let (views, log) = (pair.projection()?, pair.assert_consistent(&[]).await?);
    let mut lost = 0;
    let (admin, options) = pair.environment.admin()?;
    let mut trim = TopicPartitionList::new();
    for (partition, events) in (0..).zip(&log) {
        let half = events.len() / 2;
        let offset = Offset::Offset(i64::try_from(half)?);
        trim.add_partition_offset(&pair.environment.topic, partition, offset)?;
        lost += half;
    }
    let trimmed = admin.delete_records(&trim, &options).await?;
    trimmed.elements().iter().try_for_each(|element| element.error())?;
    let addr = format!("--projection-addr={}", pair.projections[0].addr);
    let (done, output) =
        verify::by_command(&["replay".to_owned(), addr, "--from-beginning".to_owned()]).await?;
    ensure!(done && output.contains("generation 2 is live; 0 of its rows"), "{output}");
    let reported = format!("{lost} of them came from the log, because the topic lacks them");
    ensure!(lost > 0 && output.contains(&reported), "{output}");
    let replay = ended(&views).await?;
    ensure!(
        replay["events_from_log"] == lost && generation(&views).await? == 2,
        "the topic lacks {lost}: {replay}"
    );
    pair.assert_consistent(&[]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_replay_is_refused_and_the_first_can_be_cancelled() -> anyhow::Result<()> {
    let mut pair = pair_with_history("cancelled_replay", 300).await?;
    let views = pair.projection()?;
    // Without the command-service, the replay cannot end.
    pair.commands[0].kill().await?;
    let requested = request(&views, json!({"from": "beginning"})).await?;
    let id = requested["id"].as_str().context("no id")?;
    let second = views.post("/admin/replays", None, &json!({"from": "beginning"})).await?;
    let (status, problem) = (second.status(), second.text().await?);
    ensure!(
        status == 409 && problem.contains("replay_running") && problem.contains(id),
        "{status}: {problem}"
    );
    let stream = views.get(&format!("/admin/replays/{id}/stream")).await?;
    let cancelled = views.request(reqwest::Method::DELETE, &format!("/admin/replays/{id}"));
    ensure!(cancelled.send().await?.status() == 202);
    let replay = ended(&views).await?;
    ensure!(replay["state"] == "cancelled", "{replay}");
    // The stream reports it and ends.
    let streamed = stream.text().await?;
    ensure!(
        streamed.starts_with("event: replay\ndata: {") && streamed.contains("\"cancelled\""),
        "{streamed}"
    );
    pair.commands[0].start()?;
    pair.assert_consistent(&[]).await.map(drop)
}
