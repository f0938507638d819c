//! Replays: offsets that are reset with Kafka's own tool, and what is asked for over HTTP. Whatever happens on the way, the
//! views are a fold of the log afterwards, and no reader sees one go back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use passbook_shared::partition::partition_of;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use crate::client::Client;
use crate::ground::PARTITIONS;
use crate::load::Load;
use crate::process::eventually;
use crate::site::{Pair, Site};
use crate::topic::lose_topic;
use crate::verify;

/// A pair with some history, whose projection leaves its group at once when it is stopped.
async fn pair_with_history(name: &'static str, commands: usize) -> anyhow::Result<Pair> {
    let mut pair = Pair::start(Site::new(name).await?, 1).await?;
    let projection = &mut pair.projections[0];
    projection.stop().await?;
    projection.unset("kafka-group-instance");
    projection.start()?;
    more(&pair, commands).await?;
    pair.holds(&[]).await?;
    Ok(pair)
}

async fn more(pair: &Pair, commands: usize) -> anyhow::Result<()> {
    let load = Load::start(&pair.command()?, 16, 20).await?;
    load.further(commands).await?;
    load.stop().await.map(drop)
}

async fn replays(projection: &Client) -> anyhow::Result<Vec<Value>> {
    let mut list = projection.json("/admin/replays").await?;
    list["data"].as_array_mut().map(std::mem::take).context("no list")
}

async fn generation(projection: &Client) -> anyhow::Result<i64> {
    projection.json("/admin/projection").await?["generation"].as_i64().context("no generation")
}

/// Waits for the end of the newest replay.
async fn ended(projection: &Client) -> anyhow::Result<Value> {
    eventually("the replay has ended", async || {
        let newest = replays(projection).await?.into_iter().next().context("there is none")?;
        ensure!(newest["ended_at"].is_string(), "{newest}");
        Ok(newest)
    })
    .await
}

async fn ask(projection: &Client, from: Value) -> anyhow::Result<Value> {
    let response = projection.post("/admin/replays", None, &from).await?;
    let status = response.status();
    let text = response.text().await?;
    ensure!(status == 202, "{status}: {text}");
    Ok(serde_json::from_str(&text)?)
}

/// What a reset is to lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leads {
    /// To a new generation.
    ToRebuild,
    /// To events applied again in the live one.
    ToRewind,
    /// Nowhere.
    Nowhere,
}

#[tokio::test(flavor = "multi_thread")]
async fn resets_with_kafkas_own_tool_are_honoured() -> anyhow::Result<()> {
    let mut pair = pair_with_history("resets", 300).await?;
    if !pair.site.kafka.has_admin() {
        eprintln!("the in-process broker has no tools to reset offsets with");
        return Ok(());
    }
    let middle = passbook_shared::timestamp::Timestamp::now()
        .to_utc()
        .format("%Y-%m-%dT%H:%M:%S%.3f")
        .to_string();
    more(&pair, 300).await?;
    let topic = pair.site.topic.clone();
    let (all, one, two) = (topic.as_str(), format!("{topic}:3"), format!("{topic}:0,7"));
    let forms: [(&[&str], &str, Leads); 12] = [
        (&["--to-earliest"], all, Leads::ToRebuild),
        (&["--to-earliest"], all, Leads::ToRebuild),
        (&["--to-earliest"], &one, Leads::ToRewind),
        (&["--to-offset", "5"], all, Leads::ToRewind),
        (&["--to-offset", "2"], &two, Leads::ToRewind),
        (&["--to-datetime", &middle], all, Leads::ToRewind),
        (&["--to-datetime", &middle], &one, Leads::ToRewind),
        (&["--shift-by", "-7"], all, Leads::ToRewind),
        (&["--shift-by", "-7"], &one, Leads::ToRewind),
        (&["--to-current"], all, Leads::Nowhere),
        (&["--to-latest"], all, Leads::Nowhere),
        (&["--to-latest"], &one, Leads::Nowhere),
    ];
    for (form, partitions, leads) in forms {
        let how = [&["--reset-offsets", "--execute", "--topic", partitions], form].concat();
        reset(&mut pair, &how, leads).await.with_context(|| format!("{form:?} of {partitions}"))?;
        more(&pair, 20).await?;
    }
    reset(&mut pair, &["--delete-offsets", "--topic", all], Leads::Nowhere)
        .await
        .context("deleted offsets")?;
    reset(&mut pair, &["--delete"], Leads::Nowhere).await.context("a deleted group")?;
    more(&pair, 20).await?;
    pair.holds(&[]).await.map(drop)
}

