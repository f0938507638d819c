//! `passbook` as a person runs it: everything at once, embedded.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::client::Client;
use crate::ground::{directory, first_lines};
use crate::process::{Process, eventually, free_address};

/// A launcher that says it is ready.
pub(crate) struct Launched {
    pub(crate) process: Process,
    data_dir: PathBuf,
    pub(crate) command: SocketAddr,
    pub(crate) projection: SocketAddr,
}

fn launch(data_dir: &Path, command: SocketAddr, projection: SocketAddr) -> anyhow::Result<Process> {
    let log = data_dir.with_extension(format!("{}.out", command.port()));
    Process::start(&arguments(data_dir, command, projection), &log)
}

fn arguments(data_dir: &Path, command: SocketAddr, projection: SocketAddr) -> Vec<String> {
    let data_dir = format!("--data-dir={}", data_dir.display());
    vec![data_dir, format!("--command-addr={command}"), format!("--projection-addr={projection}")]
}

impl Launched {
    pub(crate) async fn start(data_dir: &Path) -> anyhow::Result<Self> {
        Self::start_with(data_dir, &[], &[], &[]).await
    }

    /// The same, with further arguments, and variables set and removed.
    pub(crate) async fn start_with(
        data_dir: &Path,
        further: &[String],
        set: &[(&str, &str)],
        removed: &[&str],
    ) -> anyhow::Result<Self> {
        let (command, projection) = (free_address()?, free_address()?);
        let log = data_dir.with_extension(format!("{}.out", command.port()));
        let mut arguments = arguments(data_dir, command, projection);
        // A further one of the same name replaces it.
        arguments.retain(|own| {
            further.iter().all(|other| own.split('=').next() != other.split('=').next())
        });
        arguments.extend_from_slice(further);
        let mut process = Process::start_with(&arguments, set, removed, &log)?;
        process
            .eventually("the launcher says it is ready", async |output| {
                ensure!(output.contains("Passbook is ready"), "{output}");
                Ok(())
            })
            .await?;
        Ok(Self { process, data_dir: data_dir.to_owned(), command, projection })
    }

    /// It has taken its data directory, and so listens to signals.
    async fn has_begun(&self) -> anyhow::Result<()> {
        let id = self.process.id()?.to_string();
        eventually("the data directory is locked", async || {
            let locked = std::fs::read_to_string(self.data_dir.join("lock"))?;
            ensure!(locked == id, "by {locked}");
            Ok(())
        })
        .await
    }

    pub(crate) async fn shows(
        &self,
        account: uuid::Uuid,
        version: i64,
        balance: i64,
    ) -> anyhow::Result<()> {
        let path = format!("/v1/accounts/{account}?min_version={version}");
        let view = Client::new(&[self.projection])?.json(&path).await?;
        ensure!(view["balance"] == balance, "{view}");
        Ok(())
    }
}

/// A test that fails kills its launcher, which leaves its Postgres behind.
impl Drop for Launched {
    fn drop(&mut self) {
        let pid = std::fs::read_to_string(self.data_dir.join("postgres/data/postmaster.pid"))
            .unwrap_or_default();
        if let Some(pid) = pid.lines().next().and_then(|pid| pid.parse().ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGQUIT);
        }
    }
}

