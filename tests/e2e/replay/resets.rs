//! Offsets that are reset with Kafka's own tool while the projection is stopped.

use anyhow::{Context, ensure};
use passbook_shared::timestamp::Timestamp;
use serde_json::json;

use super::{ended, generation, more, pair_with_history, replays};
use crate::environment::{Environment, Pair};
use crate::infrastructure::PARTITIONS;
use crate::invariants::{caught_up, read_log};
use crate::load::Load;
use crate::process::eventually;
use crate::topic::lose_topic;
use crate::unreadable::in_partition;

/// Effect that a reset should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// A new generation.
    Rebuild,
    /// Events applied again in the live generation.
    Rewind,
    /// No replay.
    Nothing,
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(containers), ignore = "needs Kafka's admin API: PASSBOOK_TEST_CONTAINERS=always")]
async fn resets_with_kafkas_own_tool_are_honoured() -> anyhow::Result<()> {
    let mut pair = pair_with_history("resets", 300).await?;
    open_in_every_partition(&pair).await?;
    let middle = now();
    more(&pair, 300).await?;
    let topic = pair.environment.topic.clone();
    let (all, one, two) = (topic.as_str(), format!("{topic}:3"), format!("{topic}:0,7"));
    let forms: [(&[&str], &str, Effect); 12] = [
        (&["--to-earliest"], all, Effect::Rebuild),
        (&["--to-earliest"], all, Effect::Rebuild),
        (&["--to-earliest"], &one, Effect::Rewind),
        (&["--to-offset", "5"], all, Effect::Rewind),
        (&["--to-offset", "2"], &two, Effect::Rewind),
        (&["--to-datetime", &middle], all, Effect::Rewind),
        (&["--to-datetime", &middle], &one, Effect::Rewind),
        (&["--shift-by", "-7"], all, Effect::Rewind),
        (&["--shift-by", "-7"], &one, Effect::Rewind),
        (&["--to-current"], all, Effect::Nothing),
        (&["--to-latest"], all, Effect::Nothing),
        (&["--to-latest"], &one, Effect::Nothing),
    ];
    for (form, partitions, effect) in forms {
        let options = [&["--reset-offsets", "--execute", "--topic", partitions], form].concat();
        let context = || format!("{form:?} of {partitions}");
        reset(&mut pair, &options, effect).await.with_context(context)?;
    }
    reset(&mut pair, &["--delete-offsets", "--topic", all], Effect::Nothing)
        .await
        .context("deleted offsets")?;
    reset(&mut pair, &["--delete"], Effect::Nothing).await.context("a deleted group")
}

/// Returns the present time as Kafka's tool takes it.
fn now() -> String {
    Timestamp::now().to_utc().format("%Y-%m-%dT%H:%M:%S%.3f").to_string()
}

/// Opens an account in each partition, so that a reset of any partition has events to replay.
async fn open_in_every_partition(pair: &Pair) -> anyhow::Result<()> {
    let client = pair.command()?;
    for partition in PARTITIONS.all() {
        let body = json!({"account_id": in_partition(partition), "owner": "a", "currency": "EUR"});
        let response = client.post("/v1/accounts", None, &body).await?;
        ensure!(response.status() == 201, "{}", response.text().await?);
    }
    Ok(())
}

