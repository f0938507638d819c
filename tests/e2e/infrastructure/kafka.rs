//! Kafka: one for all tests, or one for a test that tampers with it.

use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use rdkafka::consumer::{BaseConsumer, Consumer};
use testcontainers::core::IntoContainerPort;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};
use tokio::sync::OnceCell;

use super::{PARTITIONS, containers, directory, first_lines, share};
use crate::process::{Process, eventually, free_address};

/// Topics of an in-process broker. A real Kafka gets one for each test.
pub(crate) const TOPICS: [&str; 2] = ["passbook.events", "passbook.other"];

/// Options of a JVM that lives for a second: compiling less and collecting simply, it starts
/// sooner.
pub(super) const QUICK_JVM: [&str; 2] = [
    "KAFKA_HEAP_OPTS=-Xmx256m -XX:TieredStopAtLevel=1",
    "KAFKA_JVM_PERFORMANCE_OPTS=-XX:+UseSerialGC",
];

/// Kafka container or in-process broker.
pub(crate) struct Kafka {
    /// Bootstrap servers.
    pub(crate) brokers: String,
    kind: Kind,
    // A container that is not shared: dropping it removes it.
    _own: Option<ContainerAsync<GenericImage>>,
}

enum Kind {
    /// Id of the container.
    Container(String),
    Broker(Box<Process>),
    /// Container that the test handles.
    Elsewhere,
}

impl Kafka {
    /// Returns the shared Kafka container, or a broker of its own.
    pub(crate) async fn shared() -> anyhow::Result<Self> {
        static SHARED: OnceCell<(String, String)> = OnceCell::const_new();
        if !containers()? {
            return broker().await;
        }
        let start = async || {
            let (brokers, container) = kafka_container().await?;
            let id = container.id().to_owned();
            share(container)?;
            anyhow::Ok((brokers, id))
        };
        let (brokers, id) = SHARED.get_or_try_init(start).await?.clone();
        Ok(Self { brokers, kind: Kind::Container(id), _own: None })
    }

    /// Starts a Kafka that only this test uses and may tamper with.
    pub(crate) async fn own() -> anyhow::Result<Self> {
        if !containers()? {
            return broker().await;
        }
        let (brokers, container) = kafka_container().await?;
        Ok(Self {
            brokers,
            kind: Kind::Container(container.id().to_owned()),
            _own: Some(container),
        })
    }

    /// Returns another Kafka, by its bootstrap servers.
    pub(crate) fn at(brokers: &str) -> Self {
        Self { brokers: brokers.to_owned(), kind: Kind::Elsewhere, _own: None }
    }

    /// Returns whether topics can be created, trimmed and deleted.
    pub(crate) fn has_admin(&self) -> bool {
        matches!(self.kind, Kind::Container(_) | Kind::Elsewhere)
    }

    /// Runs one of Kafka's own tools, `kafka-….sh`, in its container.
    pub(crate) async fn tool(&self, name: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let Kind::Container(id) = &self.kind else { bail!("the in-process broker has no tools") };
        let path = format!("/opt/kafka/bin/{name}");
        let [heap, performance] = QUICK_JVM;
        let jvm = ["--env", heap, "--env", performance];
        let tool = [id, &path, "--bootstrap-server", "localhost:9094"];
        docker(&[&["exec"], &jvm[..], &tool, arguments].concat()).await
    }

    /// Returns the number of members of a consumer group.
    pub(crate) async fn members(&self, group: &'static str) -> anyhow::Result<usize> {
        let brokers = self.brokers.clone();
        let count = move || {
            let consumer: BaseConsumer =
                rdkafka::ClientConfig::new().set("bootstrap.servers", brokers).create()?;
            let groups = consumer.fetch_group_list(Some(group), Duration::from_secs(5))?;
            Ok(groups.groups().iter().map(|group| group.members().len()).sum())
        };
        tokio::task::spawn_blocking(count).await?
    }

    /// Denies reading to everybody, or lifts that rule again. `rule` is `--add` or `--remove`, a
    /// kind (`--topic`, `--group`) and a name.
    pub(crate) async fn deny_reads(&self, rule: &[&str]) -> anyhow::Result<()> {
        let Kind::Container(id) = &self.kind else { bail!("the in-process broker has no ACLs") };
        let class = "org.apache.kafka.tools.AclCommand";
        let tool = [
            "exec",
            id,
            "java",
            "-cp",
            "/opt/kafka/libs/*",
            class,
            "--bootstrap-server",
            "localhost:9094",
        ];
        let everybody = ["--deny-principal", "User:*", "--operation", "Read", "--force"];
        docker(&[&tool[..], &everybody[..], rule].concat()).await.map(drop)
    }

