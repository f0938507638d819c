//! Processes of the launcher.

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use passbook_shared::access::local_keys::LocalKeys;

use crate::client::Client;
use crate::infrastructure::keys;
use crate::process::{Process, eventually, free_address};

/// Launcher process, killed when dropped.
pub(crate) struct Launched {
    pub(crate) process: Process,
    pub(super) data_dir: PathBuf,
    pub(crate) command: SocketAddr,
    pub(crate) projection: SocketAddr,
}

/// Starts a launcher and does not wait for it.
pub(super) fn launch(
    data_dir: &Path,
    command: SocketAddr,
    projection: SocketAddr,
) -> anyhow::Result<Process> {
    share_keys(data_dir)?;
    let log = data_dir.with_extension(format!("{}.out", command.port()));
    Process::start(&arguments(data_dir, command, projection), &log)
}

/// Copies the keys of this run into a data directory, whose launcher then creates none.
fn share_keys(data_dir: &Path) -> anyhow::Result<()> {
    // As the launcher creates it.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir)?;
    let LocalKeys { keys_file, operator, projection } = keys()?;
    for file in [keys_file, operator, projection] {
        std::fs::copy(&file, data_dir.join(file.file_name().unwrap_or_default()))?;
    }
    Ok(())
}

fn arguments(data_dir: &Path, command: SocketAddr, projection: SocketAddr) -> Vec<String> {
    let data_dir = format!("--data-dir={}", data_dir.display());
    vec![data_dir, format!("--command-addr={command}"), format!("--projection-addr={projection}")]
}

impl Launched {
    /// Starts a launcher and waits until it is ready.
    pub(crate) async fn start(data_dir: &Path) -> anyhow::Result<Self> {
        Self::start_with(data_dir, &[], &[], &[]).await
    }

    /// Starts a launcher with further arguments, some environment variables set and others removed.
    pub(crate) async fn start_with(
        data_dir: &Path,
        further: &[String],
        set: &[(&str, &str)],
        removed: &[&str],
    ) -> anyhow::Result<Self> {
        share_keys(data_dir)?;
        let (command, projection) = (free_address()?, free_address()?);
        let log = data_dir.with_extension(format!("{}.out", command.port()));
        let mut arguments = arguments(data_dir, command, projection);
        // A further argument replaces one of the same name.
        arguments.retain(|own| {
            further.iter().all(|other| own.split('=').next() != other.split('=').next())
        });
        arguments.extend_from_slice(further);
        let mut process = Process::start_with(&arguments, set, removed, &log)?;
        process
            .eventually("the launcher is ready", async |output| {
                ensure!(output.contains("Passbook is ready"), "{output}");
                Ok(())
            })
            .await?;
        Ok(Self { process, data_dir: data_dir.to_owned(), command, projection })
    }

    /// Waits until it has locked its data directory. From then on it handles signals.
    pub(super) async fn has_begun(&self) -> anyhow::Result<()> {
        let id = self.process.id()?.to_string();
        eventually("the data directory is locked", async || {
            let locked = std::fs::read_to_string(self.data_dir.join("lock"))?;
            ensure!(locked == id, "by {locked}");
            Ok(())
        })
        .await
    }

    /// Waits for a version of an account in the views, and checks its balance.
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

impl Drop for Launched {
    fn drop(&mut self) {
        // A failed test kills its launcher, whose Postgres survives.
        let pid = std::fs::read_to_string(self.data_dir.join("postgres/data/postmaster.pid"))
            .unwrap_or_default();
        if let Some(pid) = pid.lines().next().and_then(|pid| pid.parse().ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGQUIT);
        }
    }
}
