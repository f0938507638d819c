//! Records of the topic that nobody's relay has written. Whoever can write to Kafka can write anything; none of it stops a
//! partition, and what it changes in the views does not last: the log wins.

use std::time::Duration;

use anyhow::{Context, ensure};
use passbook_shared::cloud_event;
use passbook_shared::partition::partition_of;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::RecordedEvent;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::client::Client;
use crate::ground::PARTITIONS;
use crate::process::eventually;
use crate::site::{Pair, Site};
use crate::truth::read_log;
use crate::verify;

/// Somebody with access to Kafka.
pub(crate) struct Forger {
    topic: String,
    producer: FutureProducer,
    pub(crate) store: Uuid,
}

impl Forger {
    pub(crate) async fn new(site: &Site) -> anyhow::Result<Self> {
        let mut connection = PgConnection::connect(&site.database_url).await?;
        let store = sqlx::query_scalar("SELECT store_id FROM passbook.store")
            .fetch_one(&mut connection)
            .await?;
        let producer =
            rdkafka::ClientConfig::new().set("bootstrap.servers", &site.kafka.brokers).create()?;
        Ok(Self { topic: site.topic.clone(), producer, store })
    }

    async fn write(&self, partition: i16, document: &[u8]) -> anyhow::Result<()> {
        let record =
            FutureRecord::<str, _>::to(&self.topic).partition(partition.into()).payload(document);
        self.producer.send(record, Duration::from_secs(30)).await.map_err(|(error, _)| error)?;
        Ok(())
    }

    /// Writes an event, as the relay of a store in an epoch would.
    async fn event(
        &self,
        partition: i16,
        event: &RecordedEvent,
        store: Uuid,
        epoch: i32,
    ) -> anyhow::Result<()> {
        let mut document = Vec::new();
        cloud_event::encode(event, store, epoch, &mut document)?;
        self.write(partition, &document).await
    }

    /// The newest event of the log in the partition of an account, once the topic has it: before the relay has published
    /// anything, a forged event is a fork.
    async fn newest(&self, commands: &Client, account: Uuid) -> anyhow::Result<RecordedEvent> {
        let partition = partition_of(account, PARTITIONS.cast_signed());
        let newest = read_log(commands)
            .await?
            .swap_remove(usize::try_from(partition)?)
            .pop()
            .context("no event")?;
        eventually("the topic has the log's newest event", async || {
            let (topic, producer) = (self.topic.clone(), self.producer.clone());
            let ends = move || {
                producer.client().fetch_watermarks(&topic, partition.into(), Duration::from_secs(5))
            };
            let (_, end) = tokio::task::spawn_blocking(ends).await??;
            ensure!(end >= newest.position.number, "it ends at offset {end}");
            Ok(())
        })
        .await?;
        Ok(newest)
    }

    /// Writes what looks like the deposit that follows on an event.
    pub(crate) async fn next(
        &self,
        last: &RecordedEvent,
        amount: i64,
    ) -> anyhow::Result<RecordedEvent> {
        let forged = deposit(last, 1, amount);
        self.event(forged.position.partition, &forged, self.store, 0).await?;
        Ok(forged)
    }
}

/// A deposit so many positions and versions behind an event of its account.
fn deposit(last: &RecordedEvent, further: i64, amount: i64) -> RecordedEvent {
    let Position { partition, number } = last.position;
    RecordedEvent {
        event_id: Uuid::new_v4(),
        event_type: "MoneyDeposited".to_owned(),
        version: last.version + further,
        position: Position { partition, number: number + further },
        schema_version: 1,
        data: RawValue::from_string(json!({ "amount": amount }).to_string()).unwrap_or_default(),
        ..last.clone()
    }
}

async fn balance(views: &Client, account: Uuid) -> anyhow::Result<Value> {
    Ok(views.json(&format!("/v1/accounts/{account}")).await?["balance"].clone())
}

/// The views get to have this balance, by themselves.
async fn comes_to(views: &Client, account: Uuid, expected: i64) -> anyhow::Result<()> {
    eventually("the views have what the log has", async || {
        let found = balance(views, account).await?;
        ensure!(found == expected, "{found} where the log has {expected}");
        Ok(())
    })
    .await
}

async fn metric(views: &Client, name: &str) -> anyhow::Result<u64> {
    let metrics = views.get("/metrics").await?.text().await?;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .with_context(|| format!("no {name}"))?;
    Ok(line.trim().parse()?)
}

