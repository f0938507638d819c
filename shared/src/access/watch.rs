//! Reloading of the file of API keys. A revoked key is refused within a second.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;

use super::key_table::KeyTable;
use super::keys_file::KeysFile;
use super::rate::Rates;
use super::watched_file::WatchedFile;
use crate::health::Health;

/// Name of the readiness check.
const CHECK: &str = "keys";
/// Maximum length of the file, in bytes: some 50,000 keys.
const LONGEST: u64 = 16 * 1024 * 1024;

/// Keys of a file, reloaded while the service runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WatchedKeys {
    file: WatchedFile,
    /// Content at the start.
    first: Arc<[u8]>,
    table: Arc<RwLock<Arc<KeyTable>>>,
    /// Rates, which outlive a change of the file.
    rates: Arc<Mutex<Rates>>,
}

impl WatchedKeys {
    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read or is invalid.
    pub fn read(path: PathBuf) -> anyhow::Result<Self> {
        let file = WatchedFile { path, setting: "KEYS_FILE", check: CHECK, longest: LONGEST };
        let first: Arc<[u8]> = file.read()?.into();
        let keys =
            Self { file, first: Arc::clone(&first), table: Arc::default(), rates: Arc::default() };
        keys.adopt(&first)?;
        Ok(keys)
    }

    /// Returns the keys of the last valid file.
    pub fn table(&self) -> Arc<KeyTable> {
        Arc::clone(&self.table.read())
    }

    /// Reloads the file until the shutdown. An invalid file changes nothing and degrades readiness.
    ///
    /// # Errors
    /// No thread could be started.
    pub async fn watch(self, health: Health, shutdown: CancellationToken) -> anyhow::Result<()> {
        let adopt = |content: &[u8]| {
            let keys = self.adopt(content)?;
            tracing::info!(keys, "the file of API keys was read");
            Ok(())
        };
        self.file.clone().watch(self.first.to_vec(), adopt, health, shutdown).await
    }

    /// Replaces the keys by those of a file's content; returns their number.
    fn adopt(&self, content: &[u8]) -> anyhow::Result<usize> {
        let file = KeysFile::of_content(&self.file.path, content)?;
        let table = file.table_with(&mut self.rates.lock())?;
        *self.table.write() = Arc::new(table);
        Ok(file.keys.len())
    }
}

#[cfg(test)]
mod tests;
