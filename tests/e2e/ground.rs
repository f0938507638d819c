//! Postgres and Kafka: containers where Docker answers, else the program's own embedded Postgres and in-process broker.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use rdkafka::consumer::{BaseConsumer, Consumer};
use sqlx::{Connection, PgConnection};
use testcontainers::core::IntoContainerPort;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};
use tokio::sync::OnceCell;

use crate::process::{Process, eventually, free_address};

/// The partitions of every topic.
pub(crate) const PARTITIONS: u16 = 12;
/// The topics that an in-process broker has; a real Kafka gets one for each test.
pub(crate) const TOPICS: [&str; 2] = ["passbook.events", "passbook.other"];

/// Whether the tests run on containers. Says so, once.
pub(crate) fn containers() -> anyhow::Result<bool> {
    static ANSWER: OnceLock<Result<bool, String>> = OnceLock::new();
    let answer = ANSWER.get_or_init(|| {
        let wish = std::env::var("PASSBOOK_TEST_CONTAINERS").unwrap_or_else(|_| "auto".to_owned());
        let docker = || {
            let mut info = std::process::Command::new("docker");
            info.arg("info").stdout(Stdio::null()).stderr(Stdio::null());
            info.status().is_ok_and(|status| status.success())
        };
        let answer = match wish.as_str() {
            "never" => false,
            "auto" => docker(),
            "always" if docker() => true,
            "always" => {
                return Err(
                    "PASSBOOK_TEST_CONTAINERS=always, and Docker does not answer".to_owned()
                );
            }
            other => {
                return Err(format!(
                    "PASSBOOK_TEST_CONTAINERS is auto, always or never, not `{other}`"
                ));
            }
        };
        let on = if answer {
            "containers: postgres:18, apache/kafka:4.3.1"
        } else {
            "embedded Postgres, in-process broker"
        };
        eprintln!("end-to-end tests run on {on}");
        Ok(answer)
    });
    answer.clone().map_err(anyhow::Error::msg)
}

/// Where this run's files are: outside of root's home, so that Postgres's own user can enter.
pub(crate) fn directory() -> anyhow::Result<PathBuf> {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let path = PATH
        .get_or_init(|| std::env::temp_dir().join(format!("passbook-e2e-{}", std::process::id())));
    std::fs::create_dir_all(path)?;
    Ok(path.clone())
}

/// A superuser's URL of the Postgres that all tests share, without the database's name.
pub(crate) async fn postgres() -> anyhow::Result<&'static str> {
    static SHARED: OnceCell<String> = OnceCell::const_new();
    let start =
        async || if containers()? { postgres_container().await } else { embedded_postgres().await };
    SHARED.get_or_try_init(start).await.map(String::as_str)
}

async fn postgres_container() -> anyhow::Result<String> {
    let address = free_address()?;
    let image = GenericImage::new("postgres", "18")
        .with_mapped_port(address.port(), 5432.tcp())
        .with_env_var("POSTGRES_PASSWORD", "passbook")
        // Processes are killed here, machines are not: what the kernel has is as good as on the disk.
        .with_cmd([
            "postgres",
            "-c",
            "max_connections=300",
            "-c",
            "max_wal_size=4GB",
            "-c",
            "fsync=off",
        ]);
    let container = image.start().await.context("the container of Postgres does not start")?;
    let url = format!("postgres://postgres:passbook@{address}");
    eventually("Postgres takes connections", async || {
        Ok(PgConnection::connect(&format!("{url}/postgres")).await?.close().await?)
    })
    .await?;
    share(container)?;
    Ok(url)
}

async fn embedded_postgres() -> anyhow::Result<String> {
    let directory = directory()?;
    let data_dir = directory.join("postgres").display().to_string();
    let arguments =
        ["postgres", "--until-stdin-closes", "--data-dir", &data_dir].map(str::to_owned);
    let mut process = Process::start(&arguments, &directory.join("postgres.out"))?;
    let admin = first_lines(&mut process, 5).await?.pop().unwrap_or_default();
    // It ends with this process, whose end closes its input.
    std::mem::forget(process);
    admin
        .strip_suffix("/postgres")
        .map(str::to_owned)
        .with_context(|| format!("`{admin}` is no URL"))
}

/// A Kafka.
pub(crate) struct Kafka {
    /// Its bootstrap servers.
    pub(crate) brokers: String,
    kind: Kind,
    // Removed with this, if no other test uses it.
    _own: Option<ContainerAsync<GenericImage>>,
}

