//! A consumer that stands still: readiness says which partition, since when and why; and it passes with its cause.

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
use crate::process::{Process, eventually};
use crate::site::{Pair, Site};

/// Seconds that a partition may stand in these tests.
const LIMIT: &str = "3";

async fn with_limit(name: &'static str) -> anyhow::Result<Pair> {
    let mut pair = Pair::start(Site::new(name).await?, 1).await?;
    let projection = &mut pair.projections[0];
    projection.stop().await?;
    projection.set("view-stall-seconds", LIMIT);
    projection.start()?;
    projection.ready().await?;
    Ok(pair)
}

/// The check of this name fails, and says so in these words, while something is done over and over.
async fn fails(
    service: &Client,
    check: &str,
    words: &[&str],
    meanwhile: impl AsyncFn() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    eventually("readiness says why", async || {
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

/// Another program reads the topic as a member of the views' own group, as `kafka-console-consumer --group` does.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_in_the_consumer_group_is_named_and_nothing_is_lost() -> anyhow::Result<()> {
    let mut pair = with_limit("stranger").await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let member: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &pair.site.kafka.brokers)
        .set("group.id", pair.site.name)
        .set("client.id", "console-consumer")
        .set("partition.assignment.strategy", "range")
        .set("session.timeout.ms", "6000")
        .create()?;
    member.subscribe(&[&pair.site.topic])?;
    let leaves = Arc::new(AtomicBool::new(false));
    let left = Arc::clone(&leaves);
    let reading = std::thread::spawn(move || {
        while !left.load(Ordering::Acquire) {
            let _ = member.poll(Duration::from_millis(50));
        }
    });
    let holds = async || {
        let words: &[&str] = if pair.site.kafka.has_admin() {
            &["partition", "is stalled at position", "`console-consumer` at", "stranger"]
        } else {
            &["partition", "is stalled at position", "has not been applied for"]
        };
        // There is something to apply in all partitions, also after the stranger was given some.
        fails(&views, "views", words, async || commands.open().await.map(drop)).await
    };
    let held = holds().await;
    leaves.store(true, Ordering::Release);
    reading.join().ok().context("the stranger panicked")?;
    held?;
    pair.holds(&[]).await.map(drop)
}

/// The broker stores what it is given by a codec of its own choice, and the views go on or say why they can't.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_compressed_by_any_codec_is_read() -> anyhow::Result<()> {
    let mut pair = with_limit("codecs").await?;
    if !pair.site.kafka.has_admin() {
        // The in-process broker has no settings of topics.
        return pair.holds(&[]).await.map(drop);
    }
    let (commands, views) = (pair.command()?, pair.projection()?);
    let (admin, options) = pair.site.admin()?;
    let topic = pair.site.topic.clone();
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
async fn a_right_that_kafka_does_not_grant_is_named() -> anyhow::Result<()> {
    let mut pair = with_limit("kafka_rights").await?;
    if !pair.site.kafka.has_admin() {
        // The in-process broker grants all there is.
        return pair.holds(&[]).await.map(drop);
    }
    let (topic, group) = (pair.site.topic.clone(), pair.site.name.to_owned());
    for (option, name, words) in [
        ("--group", &group, "no right to the consumer group"),
        ("--topic", &topic, "no right to read the topic"),
    ] {
        pair.site.kafka.deny_reads(&["--add", option, name]).await?;
        let projection = &mut pair.projections[0];
        projection.kill_and_start().await?;
        let views = projection.client()?;
        eventually("readiness names the right", async || {
            let health = views.get("/health/ready").await?.text().await?;
            ensure!(health.contains(words), "{health}");
            Ok(())
        })
        .await?;
        pair.site.kafka.deny_reads(&["--remove", option, name]).await?;
    }
    let account = pair.command()?.open().await?;
    eventually("the views go on", async || {
        pair.projection()?.json(&format!("/v1/accounts/{account}")).await.map(drop)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_an_account_that_is_not_there_is_an_error() -> anyhow::Result<()> {
    let pair = Pair::start(Site::new("replay_unknown").await?, 1).await?;
    let unknown = uuid::Uuid::new_v4();
    let asked = json!({"from": "account", "account_id": unknown});
    let response = pair.projection()?.post("/admin/replays", None, &asked).await?;
    let (status, problem) = (response.status(), response.text().await?);
    ensure!(status == 404 && problem.contains("account_not_found"), "{status}: {problem}");
    let log = crate::ground::directory()?.join("replay_unknown.out");
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

/// A broker that expects TLS, and is spoken to in plain text: it answers with an alert, and closes.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_expects_tls_is_named_in_readiness() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let broker = listener.local_addr()?.to_string();
    // Ends with the process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || alert(stream));
        }
    });
    let mut pair = Pair::start(Site::new("refused_tls").await?, 1).await?;
    let projection = &mut pair.projections[0];
    projection.stop().await?;
    projection.set("kafka-brokers", &broker);
    projection.start()?;
    let views = projection.client()?;
    eventually("readiness tells of the broker", async || {
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

/// Answers whatever is asked with the alert of a failed handshake, as TLS does, and closes.
fn alert(mut stream: TcpStream) -> std::io::Result<()> {
    let _ = stream.read(&mut [0; 1024])?;
    stream.write_all(&[21, 3, 3, 0, 2, 2, 40])?;
    std::thread::sleep(Duration::from_millis(200));
    Ok(())
}

/// Every metric is described, and counters are there before their first event.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_help_and_counters_begin_at_zero() -> anyhow::Result<()> {
    let pair = Pair::start(Site::new("metrics").await?, 1).await?;
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
        // A second request, so that requests are counted.
        service.get("/metrics").await?;
        let text = service.get("/metrics").await?.text().await?;
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