/// Stops the projection, runs the tool, starts the projection again and checks the effect. Further
/// commands are executed before the views are compared with the log, so the comparison covers
/// replayed and new events.
async fn reset(pair: &mut Pair, options: &[&str], effect: Effect) -> anyhow::Result<()> {
    let views = pair.projection()?;
    let (before, generation_before) = (replays(&views).await?.len(), generation(&views).await?);
    // All that was applied is also committed to Kafka.
    caught_up(&read_log(&pair.command()?).await?, &views).await?;
    pair.projections[0].stop().await?;
    let arguments = [&["--group", pair.environment.name], options].concat();
    pair.environment.kafka.tool("kafka-consumer-groups.sh", &arguments).await?;
    pair.projections[0].start()?;
    pair.projections[0].ready().await?;
    let state = eventually("the consumer reads", async || {
        let state = views.json("/admin/projection").await?;
        let health = views.json("/health/ready").await?;
        ensure!(health["checks"]["consumer"]["state"] == "ok", "{health}");
        Ok(state)
    })
    .await?;
    let all = replays(&views).await?;
    if effect == Effect::Nothing {
        ensure!(all.len() == before, "a reset without effect was replayed: {state}");
    } else {
        ensure!(all.len() == before + 1, "not replayed, or twice: {all:?}");
        let replay = ended(&views).await?;
        ensure!(replay["state"] == "done" && replay["events_done"] != 0, "{replay}");
        if effect == Effect::Rebuild {
            ensure!(replay["from"] == "beginning" && replay["differences"] == 0, "{replay}");
        }
    }
    let expected = generation_before + i64::from(effect == Effect::Rebuild);
    ensure!(generation(&views).await? == expected, "generation {expected} is not live");
    let load = Load::start(&pair.command()?, 4, 4).await?;
    load.further(20).await?;
    let acknowledged = load.stop().await?;
    pair.assert_consistent(&acknowledged).await.map(drop)
}

/// Records have the times of their events. With the time of publishing, a reset to a time before
/// the topic was filled again would be a reset to its beginning.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(containers), ignore = "needs Kafka's admin API: PASSBOOK_TEST_CONTAINERS=always")]
async fn a_time_is_found_in_a_topic_that_was_filled_again() -> anyhow::Result<()> {
    let mut pair = pair_with_history("filled_again", 300).await?;
    let middle = now();
    more(&pair, 300).await?;
    lose_topic(&mut pair).await?;
    more(&pair, 20).await?;
    pair.assert_consistent(&[]).await?;
    filled_and_read(&pair).await?;
    let topic = pair.environment.topic.clone();
    let options = ["--reset-offsets", "--execute", "--topic", &topic, "--to-datetime", &middle];
    reset(&mut pair, &options, Effect::Rewind).await
}

/// Waits until the topic has all events and the projection has read them. The views may have been
/// complete before, from the log.
async fn filled_and_read(pair: &Pair) -> anyhow::Result<()> {
    let views = pair.projection()?;
    eventually("the topic is filled again and read", async || {
        let state = views.json("/admin/projection").await?;
        let partitions = state["partitions"].as_array().context("no partitions")?;
        let is_read = |partition: &serde_json::Value| {
            let offset = partition["offset"].as_i64();
            offset == partition["end_offset"].as_i64()
                && offset.unwrap_or(0) >= partition["position"].as_i64().unwrap_or(0)
        };
        ensure!(partitions.iter().all(is_read), "{state}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(containers), ignore = "needs Kafka's admin API: PASSBOOK_TEST_CONTAINERS=always")]
async fn two_instances_that_start_at_once_agree_on_a_reset() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("reset_two").await?, 2).await?;
    more(&pair, 300).await?;
    pair.assert_consistent(&[]).await?;
    let (group, topic) = (pair.environment.name, pair.environment.topic.clone());
    let options =
        ["--group", group, "--reset-offsets", "--to-earliest", "--topic", &topic, "--execute"];
    for round in 1..=3 {
        for projection in &mut pair.projections {
            projection.stop().await?;
            projection.unset("kafka-group-instance");
        }
        // A stopped instance with a lasting name stays a member until its session times out. The
        // tool resets nothing as long as there are members.
        eventually("the group has no members", async || {
            let members = pair.environment.kafka.members(group).await?;
            ensure!(members == 0, "{members} members");
            Ok(())
        })
        .await?;
        let output = pair.environment.kafka.tool("kafka-consumer-groups.sh", &options).await?;
        // A heading, and a line for each partition.
        let lines = output.lines().filter(|line| line.split_whitespace().count() == 4).count();
        ensure!(lines > usize::from(PARTITIONS.get()), "{output}");
        for projection in &mut pair.projections {
            projection.start()?;
        }
        let views = pair.projections[0].client()?;
        eventually("the reset is replayed", async || {
            let count = replays(&views).await?.len();
            ensure!(count == round, "{count} replays");
            Ok(())
        })
        .await?;
        ensure!(ended(&views).await?["state"] == "done");
        pair.assert_consistent(&[]).await?;
        ensure!(replays(&views).await?.len() == round, "the reset was replayed twice");
    }
    Ok(())
}
