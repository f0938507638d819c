use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use passbook_shared::tls::testing::Issued;

use super::tokens::TokenEndpoint;
use super::{authority, files, refuses};
use crate::environment::{Environment, Pair, Service};
use crate::infrastructure::{EncryptedKafka, Kafka};

/// Longest time until a service ends that waits for nothing.
const AT_ONCE: Duration = Duration::from_secs(30);
const PASSWORD: &str = "kafka,kret=1";

/// File of options of the Kafka client.
struct Options(PathBuf);

impl Options {
    fn write(&self, lines: &[&str]) -> anyhow::Result<()> {
        Ok(std::fs::write(&self.0, lines.join("\n"))?)
    }

    fn scram(&self, ca: &Path, password: &str) -> anyhow::Result<()> {
        let (ca, password) =
            (format!("ssl.ca.location={}", ca.display()), format!("sasl.password={password}"));
        let [protocol, mechanism] = ["security.protocol=SASL_SSL", "sasl.mechanisms=SCRAM-SHA-512"];
        self.write(&[protocol, &ca, mechanism, "sasl.username=passbook", &password])
    }

    fn oauth(&self, ca: &Path, endpoint: &TokenEndpoint, secret: &str) -> anyhow::Result<()> {
        let ca = ca.display();
        self.write(&[
            "security.protocol=SASL_SSL",
            &format!("ssl.ca.location={ca}"),
            "sasl.mechanisms=OAUTHBEARER",
            "sasl.oauthbearer.method=oidc",
            "sasl.oauthbearer.client.id=passbook",
            &format!("sasl.oauthbearer.client.secret={secret}"),
            &format!("sasl.oauthbearer.token.endpoint.url={}", endpoint.url),
            &format!("https.ca.location={ca}"),
        ])
    }

    fn ssl(&self, ca: &Path) -> anyhow::Result<()> {
        let ca = format!("ssl.ca.location={}", ca.display());
        // Small batches would not be compressed.
        self.write(&["security.protocol=SSL", &ca, "compression.type=zstd"])
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(containers), ignore = "needs Kafka with TLS: PASSBOOK_TEST_CONTAINERS=always")]
async fn a_wrong_certificate_or_password_of_kafka_ends_the_start() -> anyhow::Result<()> {
    let files = files("kafka_tls")?;
    let (ours, ca) = authority("ours", &files)?;
    let (_, other) = authority("other", &files)?;
    let names = ["localhost", "127.0.0.1"];
    let [good, elsewhere, expired]: [Issued; 3] =
        [ours.issue(&names)?, ours.issue(&["kafka.example"])?, ours.issue_for(&names, -1)?];
    let kafka = EncryptedKafka::start(&good, &elsewhere, &expired).await?;
    kafka.add_user("passbook", PASSWORD).await?;
    let options = Options(files.join("kafka.options"));

    options.ssl(&ca)?;
    let mut environment = Environment::unprepared("kafka_tls", Kafka::at(&kafka.ssl)).await?;
    environment.kafka_options_file = Some(options.0.clone());
    environment.migrate().await?;
    let mut pair = Pair::start(environment, 1).await?;
    let client = pair.command()?;
    let account = client.open().await?;
    for _ in 0..50 {
        client.deposit(account, None, 25).await?;
    }
    pair.assert_consistent(&[]).await?;

    for service in pair.commands.iter_mut().chain(&mut pair.projections) {
        service.stop().await?;
        let words = ["Kafka and this service do not accept each other", "certificate"];
        options.ssl(&ca)?;
        ends(service, &kafka.elsewhere, &words).await?;
        ends(service, &kafka.expired, &words).await?;
        options.ssl(&other)?;
        ends(service, &kafka.ssl, &words).await?;
        options.ssl(Path::new("/no/such/file"))?;
        ends(service, &kafka.ssl, &["KAFKA_OPTIONS"]).await?;
        options.scram(&ca, "kret-kret")?;
        ends(service, &kafka.scram, &[words[0], "uthentication failed"]).await?;
        ensure!(!service.output().contains("kret"), "{}", service.output());
        options.scram(&ca, PASSWORD)?;
        service.start()?;
        service.ready().await?;
    }
    client.deposit(account, None, 25).await?;
    pair.assert_consistent(&[]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(containers), ignore = "needs Kafka with TLS: PASSBOOK_TEST_CONTAINERS=always")]
async fn services_renew_their_tokens_and_a_refused_client_ends_the_start() -> anyhow::Result<()> {
    let files = files("kafka_oauth")?;
    let (ours, ca) = authority("ours", &files)?;
    let good = ours.issue(&["localhost", "127.0.0.1"])?;
    let kafka = EncryptedKafka::start(&good, &good, &good).await?;
    let endpoint = TokenEndpoint::start(&ours, &files).await?;
    let options = Options(files.join("kafka.options"));
    options.oauth(&ca, &endpoint, PASSWORD)?;
    let mut environment = Environment::unprepared("kafka_oauth", Kafka::at(&kafka.oauth)).await?;
    environment.kafka_options_file = Some(options.0.clone());
    environment.migrate().await?;
    let mut pair = Pair::start(environment, 1).await?;
    let client = pair.command()?;
    let account = client.open().await?;
    // Longer than the lifetime of several tokens.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(20) {
        client.deposit(account, None, 25).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    pair.assert_consistent(&[]).await?;
    ensure!(endpoint.issued() > 6, "{} tokens", endpoint.issued());

    options.oauth(&ca, &endpoint, "kret-kret")?;
    for service in pair.commands.iter_mut().chain(&mut pair.projections) {
        service.stop().await?;
        ends(service, &kafka.oauth, &["no OAuth token", "refuses the client: 401"]).await?;
        ensure!(!service.output().contains("kret"), "{}", service.output());
    }
    Ok(())
}

/// Starts a service with other brokers, which ends it soon for a reason with these words.
async fn ends(service: &mut Service, brokers: &str, words: &[&str]) -> anyhow::Result<()> {
    let began = Instant::now();
    service.set("kafka-brokers", brokers);
    refuses(service, words).await.with_context(|| brokers.to_owned())?;
    ensure!(began.elapsed() < AT_ONCE, "{brokers}: {:?}", began.elapsed());
    Ok(())
}