fn data_dir(name: &str) -> anyhow::Result<PathBuf> {
    Ok(directory()?.join(name))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_launcher_finds_everything_again_after_a_kill_and_after_a_stop() -> anyhow::Result<()> {
    let data_dir = data_dir("launcher")?;
    let mut first = Launched::start(&data_dir).await?;
    let client = Client::new(&[first.command])?;
    let account = client.open().await?;
    client.deposit(account, None, 25_000).await?;
    first.shows(account, 2, 1_025_000).await?;

    let mut other = launch(&data_dir, free_address()?, free_address()?)?;
    ensure!(!other.ended().await?.success(), "two launchers share a data directory");
    ensure!(other.output().contains("in use by another passbook"), "{}", other.output());

    client.deposit(account, None, 1).await?;
    first.process.kill().await?;
    // Its Postgres is still there, and is ended by the next.
    let mut second = Launched::start(&data_dir).await?;
    second.shows(account, 3, 1_025_001).await?;
    Client::new(&[second.command])?.deposit(account, None, 1).await?;
    second.shows(account, 4, 1_025_002).await?;
    second.process.stop().await?;
    ensure!(
        !data_dir.join("postgres/data/postmaster.pid").exists(),
        "Postgres runs on after the stop"
    );

    let mut third = Launched::start(&data_dir).await?;
    third.shows(account, 4, 1_025_002).await?;
    third.process.stop().await
}

/// Earlier versions had one role for the views, which owned them.
#[tokio::test(flavor = "multi_thread")]
async fn the_launcher_takes_the_views_of_an_earlier_version_from_their_role() -> anyhow::Result<()>
{
    let data_dir = data_dir("launcher_owner")?;
    let mut first = Launched::start(&data_dir).await?;
    let client = Client::new(&[first.command])?;
    let account = client.open().await?;
    first.shows(account, 1, 1_000_000).await?;
    first.process.stop().await?;

    let arguments = ["postgres".to_owned(), format!("--data-dir={}", data_dir.display())];
    let output = data_dir.with_extension("postgres.out");
    let mut postgres = Process::start(&arguments, &output)?;
    let admin = first_lines(&mut postgres, 5).await?.pop().context("no URL")?;
    let admin = admin.strip_suffix("/postgres").context("another URL")?.to_owned();
    let mut views = PgConnection::connect(&format!("{admin}/passbook_projection")).await?;
    sqlx::raw_sql(
        "ALTER DATABASE passbook_projection OWNER TO passbook_projection;
         REASSIGN OWNED BY passbook_projection_owner TO passbook_projection;
         DROP OWNED BY passbook_projection_owner;
         DROP ROLE passbook_projection_owner;",
    )
    .execute(&mut views)
    .await?;
    views.close().await?;
    postgres.stop().await?;
    let secrets = data_dir.join("postgres-secrets.json");
    let mut kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&secrets)?)?;
    kept.as_object_mut().context("no object")?.remove("projection_owner").context("no password")?;
    std::fs::write(&secrets, serde_json::to_vec(&kept)?)?;

    let mut second = Launched::start(&data_dir).await?;
    Client::new(&[second.command])?.deposit(account, None, 1).await?;
    second.shows(account, 2, 1_000_001).await?;
    let secrets: serde_json::Value = serde_json::from_slice(&std::fs::read(&secrets)?)?;
    let password = secrets["projection"].as_str().context("no password")?;
    let pid = std::fs::read_to_string(data_dir.join("postgres/data/postmaster.pid"))?;
    let port = pid.lines().nth(3).context("no port")?;
    let role =
        format!("postgres://passbook_projection:{password}@127.0.0.1:{port}/passbook_projection");
    let mut role = PgConnection::connect(&role).await?;
    let owned: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_class WHERE relowner = current_user::regrole")
            .fetch_one(&mut role)
            .await?;
    ensure!(owned == 0, "the role of the service owns {owned} tables and indexes");
    second.process.stop().await
}

/// Stopped at any time, it ends soon and in order: while it starts, when it has nothing to do, and under load.
#[tokio::test(flavor = "multi_thread")]
async fn the_launcher_ends_soon_whenever_it_is_stopped() -> anyhow::Result<()> {
    let data_dir = data_dir("launcher_ends")?;
    for turn in 0..12_u64 {
        let signal = if turn % 2 == 0 { Signal::SIGINT } else { Signal::SIGTERM };
        let (command, projection) = (free_address()?, free_address()?);
        let mut load = JoinSet::new();
        let mut launched = if turn % 3 == 0 {
            let process = launch(&data_dir, command, projection)?;
            let launched = Launched { process, data_dir: data_dir.clone(), command, projection };
            launched.has_begun().await?;
            // Some moment of a start, which takes a second or two.
            sleep(Duration::from_millis(turn * 150)).await;
            launched
        } else {
            Launched::start(&data_dir).await?
        };
        if turn % 3 == 2 {
            let client = Client::new(&[launched.command])?;
            let account = client.open().await?;
            for _ in 0..16 {
                let client = client.clone();
                load.spawn(async move { while client.deposit(account, None, 1).await.is_ok() {} });
            }
            sleep(Duration::from_millis(500)).await;
        }
        launched.process.signal(signal)?;
        let status = timeout(Duration::from_secs(15), launched.process.ended()).await;
        let output = launched.process.output();
        let status = status
            .with_context(|| format!("turn {turn}: not ended after {signal}: {output}"))??;
        ensure!(status.success(), "turn {turn}, {signal}: {status}: {output}");
        ensure!(
            !output.contains("ERROR") && !output.contains("cut off"),
            "turn {turn}, {signal}: {output}"
        );
        ensure!(
            !data_dir.join("postgres/data/postmaster.pid").exists(),
            "turn {turn}: Postgres runs on"
        );
        load.join_all().await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_launcher_says_which_port_is_taken() -> anyhow::Result<()> {
    let taken = TcpListener::bind(free_address()?)?;
    let mut process = launch(&data_dir("taken")?, taken.local_addr()?, free_address()?)?;
    ensure!(!process.ended().await?.success(), "it started on a taken port");
    ensure!(process.output().contains("--command-addr"), "{}", process.output());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_launcher_refuses_the_data_of_another_postgres() -> anyhow::Result<()> {
    let data_dir = data_dir("another_version")?;
    let data = data_dir.join("postgres/data");
    std::fs::create_dir_all(&data)?;
    std::fs::write(data.join("PG_VERSION"), "9\n")?;
    let mut process = launch(&data_dir, free_address()?, free_address()?)?;
    ensure!(!process.ended().await?.success(), "it started");
    let said = process.output();
    ensure!(said.contains("made by Postgres 9") && said.contains("--data-dir"), "{said}");
    Ok(())
}
