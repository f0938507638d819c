//! `passbook` as a person runs it: everything at once, embedded.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::ensure;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::client::Client;
use crate::ground::directory;
use crate::process::{Process, free_address};

struct Launched {
    process: Process,
    data_dir: PathBuf,
    command: SocketAddr,
    projection: SocketAddr,
}

fn launch(data_dir: &Path, command: SocketAddr, projection: SocketAddr) -> anyhow::Result<Process> {
    let log = data_dir.with_extension(format!("{}.out", command.port()));
    let data_dir = format!("--data-dir={}", data_dir.display());
    Process::start(&[data_dir, format!("--command-addr={command}"), format!("--projection-addr={projection}")], &log)
}

impl Launched {
    async fn start(data_dir: &Path) -> anyhow::Result<Self> {
        let (command, projection) = (free_address()?, free_address()?);
        let mut process = launch(data_dir, command, projection)?;
        process
            .eventually("the launcher says it is ready", async |output| {
                ensure!(output.contains("Passbook is ready"), "{output}");
                Ok(())
            })
            .await?;
        Ok(Self { process, data_dir: data_dir.to_owned(), command, projection })
    }

    async fn shows(&self, account: uuid::Uuid, version: i64, balance: i64) -> anyhow::Result<()> {
        let path = format!("/v1/accounts/{account}?min_version={version}");
        let view = Client::new(&[self.projection])?.json(&path).await?;
        ensure!(view["balance"] == balance, "{view}");
        Ok(())
    }
}

/// A test that fails kills its launcher, which leaves its Postgres behind.
impl Drop for Launched {
    fn drop(&mut self) {
        let pid = std::fs::read_to_string(self.data_dir.join("postgres/data/postmaster.pid")).unwrap_or_default();
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
    ensure!(!data_dir.join("postgres/data/postmaster.pid").exists(), "Postgres runs on after the stop");

    let mut third = Launched::start(&data_dir).await?;
    third.shows(account, 4, 1_025_002).await?;
    third.process.stop().await
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
