//! Stalled consumers: readiness names the partition, the time and the cause, and recovers with the
//! cause.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use rdkafka::ClientConfig;
use rdkafka::admin::{AlterConfig, ResourceSpecifier};
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::{Value, json};

use crate::client::Client;
use crate::environment::{Environment, Pair};
use crate::process::{Process, eventually};

/// Seconds after which a partition counts as stalled in these tests.
const LIMIT: &str = "3";

async fn with_limit(name: &'static str) -> anyhow::Result<Pair> {
    let mut pair = Pair::start(Environment::new(name).await?, 1).await?;
    let projection = &mut pair.projections[0];
    projection.stop().await?;
    projection.set("view-stall-seconds", LIMIT);
    projection.start()?;
    projection.ready().await?;
    Ok(pair)
}

/// Repeats `meanwhile` until the check `check` fails with a reason that has these words.
async fn fails(
    service: &Client,
    check: &str,
    words: &[&str],
    meanwhile: impl AsyncFn() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    eventually("readiness reports why", async || {
        meanwhile().await?;
        let response = service.get("/health/ready").await?;
        let (status, health) = (response.status(), response.text().await?);
        let health: Value = serde_json::from_str(&health)?;
        let reason = health["checks"][check]["reason"].as_str().unwrap_or_default();
        ensure!(
            status == 503 && words.iter().all(|word| reason.contains(word)),
            "{status}: {health}"
        );
        Ok(())
    })
    .await
}

/// Joins the views' own consumer group, as `kafka-console-consumer --group` does.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_in_the_consumer_group_is_named_and_nothing_is_lost() -> anyhow::Result<()> {
    let mut pair = with_limit("stranger").await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let member: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &pair.environment.kafka.brokers)
        .set("group.id", pair.environment.name)
        .set("client.id", "console-consumer")
        .set("partition.assignment.strategy", "range")
        .set("session.timeout.ms", "6000")
        .create()?;
    member.subscribe(&[&pair.environment.topic])?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let reading = std::thread::spawn(move || {
        while !stopped.load(Ordering::Acquire) {
            let _ = member.poll(Duration::from_millis(50));
        }
    });
    let stalls = async || {
        let words: &[&str] = if pair.environment.kafka.has_admin() {
            &["partition", "is stalled at position", "`console-consumer` at", "stranger"]
        } else {
            &["partition", "is stalled at position", "has not been applied for"]
        };
        // Goes on until the stranger has partitions with unapplied events.
        fails(&views, "views", words, async || commands.open().await.map(drop)).await
    };
    let stalled = stalls().await;
    stop.store(true, Ordering::Release);
    reading.join().ok().context("the stranger panicked")?;
    stalled?;
    pair.assert_consistent(&[]).await.map(drop)
}

/// Has the broker recompress the records with each codec.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(containers), ignore = "needs Kafka's admin API: PASSBOOK_TEST_CONTAINERS=always")]
async fn a_topic_compressed_by_any_codec_is_read() -> anyhow::Result<()> {
    let pair = with_limit("codecs").await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let (admin, options) = pair.environment.admin()?;
    let topic = pair.environment.topic.clone();
    let store_as = async |codec: &str| {
        let change =
            AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("compression.type", codec);
        for altered in admin.alter_configs([&change], &options).await? {
            altered.map_err(|(_, code)| anyhow::anyhow!("{codec}: {code}"))?;
        }
        anyhow::Ok(())
    };
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        store_as(codec).await?;
        let account = commands.open().await?;
        views.json(&format!("/v1/accounts/{account}?min_version=1")).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(containers), ignore = "needs Kafka's admin API: PASSBOOK_TEST_CONTAINERS=always")]