enum Kind {
    /// By its id.
    Container(String),
    Broker(Box<Process>),
}

impl Kafka {
    /// The Kafka that tests share; where there is none to share, one of its own.
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

    /// A Kafka that only this test has, to be tampered with.
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

    /// Whether topics can be made and deleted on it.
    pub(crate) fn has_admin(&self) -> bool {
        matches!(self.kind, Kind::Container(_))
    }

    /// Runs one of Kafka's own tools, `kafka-….sh`, in its container.
    pub(crate) async fn tool(&self, name: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let Kind::Container(id) = &self.kind else { bail!("the in-process broker has no tools") };
        let path = format!("/opt/kafka/bin/{name}");
        docker(&[&["exec", id, &path, "--bootstrap-server", "localhost:9094"], arguments].concat())
            .await
    }

    /// Denies reading to everybody, or no longer: `rule` is `--add` or `--remove`, of a kind (`--topic`, `--group`) and a name.
    pub(crate) async fn deny_reads(&self, rule: &[&str]) -> anyhow::Result<()> {
        let Kind::Container(id) = &self.kind else { bail!("the in-process broker has no rights") };
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
        let whom = ["--deny-principal", "User:*", "--operation", "Read", "--force"];
        docker(&[&tool[..], &whom[..], rule].concat()).await.map(drop)
    }

    /// Holds it still: connections stay, nothing is answered.
    pub(crate) async fn pause(&self) -> anyhow::Result<()> {
        match &self.kind {
            Kind::Container(id) => {
                // A busy machine freezes a container only at a second try.
                eventually("Kafka is paused", async || docker(&["pause", id]).await.map(drop)).await
            }
            Kind::Broker(process) => process.signal(Signal::SIGSTOP),
        }
    }

    /// Lets it go on.
    pub(crate) async fn resume(&self) -> anyhow::Result<()> {
        match &self.kind {
            Kind::Container(id) => docker(&["unpause", id]).await.map(drop),
            Kind::Broker(process) => process.signal(Signal::SIGCONT),
        }
    }
}

async fn kafka_container() -> anyhow::Result<(String, ContainerAsync<GenericImage>)> {
    // Clients are told this address, so it must be known before the start.
    let address = free_address()?;
    let settings = [
        ("NODE_ID", "1"),
        ("PROCESS_ROLES", "broker,controller"),
        ("CONTROLLER_QUORUM_VOTERS", "1@localhost:9093"),
        ("CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
        // The second is for Kafka's own tools, within the container.
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
        // Whatever no rule denies is allowed.
        ("AUTHORIZER_CLASS_NAME", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
        ("ALLOW_EVERYONE_IF_NO_ACL_FOUND", "true"),
    ];
    // As root, as in docker-compose.yml.
    let image =
        GenericImage::new("apache/kafka", "4.3.1").with_mapped_port(address.port(), 9092.tcp());
    let mut image = image.with_user("root");
    for (name, value) in settings {
        image = image.with_env_var(format!("KAFKA_{name}"), value);
    }
    let container = image.start().await.context("the container of Kafka does not start")?;
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

/// The first lines that a process says, once they are there.
pub(crate) async fn first_lines(
    process: &mut Process,
    count: usize,
) -> anyhow::Result<Vec<String>> {
    process
        .eventually("it says where it listens", async |output| {
            let ended = output.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
            let ended: Vec<String> = ended.map(str::to_owned).collect();
            anyhow::ensure!(ended.len() >= count, "its output: {output}");
            Ok(ended)
        })
        .await
}

/// Keeps a container for all tests of the run. Statics are never dropped: a shell removes it when this process has
/// ended, however that was, and the pipe between them closes.
fn share(container: ContainerAsync<GenericImage>) -> anyhow::Result<()> {
    let mut reaper = std::process::Command::new("sh");
    reaper.args([
        "-c",
        "cat >/dev/null; docker rm --force --volumes \"$0\" >/dev/null",
        container.id(),
    ]);
    reaper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // Ctrl-C is meant for the tests; it would end the shell before its work.
    std::os::unix::process::CommandExt::process_group(&mut reaper, 0);
    std::mem::forget(reaper.spawn().context("no shell to clean up with")?);
    std::mem::forget(container);
    Ok(())
}

async fn docker(arguments: &[&str]) -> anyhow::Result<String> {
    let output = tokio::process::Command::new("docker").args(arguments).output().await?;
    if !output.status.success() {
        bail!("docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