    /// Suspends it: connections stay open and get no answers.
    pub(crate) async fn pause(&self) -> anyhow::Result<()> {
        match &self.kind {
            Kind::Container(id) => {
                // On a busy machine, freezing a container can fail the first time.
                eventually("Kafka is paused", async || docker(&["pause", id]).await.map(drop)).await
            }
            Kind::Broker(process) => process.signal(Signal::SIGSTOP),
            Kind::Elsewhere => bail!("the test handles this Kafka"),
        }
    }

    /// Resumes it.
    pub(crate) async fn resume(&self) -> anyhow::Result<()> {
        match &self.kind {
            Kind::Container(id) => docker(&["unpause", id]).await.map(drop),
            Kind::Broker(process) => process.signal(Signal::SIGCONT),
            Kind::Elsewhere => bail!("the test handles this Kafka"),
        }
    }
}

async fn kafka_container() -> anyhow::Result<(String, ContainerAsync<GenericImage>)> {
    // Kafka advertises this address, so it must be known before the start.
    let address = free_address()?;
    let settings = [
        ("NODE_ID", "1"),
        ("PROCESS_ROLES", "broker,controller"),
        ("CONTROLLER_QUORUM_VOTERS", "1@localhost:9093"),
        ("CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
        // TOOLS is for Kafka's own tools, inside the container.
        ("LISTENERS", "PLAINTEXT://:9092,TOOLS://:9094,CONTROLLER://:9093"),
        ("ADVERTISED_LISTENERS", &format!("PLAINTEXT://{address},TOOLS://localhost:9094")),
        (
            "LISTENER_SECURITY_PROTOCOL_MAP",
            "PLAINTEXT:PLAINTEXT,TOOLS:PLAINTEXT,CONTROLLER:PLAINTEXT",
        ),
        ("INTER_BROKER_LISTENER_NAME", "PLAINTEXT"),
        ("AUTO_CREATE_TOPICS_ENABLE", "false"),
        ("OFFSETS_TOPIC_REPLICATION_FACTOR", "1"),
        ("TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1"),
        ("TRANSACTION_STATE_LOG_MIN_ISR", "1"),
        ("GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
        // Allows all that no rule denies.
        ("AUTHORIZER_CLASS_NAME", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
        ("ALLOW_EVERYONE_IF_NO_ACL_FOUND", "true"),
    ];
    // As root, so that the start script may write its files.
    let image =
        GenericImage::new("apache/kafka", "4.3.1").with_mapped_port(address.port(), 9092.tcp());
    let mut image = image.with_user("root");
    for (name, value) in settings {
        image = image.with_env_var(format!("KAFKA_{name}"), value);
    }
    let container = image.start().await.context("the Kafka container does not start")?;
    let brokers = address.to_string();
    eventually("Kafka answers", async || {
        let brokers = brokers.clone();
        tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer =
                rdkafka::ClientConfig::new().set("bootstrap.servers", brokers).create()?;
            anyhow::Ok(consumer.fetch_metadata(None, Duration::from_secs(2)).map(drop)?)
        })
        .await?
    })
    .await?;
    Ok((brokers, container))
}

async fn broker() -> anyhow::Result<Kafka> {
    let log = tempfile::Builder::new()
        .prefix("broker")
        .tempfile_in(directory()?)?
        .into_temp_path()
        .keep()?;
    let mut arguments = vec!["broker".to_owned(), "--until-stdin-closes".to_owned()];
    arguments.extend(TOPICS.iter().map(|topic| format!("--topic={topic}")));
    arguments.push(format!("--partitions={PARTITIONS}"));
    let mut process = Process::start(&arguments, &log)?;
    let brokers = first_lines(&mut process, 1).await?.remove(0);
    Ok(Kafka { brokers, kind: Kind::Broker(Box::new(process)), _own: None })
}

pub(super) async fn docker(arguments: &[&str]) -> anyhow::Result<String> {
    let output = tokio::process::Command::new("docker").args(arguments).output().await?;
    if !output.status.success() {
        bail!("docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