/// Stops the projection, runs the tool, starts again, and looks what comes of it.
async fn reset(pair: &mut Pair, how: &[&str], leads: Leads) -> anyhow::Result<()> {
    let views = pair.projection()?;
    let (before, generation_before) = (replays(&views).await?.len(), generation(&views).await?);
    // So that all that was applied is committed to Kafka, too.
    pair.holds(&[]).await?;
    pair.projections[0].stop().await?;
    let arguments = [&["--group", pair.site.name], how].concat();
    pair.site.kafka.tool("kafka-consumer-groups.sh", &arguments).await?;
    pair.projections[0].start()?;
    pair.projections[0].ready().await?;
    let state = eventually("reading has begun", async || {
        let state = views.json("/admin/projection").await?;
        let health = views.json("/health/ready").await?;
        ensure!(health["checks"]["consumer"]["state"] == "ok", "{health}");
        Ok(state)
    })
    .await?;
    let count = replays(&views).await?.len();
    match leads {
        Leads::Nowhere => ensure!(count == before, "something was replayed: {state}"),
        Leads::ToRebuild | Leads::ToRewind => {
            ensure!(
                count == before + 1,
                "nothing was noticed, or twice: {:?}",
                replays(&views).await?
            );
            let replay = ended(&views).await?;
            ensure!(replay["state"] == "done" && replay["events_done"] != 0, "{replay}");
            if leads == Leads::ToRebuild {
                ensure!(replay["from"] == "beginning" && replay["differences"] == 0, "{replay}");
            }
        }
    }
    let expected = generation_before + i64::from(leads == Leads::ToRebuild);
    ensure!(generation(&views).await? == expected, "generation {expected} was to be live");
    pair.holds(&[]).await.map(drop)
}

