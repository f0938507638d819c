//! Files that are read again while the service runs.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::health::Health;

/// Interval between two reads.
const EVERY: Duration = Duration::from_millis(250);
/// Time without a finished read after which readiness reports it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Contents of the files, in the order of their paths.
pub(crate) type Contents = Vec<Vec<u8>>;

/// Results of the reads.
type Reads = mpsc::Receiver<anyhow::Result<Contents>>;

/// Files that operators replace while the service runs, and that belong together.
#[derive(Debug, Clone)]
pub(crate) struct WatchedFiles {
    pub(crate) paths: Vec<PathBuf>,
    /// Settings that name the files.
    pub(crate) settings: &'static str,
    /// Name of the readiness check.
    pub(crate) check: &'static str,
    /// Maximum length of a file, in bytes.
    pub(crate) longest: u64,
}

impl WatchedFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// A file cannot be read, is too long or no regular file; the error names it.
    pub(crate) fn read(&self) -> anyhow::Result<Contents> {
        let read = |path: &Path| {
            // The open of a pipe waits for its writer.
            ensure!(std::fs::metadata(path)?.is_file(), "not a regular file");
            let mut content = Vec::new();
            let file = std::fs::File::open(path)?;
            file.take(self.longest + 1).read_to_end(&mut content)?;
            ensure!(content.len() as u64 <= self.longest, "longer than {} bytes", self.longest);
            Ok(content)
        };
        let named = |path: &PathBuf| read(path).with_context(|| path.display().to_string());
        self.paths.iter().map(named).collect()
    }

    /// Reads the files until the shutdown, and gives changed contents to `adopt` once two reads
    /// agree on them: a write may be unfinished. A fault changes nothing and degrades readiness.
    ///
    /// # Errors
    /// No thread could be started.
    pub(crate) async fn watch(
        self,
        first: Contents,
        adopt: impl FnMut(&[Vec<u8>]) -> anyhow::Result<()>,
        health: Health,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let reads = self.reads()?;
        health.ok(self.check);
        let following = self.follow(reads, first, adopt, &health);
        shutdown.run_until_cancelled(following).await.unwrap_or(Ok(()))
    }

    async fn follow(
        &self,
        mut reads: Reads,
        first: Contents,
        mut adopt: impl FnMut(&[Vec<u8>]) -> anyhow::Result<()>,
        health: &Health,
    ) -> anyhow::Result<()> {
        let (mut current, mut fault) = (first.clone(), None);
        let mut previous = Some(first);
        loop {
            let content = match timeout(PATIENCE, reads.recv()).await {
                Ok(Some(Ok(content))) => content,
                Ok(Some(Err(error))) => {
                    self.report(health, Some(&format!("{error:#}")));
                    previous = None;
                    continue;
                }
                Ok(None) => bail!("the thread that reads {} has ended", self.settings),
                Err(_) => {
                    self.report(health, Some(&format!("cannot be read in {PATIENCE:?}")));
                    continue;
                }
            };
            if content != current && previous.as_ref() == Some(&content) {
                fault = adopt(&content).err().map(|error| format!("{error:#}"));
                current.clone_from(&content);
            }
            previous = Some(content);
            self.report(health, fault.as_deref());
        }
    }

    fn report(&self, health: &Health, fault: Option<&str>) {
        match fault {
            None => health.ok(self.check),
            Some(fault) => {
                let previous = "the previous content stays in force";
                health.degraded(self.check, format!("{}: {fault}; {previous}", self.settings));
            }
        }
    }

    /// Starts the thread that reads the files. A network file system can block it for ever, which
    /// must not block the end of the process.
    fn reads(&self) -> anyhow::Result<Reads> {
        let (sender, receiver) = mpsc::channel(1);
        let files = self.clone();
        let read = move || {
            while !sender.is_closed() {
                std::thread::sleep(EVERY);
                if sender.blocking_send(files.read()).is_err() {
                    break;
                }
            }
        };
        std::thread::Builder::new().name(self.check.to_owned()).spawn(read)?;
        Ok(receiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_read_that_blocks_degrades_readiness() {
        let (paths, health) = (vec![PathBuf::from("/mnt/keys")], Health::new("test"));
        let file = WatchedFiles { paths, settings: "KEYS_FILE", check: "keys", longest: 1 };
        let (sender, reads) = mpsc::channel(1);
        let reason = || health.checks()["keys"].reason.clone();
        health.ok("keys");
        let following = file.follow(reads, vec![b"1".to_vec()], |_| Ok(()), &health);
        let acting = async {
            tokio::time::sleep(PATIENCE + Duration::from_secs(1)).await;
            assert_eq!(
                reason().unwrap(),
                "KEYS_FILE: cannot be read in 5s; the previous content stays in force"
            );
            sender.send(Ok(vec![b"1".to_vec()])).await.unwrap();
            drop(sender);
        };
        let (ended, ()) = tokio::join!(following, acting);
        assert_eq!(reason(), None);
        assert!(ended.unwrap_err().to_string().contains("has ended"));
    }
}