async fn unusable(views: &Client, kind: &str) -> anyhow::Result<u64> {
    metric(views, &format!("passbook_topic_unusable_records_total{{kind=\"{kind}\"}}")).await
}

/// All that can't be used, 1,000 records of garbage among it.
async fn write_unusable(
    forger: &Forger,
    last: &RecordedEvent,
    first: &RecordedEvent,
) -> anyhow::Result<()> {
    let partition = last.position.partition;
    let other = (partition + 1) % PARTITIONS.cast_signed();
    let stranger = Uuid::new_v4();
    let writes =
        (0..1_000).map(|n: u32| async move { forger.write(partition, &n.to_be_bytes()).await });
    futures_util::future::try_join_all(writes).await?;
    forger.event(partition, &deposit(last, 1, 1), stranger, 0).await?;
    // Its account is of another partition; and it says itself that it is of another.
    let misplaced = Position { partition: other, number: last.position.number + 1 };
    forger
        .event(
            other,
            &RecordedEvent { position: misplaced, ..deposit(last, 1, 1) },
            forger.store,
            0,
        )
        .await?;
    forger.event(other, &deposit(last, 1, 1), forger.store, 0).await?;
    forger.event(partition, first, forger.store, 0).await?;
    forger.event(partition, &deposit(last, 1, 1), forger.store, 1_000).await?;
    let mut farthest = deposit(last, 1_000, 1);
    forger.event(partition, &farthest, forger.store, 0).await?;
    farthest.position.number = i64::MAX;
    forger.event(partition, &farthest, forger.store, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_can_not_be_used_are_counted_and_passed_over() -> anyhow::Result<()> {
    let mut pair = Pair::start(Site::new("unusable").await?, 1).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let forger = Forger::new(&pair.site).await?;
    let account = commands.open().await?;
    commands.deposit(account, None, 5).await?;
    views.json(&format!("/v1/accounts/{account}?min_version=2")).await?;
    for kind in [
        "undecodable",
        "foreign_store",
        "wrong_partition",
        "beyond_log",
        "unknown_epoch",
        "given_up",
    ] {
        ensure!(unusable(&views, kind).await? == 0, "{kind} is not registered at 0");
    }
    let last = forger.newest(&commands, account).await?;
    let first = RecordedEvent { position: Position { number: 1, ..last.position }, ..last.clone() };
    write_unusable(&forger, &last, &first).await?;
    commands.deposit(account, None, 7).await?;
    views.json(&format!("/v1/accounts/{account}?min_version=3")).await?;
    eventually("all of it is counted", async || {
        let expected = [
            ("undecodable", 1_000),
            ("foreign_store", 1),
            ("wrong_partition", 2),
            ("unknown_epoch", 1),
            ("beyond_log", 2),
        ];
        for (kind, count) in expected {
            let found = unusable(&views, kind).await?;
            ensure!(found == count, "{kind}: {found}, not {count}");
        }
        Ok(())
    })
    .await?;
    eventually("readiness names one of them, with its place", async || {
        let health: Value = serde_json::from_str(&views.get("/health/ready").await?.text().await?)?;
        let check = &health["checks"]["topic"];
        let reason = check["reason"].as_str().unwrap_or_default();
        ensure!(health["ready"] == true && check["state"] == "degraded", "{health}");
        let place = format!("of partition {}", last.position.partition);
        ensure!(
            reason.contains("undecodable 1000")
                && reason.contains("at offset ")
                && reason.contains(&place),
            "{health}"
        );
        Ok(())
    })
    .await?;
    let state = views.json("/admin/projection").await?;
    ensure!(state["quarantined"] == 0, "{state}");

    // Nothing of it is read again after a restart, or waited for.
    pair.projections[0].kill_and_start().await?;
    pair.projections[0].ready().await?;
    commands.deposit(account, None, 1).await?;
    views.json(&format!("/v1/accounts/{account}?min_version=4")).await?;
    pair.holds(&[]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_can_not_be_used_are_passed_over_by_services_that_start() -> anyhow::Result<()>
{
    let mut pair = Pair::start(Site::new("unusable_at_start").await?, 1).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let forger = Forger::new(&pair.site).await?;
    let account = commands.open().await?;
    views.json(&format!("/v1/accounts/{account}?min_version=1")).await?;
    let last = forger.newest(&commands, account).await?;
    pair.commands[0].stop().await?;
    pair.projections[0].stop().await?;
    for _ in 0..60 {
        forger.write(last.position.partition, b"\0\xff{").await?;
    }
    pair.commands[0].start()?;
    pair.commands[0].ready().await?;
    forger.event(last.position.partition, &deposit(&last, 1, 1), Uuid::new_v4(), 0).await?;
    pair.projections[0].start()?;
    pair.projections[0].ready().await?;
    commands.deposit(account, None, 3).await?;
    views.json(&format!("/v1/accounts/{account}?min_version=2")).await?;
    pair.holds(&[]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_event_does_not_last_and_no_replay_brings_it_back() -> anyhow::Result<()> {
    let mut pair = Pair::start(Site::new("forged").await?, 1).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let forger = Forger::new(&pair.site).await?;
    let account = commands.open().await?;
    commands.deposit(account, None, 5).await?;
    views.json(&format!("/v1/accounts/{account}?min_version=2")).await?;

    // The log has nothing there, and gets nothing.
    let forged = forger.next(&forger.newest(&commands, account).await?, 777).await?;
    forger.next(&forged, 778).await?;
    eventually("it is applied, for a moment", async || {
        ensure!(
            metric(&views, "passbook_projection_corrections_total").await? > 0,
            "not corrected yet"
        );
        Ok(())
    })
    .await?;
    comes_to(&views, account, 1_000_005).await?;
    pair.projections[0].ready().await?;

    // The log gets other events there.
    let forged = forger.next(&forger.newest(&commands, account).await?, 999).await?;
    forger.next(&forged, 998).await?;
    for amount in [1, 2, 3] {
        commands.deposit(account, None, amount).await?;
    }
    comes_to(&views, account, 1_000_011).await?;
    ensure!(metric(&views, "passbook_projection_corrected_events_total").await? >= 3);
    pair.holds(&[]).await?;

    for (generation, from) in [
        (2, json!({"from": "beginning"})),
        (2, json!({"from": "partition_offsets", "partition_offsets": offsets(account)})),
    ] {
        let replay = replayed(&views, &from).await?;
        comes_to(&views, account, 1_000_011).await?;
        let state = views.json("/admin/projection").await?;
        ensure!(
            state["generation"] == generation && replay["differences"].as_i64().unwrap_or(0) == 0,
            "{replay}"
        );
        verify::finds_nothing(&views).await?;
    }
    pair.projections[0].ready().await
}

fn offsets(account: Uuid) -> Value {
    json!({ partition_of(account, PARTITIONS.cast_signed()).to_string(): 0 })
}

async fn replayed(views: &Client, from: &Value) -> anyhow::Result<Value> {
    let asked = views.post("/admin/replays", None, from).await?;
    ensure!(asked.status() == 202, "{}", asked.text().await?);
    let id = asked.json::<Value>().await?["id"].clone();
    let path = format!("/admin/replays/{}", id.as_str().context("no id")?);
    eventually("the replay is done", async || {
        let replay = views.json(&path).await?;
        ensure!(replay["state"] == "done", "{replay}");
        Ok(replay)
    })
    .await
}

/// As [`crate::truth`] does not: the views are new, and all that they are made from is the topic.
#[tokio::test(flavor = "multi_thread")]
async fn new_views_from_a_topic_with_forged_events_come_to_be_the_logs() -> anyhow::Result<()> {
    let mut pair = Pair::start(Site::new("forged_before").await?, 1).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let forger = Forger::new(&pair.site).await?;
    let account = commands.open().await?;
    views.json(&format!("/v1/accounts/{account}?min_version=1")).await?;
    forger.next(&forger.newest(&commands, account).await?, 777).await?;
    for amount in 1..=20 {
        commands.deposit(account, None, amount).await?;
    }
    comes_to(&views, account, 1_000_210).await?;

    pair.projections[0].stop().await?;
    let mut connection = PgConnection::connect(&pair.site.projection_database_url).await?;
    let empty = "DELETE FROM views_1.history; DELETE FROM views_1.accounts; DELETE FROM views_1.quarantine;
                 UPDATE views_1.checkpoints SET position = 0, event_id = NULL, kafka_offset = NULL, recorded_at = NULL;
                 DELETE FROM projection.confirmed; DELETE FROM projection.source";
    sqlx::raw_sql(empty).execute(&mut connection).await?;
    pair.projections[0].start()?;
    pair.projections[0].ready().await?;
    comes_to(&views, account, 1_000_210).await?;
    pair.holds(&[]).await.map(drop)
}