/// Its records have the events' own times, not that of the filling: else a time before that would be its beginning.
#[tokio::test(flavor = "multi_thread")]
async fn a_time_is_found_in_a_topic_that_was_filled_again() -> anyhow::Result<()> {
    let mut pair = pair_with_history("filled_again", 300).await?;
    if !pair.site.kafka.has_admin() {
        eprintln!("the in-process broker has no tools to reset offsets with");
        return Ok(());
    }
    let middle = passbook_shared::timestamp::Timestamp::now()
        .to_utc()
        .format("%Y-%m-%dT%H:%M:%S%.3f")
        .to_string();
    more(&pair, 300).await?;
    lose_topic(&mut pair).await?;
    more(&pair, 20).await?;
    pair.holds(&[]).await?;
    let topic = pair.site.topic.clone();
    let how = ["--reset-offsets", "--execute", "--topic", &topic, "--to-datetime", &middle];
    reset(&mut pair, &how, Leads::ToRewind).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_that_start_at_once_agree_on_a_reset() -> anyhow::Result<()> {
    let mut pair = Pair::start(Site::new("reset_two").await?, 2).await?;
    if !pair.site.kafka.has_admin() {
        eprintln!("the in-process broker has no tools to reset offsets with");
        return Ok(());
    }
    more(&pair, 300).await?;
    pair.holds(&[]).await?;
    for round in 1..=3 {
        for projection in &mut pair.projections {
            projection.stop().await?;
            projection.unset("kafka-group-instance");
        }
        let topic = pair.site.topic.clone();
        let how = [
            "--group",
            pair.site.name,
            "--reset-offsets",
            "--to-earliest",
            "--topic",
            &topic,
            "--execute",
        ];
        // Those that had lasting names are members until Kafka has missed them for a while.
        let reset = async || pair.site.kafka.tool("kafka-consumer-groups.sh", &how).await;
        eventually("the group has no members, and its offsets are reset", async || {
            let said = reset().await?;
            // A heading, and a line for each partition; the heading alone where the group still has members.
            let lines = said.lines().filter(|line| line.split_whitespace().count() == 4).count();
            ensure!(lines > usize::from(PARTITIONS), "{said}");
            Ok(())
        })
        .await?;
        for projection in &mut pair.projections {
            projection.start()?;
        }
        let views = pair.projections[0].client()?;
        eventually("the replay was noticed", async || {
            let count = replays(&views).await?.len();
            ensure!(count == round, "{count} replays");
            Ok(())
        })
        .await?;
        ensure!(ended(&views).await?["state"] == "done");
        pair.holds(&[]).await?;
        ensure!(replays(&views).await?.len() == round, "it was noticed twice");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_offsets_an_account_and_a_kept_generation_can_be_asked_for() -> anyhow::Result<()> {
    let mut pair = pair_with_history("asked_for", 300).await?;
    let views = pair.projection()?;
    let middle = passbook_shared::timestamp::Timestamp::now();
    more(&pair, 300).await?;
    let log = pair.holds(&[]).await?;
    let account = log.iter().flatten().next().context("no events")?.account_id;
    for from in [
        json!({"from": "time", "time": middle}),
        json!({"from": "partition_offsets", "partition_offsets": {partition_of(account, PARTITIONS.cast_signed()).to_string(): 1}}),
        json!({"from": "account", "account_id": account}),
    ] {
        let asked = ask(&views, from.clone()).await?;
        let replay = ended(&views).await?;
        let done =
            replay["state"] == "done" && replay["id"] == asked["id"] && replay["events_done"] != 0;
        ensure!(done && generation(&views).await? == 1, "{from}: {replay}");
        more(&pair, 20).await?;
        pair.holds(&[]).await?;
    }
    // Tampered with, the live views are shown to differ, and the new ones are right.
    let mut connection = PgConnection::connect(&pair.site.projection_database_url).await?;
    let tamper = "UPDATE views_1.accounts SET balance = balance + 1 WHERE account_id = $1";
    sqlx::query(tamper).bind(account).execute(&mut connection).await?;
    ask(&views, json!({"from": "beginning"})).await?;
    let replay = ended(&views).await?;
    ensure!(replay["state"] == "done" && replay["differences"] == 1, "{replay}");
    ensure!(replay["samples"][0]["new"]["account_id"] == json!(account), "{replay}");
    pair.holds(&[]).await?;

    more(&pair, 20).await?;
    ask(&views, json!({"from": "generation", "generation": 1})).await?;
    let replay = ended(&views).await?;
    ensure!(replay["state"] == "done" && generation(&views).await? == 1, "{replay}");
    ensure!(
        replay["differences"] == 0,
        "what was tampered with was settled by the log before the switch: {replay}"
    );
    pair.holds(&[]).await?;
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

/// Asked for on the command line; and retention has cut off the topic's head.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_topic_has_lost_is_replayed_from_the_log() -> anyhow::Result<()> {
    let mut pair = pair_with_history("trimmed_replay", 300).await?;
    let (views, log) = (pair.projection()?, pair.holds(&[]).await?);
    let mut lost = 0;
    if pair.site.kafka.has_admin() {
        let (admin, options) = pair.site.admin()?;
        let mut trim = TopicPartitionList::new();
        for (partition, events) in (0..).zip(&log) {
            lost += events.len() / 2;
            trim.add_partition_offset(
                &pair.site.topic,
                partition,
                Offset::Offset(i64::try_from(events.len() / 2)?),
            )?;
        }
        let trimmed = admin.delete_records(&trim, &options).await?;
        trimmed.elements().iter().try_for_each(|element| element.error())?;
    }
    let addr = format!("--projection-addr={}", pair.projections[0].addr);
    let (done, output) =
        verify::by_command(&["replay".to_owned(), addr, "--from-beginning".to_owned()]).await?;
    ensure!(done && output.contains("generation 2 is live; 0 of its rows"), "{output}");
    let told =
        output.contains(&format!("{lost} of them came from the log, because the topic lacks them"));
    ensure!(told || lost == 0, "{output}");
    let replay = ended(&views).await?;
    ensure!(
        replay["events_from_log"] == lost && generation(&views).await? == 2,
        "{lost} were lost: {replay}"
    );
    pair.holds(&[]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_replay_at_a_time_and_it_can_be_cancelled() -> anyhow::Result<()> {
    let mut pair = pair_with_history("cancelled_replay", 300).await?;
    let views = pair.projection()?;
    // The replay can't end without the command-service.
    pair.commands[0].kill().await?;
    let asked = ask(&views, json!({"from": "beginning"})).await?;
    let id = asked["id"].as_str().context("no id")?;
    let second = views.post("/admin/replays", None, &json!({"from": "beginning"})).await?;
    let (status, problem) = (second.status(), second.text().await?);
    ensure!(
        status == 409 && problem.contains("replay_running") && problem.contains(id),
        "{status}: {problem}"
    );
    let stream = views.get(&format!("/admin/replays/{id}/stream")).await?;
    let cancelled = reqwest::Client::new()
        .delete(format!("http://{}/admin/replays/{id}", pair.projections[0].addr));
    ensure!(cancelled.send().await?.status() == 202);
    let replay = ended(&views).await?;
    ensure!(replay["state"] == "cancelled", "{replay}");
    // The stream has told of it, and ends.
    let told = stream.text().await?;
    ensure!(told.starts_with("event: replay\ndata: {") && told.contains("\"cancelled\""), "{told}");
    pair.commands[0].start()?;
    pair.holds(&[]).await.map(drop)
}

/// Killed every now and then until the replay is done, 20 times.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_whose_service_is_killed_at_random_gets_to_its_end() -> anyhow::Result<()> {
    const REPLAYS: usize = 20;
    let mut pair = pair_with_history("killed_replay", 1_000).await?;
    let views = pair.projection()?;
    for round in 0..REPLAYS {
        let asked = eventually("a replay is asked for", async || {
            ask(&views, json!({"from": "beginning"})).await
        })
        .await?;
        let mut kills = 0;
        while !replays(&views)
            .await
            .is_ok_and(|all| all[0]["id"] == asked["id"] && all[0]["ended_at"].is_string())
        {
            sleep(Duration::from_millis(u64::from(Uuid::new_v4().as_bytes()[0]) * 2)).await;
            if kills < 3 {
                pair.projections[0].kill_and_start().await?;
                kills += 1;
            }
        }
        let replay = ended(&views).await?;
        let done = replay["state"] == "done" && replay["differences"] == 0;
        ensure!(done, "round {round}, {kills} kills: {replay}");
        verify::finds_nothing(&views).await?;
    }
    pair.holds(&[]).await?;
    let mut connection = PgConnection::connect(&pair.site.projection_database_url).await?;
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'views\\__%'")
            .fetch_one(&mut connection)
            .await?;
    ensure!(left == 2, "{left} generations are there: not the live one and the one before it");
    Ok(())
}

/// While 64 clients write, and read what they wrote.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_a_view_go_back_while_replays_run() -> anyhow::Result<()> {
    const CLIENTS: usize = 64;
    let mut pair = pair_with_history("rolling_replay", 300).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let (stop, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let seen: Arc<Mutex<HashMap<Uuid, i64>>> = Arc::default();
    let mut accounts = Vec::new();
    for _ in 0..CLIENTS / 4 {
        accounts.push(commands.open().await?);
    }
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (commands, views, account) =
            (commands.clone(), views.clone(), accounts[number % accounts.len()]);
        let (stop, reads, seen) = (Arc::clone(&stop), Arc::clone(&reads), Arc::clone(&seen));
        clients.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let written = commands.deposit(account, None, 1).await?["version"]
                    .as_i64()
                    .context("no version")?;
                let known =
                    seen.lock().unwrap_or_else(PoisonError::into_inner).get(&account).copied();
                let view =
                    views.json(&format!("/v1/accounts/{account}?min_version={written}")).await?;
                let version = view["version"].as_i64().context("no version")?;
                if version < written || known.is_some_and(|known| version < known) {
                    bail!("{account} went back from {known:?} or {written} to {version}");
                }
                seen.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .entry(account)
                    .and_modify(|newest| *newest = version.max(*newest))
                    .or_insert(version);
                reads.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(20)).await;
            }
            anyhow::Ok(())
        });
    }
    let standing = views.json("/admin/projection").await?;
    let partitions = standing["partitions"].as_array().context("no list")?;
    let back = |p: &Value| Some((p["partition"].to_string(), json!(p["offset"].as_i64()? / 2)));
    let halfway: serde_json::Map<String, Value> =
        partitions.iter().filter_map(back).take(3).collect();
    let beginning = json!({"from": "beginning"});
    for from in [
        &beginning,
        &json!({"from": "partition_offsets", "partition_offsets": halfway}),
        &beginning,
    ] {
        ask(&views, from.clone()).await?;
        let replay = ended(&views).await?;
        ensure!(replay["state"] == "done", "{from}: {replay}");
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    let reads = reads.load(Ordering::Relaxed);
    ensure!(reads > CLIENTS && generation(&views).await? == 3, "{reads} reads");
    pair.holds(&[]).await.map(drop)
}
