//! Postgres and Kafka that the tests run on: containers with the `containers` cfg, else the
//! program's own embedded Postgres and in-process broker.

mod encrypted_kafka;
mod kafka;
mod postgres;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, ensure};
use passbook_shared::access::local_keys::LocalKeys;
use passbook_shared::partition::PartitionCount;
use testcontainers::{ContainerAsync, GenericImage};

pub(crate) use self::encrypted_kafka::EncryptedKafka;
pub(crate) use self::kafka::{Kafka, TOPICS};
pub(crate) use self::postgres::postgres;
use crate::process::Process;

/// Number of partitions of every topic.
pub(crate) const PARTITIONS: PartitionCount = PartitionCount::new(12);

/// Returns whether the tests run on containers, and reports the choice once.
///
/// # Errors
/// Docker answered when the tests were built, or was demanded, and does not answer now.
pub(crate) fn containers() -> anyhow::Result<bool> {
    static ANSWERS: OnceLock<bool> = OnceLock::new();
    let answers = *ANSWERS.get_or_init(|| {
        if !cfg!(containers) {
            eprintln!("end-to-end tests run on the embedded Postgres and the in-process broker");
            return false;
        }
        eprintln!("end-to-end tests run on containers: postgres:18, apache/kafka:4.3.1");
        let mut info = Command::new("docker");
        info.arg("info").stdout(Stdio::null()).stderr(Stdio::null());
        info.status().is_ok_and(|status| status.success())
    });
    ensure!(
        answers || !cfg!(containers),
        "the tests were built for containers, and Docker does not answer: start it, or set \
         PASSBOOK_TEST_CONTAINERS=never"
    );
    Ok(answers)
}

/// Returns the directory of this run's files. It is outside of root's home, so that Postgres's own
/// user can enter.
pub(crate) fn directory() -> anyhow::Result<PathBuf> {
    const PREFIX: &str = "passbook-e2e-";
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let path = PATH.get_or_init(|| {
        remove_old(PREFIX);
        std::env::temp_dir().join(format!("{PREFIX}{}", std::process::id()))
    });
    std::fs::create_dir_all(path)?;
    Ok(path.clone())
}

/// Removes the directories of earlier runs, which are kept so that their files can be read.
fn remove_old(prefix: &str) {
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(prefix));
        if process.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
            // Another run may remove it at the same time.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Returns the API keys of all services of this run.
pub(crate) fn keys() -> anyhow::Result<LocalKeys> {
    LocalKeys::open_or_create(&directory()?.join("keys"))
}

/// Returns the value of `Authorization` that permits everything.
pub(crate) fn authorization() -> anyhow::Result<String> {
    Ok(keys()?.operator_key()?.header().to_str()?.to_owned())
}

/// Returns the headers `Host` and `Authorization` of a request that is written as text.
pub(crate) fn known() -> anyhow::Result<String> {
    Ok(format!("host: localhost\r\nauthorization: {}\r\n", authorization()?))
}

/// Waits for a process to print `count` lines and returns them.
pub(crate) async fn first_lines(
    process: &mut Process,
    count: usize,
) -> anyhow::Result<Vec<String>> {
    process
        .eventually("its addresses are printed", async |output| {
            let ended = output.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
            let ended: Vec<String> = ended.map(str::to_owned).collect();
            ensure!(ended.len() >= count, "its output: {output}");
            Ok(ended)
        })
        .await
}

/// Keeps a container for all tests of the run.
fn share(container: ContainerAsync<GenericImage>) -> anyhow::Result<()> {
    // Statics are never dropped. A shell removes the container once the pipe between it and this
    // process closes, however this process ends.
    let mut reaper = Command::new("sh");
    reaper.args([
        "-c",
        "cat >/dev/null; docker rm --force --volumes \"$0\" >/dev/null",
        container.id(),
    ]);
    reaper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // Ctrl-C reaches the process group of the tests. In a group of its own, the shell survives to
    // do its work.
    reaper.process_group(0);
    std::mem::forget(reaper.spawn().context("no shell to remove a container")?);
    std::mem::forget(container);
    Ok(())
}
