//! The services as processes of their own, and what the processes of a measurement take of the processor.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use passbook_shared::http::healthcheck::healthcheck;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::ground::Site;

/// Creates the tables of `service` in the database at `url`.
pub(crate) async fn migrate(service: &str, url_option: &str, url: &str) -> anyhow::Result<()> {
    let migrate = [service, url_option, url, "--log-level", "warn", "migrate"];
    let status = Command::new(std::env::current_exe()?).args(migrate).status().await?;
    ensure!(status.success(), "`{service} migrate` failed: {status}");
    Ok(())
}

/// A service that runs as a process; killed when dropped.
pub(crate) struct Process {
    pub(crate) addr: SocketAddr,
    child: Child,
}

impl Process {
    /// Starts the command-service of a site, and waits until it is ready.
    pub(crate) async fn command(site: &Site) -> anyhow::Result<Self> {
        let database = ("--database-url", site.database_url.clone());
        Self::start(site, "command-service", "--command-addr", vec![database]).await
    }

    /// Starts the projection-service of a site, and waits until it is ready.
    pub(crate) async fn projection(site: &Site, command: &Self) -> anyhow::Result<Self> {
        let database = ("--projection-database-url", site.projection_database_url.clone());
        let feed = ("--command-service-url", format!("http://{}", command.addr));
        Self::start(site, "projection-service", "--projection-addr", vec![database, feed]).await
    }

    async fn start(
        site: &Site,
        part: &str,
        addr_option: &str,
        mut options: Vec<(&str, String)>,
    ) -> anyhow::Result<Self> {
        let addr = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        options.push((addr_option, addr.to_string()));
        options.push(("--kafka-brokers", site.kafka_brokers.clone()));
        options.push(("--kafka-topic", site.kafka_topic.clone()));
        options.push(("--log-level", "warn".to_owned()));
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg(part)
            .args(options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
        if part == "projection-service" {
            command.args(["--kafka-group", &site.kafka_topic]);
        }
        let child = command
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("a service can't be started")?;
        let process = Self { addr, child };
        let deadline = Instant::now() + Duration::from_secs(60);
        while let Err(error) = healthcheck(addr).await {
            if Instant::now() > deadline {
                return Err(error.context(format!("the {part} was not ready in time")));
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(process)
    }

    /// Stops it in order.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let Some(id) = self.child.id() else { bail!("a service ended by itself") };
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(id.cast_signed()),
            nix::sys::signal::Signal::SIGTERM,
        )?;
        self.child.wait().await?;
        Ok(())
    }

    /// The most memory it has had, in MiB.
    pub(crate) fn peak_mib(&self) -> anyhow::Result<u64> {
        let id = self.child.id().context("a service ended by itself")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let peak =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        Ok(peak.context("no VmHWM")?.parse::<u64>()? / 1024)
    }

    fn id(&self) -> Option<u32> {
        self.child.id()
    }
}

/// Processor seconds taken so far: by each service, by every Postgres and Kafka of the machine, and by this process.
pub(crate) fn cpu_seconds(
    command: &Process,
    projection: &Process,
) -> anyhow::Result<BTreeMap<&'static str, f64>> {
    let mut seconds = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let Ok(entry) = entry else { continue };
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let read =
            |file: &str| std::fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        let program = match id {
            id if Some(id) == command.id() => "command",
            id if Some(id) == projection.id() => "projection",
            id if id == std::process::id() => "load",
            _ if read("comm").trim() == "postgres" => "postgres",
            _ if read("cmdline").contains("kafka.Kafka") => "kafka",
            _ => continue,
        };
        *seconds.entry(program).or_default() += seconds_of(&read("stat")).unwrap_or_default();
    }
    Ok(seconds)
}

/// User and system time of `/proc/PID/stat`, whose second field is the program's name in parentheses.
fn seconds_of(stat: &str) -> Option<f64> {
    /// `USER_HZ`, the same on every Linux.
    const TICKS_PER_SECOND: f64 = 100.0;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}
