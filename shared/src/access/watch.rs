//! Reloading of the file of API keys. A revoked key is refused within a second.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;

use super::key_table::KeyTable;
use super::keys_file::KeysFile;
use super::rate::Rates;
use crate::health::Health;
use crate::watched_files::WatchedFiles;

/// Name of the readiness check.
const CHECK: &str = "keys";
/// Maximum length of the file, in bytes: some 50,000 keys.
const LONGEST: u64 = 16 * 1024 * 1024;

/// Keys of a file, reloaded while the service runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WatchedKeys {
    file: WatchedFiles,
    /// Content at the start.
    first: Vec<Vec<u8>>,
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
        let (paths, settings) = (vec![path], "KEYS_FILE");
        let file = WatchedFiles { paths, settings, check: CHECK, longest: LONGEST };
        let first = file.read()?;
        let keys = Self { file, first, table: Arc::default(), rates: Arc::default() };
        keys.adopt(&keys.first)?;
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
        let adopt = |content: &[Vec<u8>]| {
            let keys = self.adopt(content)?;
            tracing::info!(keys, "the file of API keys was read");
            Ok(())
        };
        self.file.clone().watch(self.first.clone(), adopt, health, shutdown).await
    }

    /// Replaces the keys by those of a file's content; returns their number.
    fn adopt(&self, content: &[Vec<u8>]) -> anyhow::Result<usize> {
        let file = KeysFile::of_content(&self.file.paths[0], &content[0])?;
        let table = file.table_with(&mut self.rates.lock())?;
        *self.table.write() = Arc::new(table);
        Ok(file.keys.len())
    }
}

#[cfg(test)]
mod tests;