async fn a_missing_kafka_right_is_named() -> anyhow::Result<()> {
    let mut pair = with_limit("kafka_rights").await?;
    let (topic, group) = (pair.environment.topic.clone(), pair.environment.name.to_owned());
    for (option, name, words) in [
        ("--group", &group, "no right to the consumer group"),
        ("--topic", &topic, "no right to read the topic"),
    ] {
        pair.environment.kafka.deny_reads(&["--add", option, name]).await?;
        let projection = &mut pair.projections[0];
        projection.kill_and_start().await?;
        let views = projection.client()?;
        eventually("readiness names the missing right", async || {
            let health = views.get("/health/ready").await?.text().await?;
            ensure!(health.contains(words), "{health}");
            Ok(())
        })
        .await?;
        pair.environment.kafka.deny_reads(&["--remove", option, name]).await?;
    }
    let account = pair.command()?.open().await?;
    eventually("the views continue", async || {
        pair.projection()?.json(&format!("/v1/accounts/{account}")).await.map(drop)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_an_unknown_account_is_refused() -> anyhow::Result<()> {
    let pair = Pair::start(Environment::new("replay_unknown").await?, 1).await?;
    let unknown = uuid::Uuid::new_v4();
    let replay = json!({"from": "account", "account_id": unknown});
    let response = pair.projection()?.post("/admin/replays", None, &replay).await?;
    let (status, problem) = (response.status(), response.text().await?);
    ensure!(status == 404 && problem.contains("account_not_found"), "{status}: {problem}");
    let log = crate::infrastructure::directory()?.join("replay_unknown.out");
    let address = format!("--projection-addr={}", pair.projections[0].addr);
    let mut process =
        Process::start(&["replay".to_owned(), address, format!("--account={unknown}")], &log)?;
    let status = process.ended().await?;
    ensure!(
        !status.success() && process.output().contains("account_not_found"),
        "{status}: {}",
        process.output()
    );
    Ok(())
}

/// Stands in for a broker that expects TLS: it answers plain text with an alert, and closes.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_expects_tls_is_named_in_readiness() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let broker = listener.local_addr()?.to_string();
    // The thread ends with the process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || alert(stream));
        }
    });
    let mut pair = Pair::start(Environment::new("refused_tls").await?, 1).await?;
    let projection = &mut pair.projections[0];
    projection.stop().await?;
    projection.set("kafka-brokers", &broker);
    projection.start()?;
    let views = projection.client()?;
    eventually("readiness reports the broker's refusal", async || {
        let health: Value = serde_json::from_str(&views.get("/health/ready").await?.text().await?)?;
        let reason = health["checks"]["kafka"]["reason"].as_str().unwrap_or_default();
        ensure!(
            reason.contains("the Kafka client said") && reason.contains("Disconnected"),
            "{health}"
        );
        Ok(())
    })
    .await
}

/// Answers any request with a TLS alert of a failed handshake, and closes.
fn alert(mut stream: TcpStream) -> std::io::Result<()> {
    let _ = stream.read(&mut [0; 1024])?;
    stream.write_all(&[21, 3, 3, 0, 2, 2, 40])?;
    std::thread::sleep(Duration::from_millis(200));
    Ok(())
}

/// Checks that every metric is described, and that counters exist before their first event.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_help_and_counters_begin_at_zero() -> anyhow::Result<()> {
    let pair = Pair::start(Environment::new("metrics").await?, 1).await?;
    for (service, counters) in [
        (pair.command()?, ["passbook_events_appended_total 0", "passbook_relay_published_total 0"]),
        (
            pair.projection()?,
            [
                "passbook_projection_quarantined_total 0",
                "passbook_http_connections_refused_total 0",
            ],
        ),
    ] {
        // A request counts once it is answered.
        service.get("/health/live").await?;
        let text = service.metrics().await?;
        for counter in counters {
            ensure!(text.lines().any(|line| line == counter), "no `{counter}`: {text}");
        }
        let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        for name in names {
            ensure!(text.contains(&format!("# HELP {name} ")), "{name} has no HELP");
        }
        ensure!(text.contains(r#"check="postgres"} 0"#), "{text}");
    }
    Ok(())
}
