//! Services as separate processes, and the processor time of a measurement.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use passbook_shared::http::healthcheck::healthcheck;
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::keys;
use crate::report::rounded;
use crate::servers::Environment;
use crate::tls;

/// A service in a separate process, killed on drop.
pub(crate) struct Process {
    pub(crate) addr: SocketAddr,
    child: Child,
}

impl Process {
    /// Starts a command-service and waits until it is ready.
    pub(crate) async fn command(environment: &Environment) -> anyhow::Result<Self> {
        let database = ("--database-url", environment.database_url.clone());
        Self::start(environment, "command-service", "--command-addr", vec![database]).await
    }

    /// Starts a projection-service and waits until it is ready.
    pub(crate) async fn projection(
        environment: &Environment,
        command: &Self,
    ) -> anyhow::Result<Self> {
        let database = ("--projection-database-url", environment.projection_database_url.clone());
        let feed = ("--command-service-url", format!("{}://{}", tls::scheme(), command.addr));
        Self::start(environment, "projection-service", "--projection-addr", vec![database, feed])
            .await
    }

    async fn start(
        environment: &Environment,
        part: &str,
        addr_option: &str,
        mut options: Vec<(&str, String)>,
    ) -> anyhow::Result<Self> {
        let ops_option = match part {
            "command-service" => "--command-ops-addr",
            _ => "--projection-ops-addr",
        };
        let (addr, ops_addr) = (free_addr()?, free_addr()?);
        options.push((addr_option, addr.to_string()));
        options.push((ops_option, ops_addr.to_string()));
        options.push(("--kafka-brokers", environment.kafka_brokers.clone()));
        options.push(("--kafka-topic", environment.kafka_topic.clone()));
        options.push(("--log-level", "warn".to_owned()));
        options.extend(keys::options(part));
        options.extend(tls::options());
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg(part)
            .args(options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
        if part == "projection-service" {
            command.args(["--kafka-group", &environment.kafka_topic]);
        }
        let child = command
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a service")?;
        let process = Self { addr, child };
        let deadline = Instant::now() + Duration::from_secs(60);
        while let Err(error) = healthcheck(ops_addr).await {
            if Instant::now() > deadline {
                return Err(error.context(format!("the {part} was not ready within 60 s")));
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(process)
    }

    /// Shuts the service down and waits for its end.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let Some(id) = self.child.id() else { bail!("a service ended by itself") };
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(id.cast_signed()),
            nix::sys::signal::Signal::SIGTERM,
        )?;
        self.child.wait().await?;
        Ok(())
    }

    /// Returns the peak of resident memory, in MiB.
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

/// Returns a free address. Its listener is dropped at once, so that the service can bind it.
fn free_addr() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Processor seconds used so far: by each service, by every Postgres and Kafka of the machine, and
/// by this process.
pub(crate) struct Cpu(BTreeMap<&'static str, f64>);

impl Cpu {
    /// Reads the seconds. Without services, as for the lanes in this process, `services` is empty.
    pub(crate) fn read(services: &[(&'static str, &Process)]) -> anyhow::Result<Self> {
        cpu_seconds(services).map(Self)
    }

    /// Returns the microseconds of each program for one of `commands` commands since this reading.
    pub(crate) fn per_command(&self, later: &Self, commands: usize) -> Value {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let commands = commands.max(1) as f64;
        let used = later.0.iter().map(|(program, seconds)| {
            let used = seconds - self.0.get(program).copied().unwrap_or_default();
            ((*program).to_owned(), rounded(used * 1e6 / commands))
        });
        Value::Object(used.collect())
    }
}

fn cpu_seconds(
    services: &[(&'static str, &Process)],
) -> anyhow::Result<BTreeMap<&'static str, f64>> {
    let mut seconds = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let Ok(entry) = entry else { continue };
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let read =
            |file: &str| std::fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        let service = services.iter().find(|(_, process)| process.id() == Some(id));
        let program = match service {
            Some((name, _)) => *name,
            None if id == std::process::id() => "load",
            _ if read("comm").trim() == "postgres" => "postgres",
            _ if read("cmdline").contains("kafka.Kafka") => "kafka",
            _ => continue,
        };
        *seconds.entry(program).or_default() += seconds_of(&read("stat")).unwrap_or_default();
    }
    Ok(seconds)
}

/// Parses user and system time from `/proc/PID/stat`. The second field, the program's name in
/// parentheses, may contain spaces.
fn seconds_of(stat: &str) -> Option<f64> {
    /// `USER_HZ`, the same on every Linux.
    const TICKS_PER_SECOND: f64 = 100.0;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}
