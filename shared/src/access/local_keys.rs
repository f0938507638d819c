//! Keys of a pair on one machine: one for its operator, one for its projection-service. They are
//! files of a directory, created where they are missing.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::Reach;
use super::api_key::NewKey;
use super::client_key::ClientKey;
use super::keys_file::{KeyRequest, KeysFile, add_generated};
use super::scope::Role;
use crate::private_file;
use crate::timestamp::Timestamp;

/// Files of the keys.
#[derive(Debug, Clone)]
pub struct LocalKeys {
    /// Keys that both services accept.
    pub keys_file: PathBuf,
    /// Header line with the operator's key, for `curl -H @FILE`.
    pub operator: PathBuf,
    /// Key of the projection-service.
    pub projection: PathBuf,
}

impl LocalKeys {
    /// Returns the usual files of a directory.
    pub fn in_directory(directory: &Path) -> Self {
        Self {
            keys_file: directory.join("keys.toml"),
            operator: directory.join("auth"),
            projection: directory.join("projection.key"),
        }
    }

    /// Returns the usual files of a directory; creates missing ones, and replaces revoked keys.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn open_or_create(directory: &Path) -> anyhow::Result<Self> {
        Self::in_directory(directory).created(directory)
    }

    /// Creates missing files, and replaces revoked keys. A lock in `directory` excludes other
    /// processes.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn created(self, directory: &Path) -> anyhow::Result<Self> {
        let keys = self;
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        // Another process may create them at the same time.
        let lock = File::create(directory.join("keys.lock"))
            .and_then(|lock| lock.lock().map(|()| lock))
            .with_context(|| format!("cannot lock {}", directory.display()))?;
        keys.ensure(&keys.operator, Role::Operator, "Authorization: Bearer ")?;
        keys.ensure(&keys.projection, Role::Projection, "")?;
        drop(lock);
        Ok(keys)
    }

    /// Returns the operator's key.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn operator_key(&self) -> anyhow::Result<ClientKey> {
        key(&self.operator)
    }

    /// Returns the projection-service's key.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn projection_key(&self) -> anyhow::Result<ClientKey> {
        key(&self.projection)
    }

    fn ensure(&self, path: &Path, role: Role, prefix: &str) -> anyhow::Result<()> {
        if self.knows(path, prefix)? {
            return Ok(());
        }
        let request = KeyRequest {
            principal: role.name().to_owned(),
            reach: Reach::default(),
            scopes: role.scopes(),
            rate: None,
            lifetime: None,
            note: None,
        };
        let key = NewKey::generate().context("no random numbers")?;
        // First, so that a crash leaves a file to replace and no key that nobody knows.
        private_file::write(path, format!("{prefix}{}\n", key.text).as_bytes())?;
        add_generated(&self.keys_file, &request, &key)
    }

    /// Returns true if the services accept the key of a file.
    fn knows(&self, path: &Path, prefix: &str) -> anyhow::Result<bool> {
        if !path.exists() || !self.keys_file.exists() {
            return Ok(false);
        }
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let key = text.trim().strip_prefix(prefix).unwrap_or_default();
        let table = KeysFile::read(&self.keys_file)?.table()?;
        Ok(table.authenticate(key, Timestamp::now()).is_ok())
    }
}

fn key(path: &Path) -> anyhow::Result<ClientKey> {
    let path = path.to_str().context("the path is not UTF-8")?;
    ClientKey::of_file(path).map_err(|error| anyhow::anyhow!("{path} {error}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::access::keys_file::{revoke, rotate};

    #[test]
    fn keys_are_created_once_by_many_at_once() {
        let directory = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    LocalKeys::open_or_create(directory.path()).unwrap().operator_key().unwrap()
                });
            }
        });
        let keys = LocalKeys::open_or_create(directory.path()).unwrap();
        assert_eq!(KeysFile::read(&keys.keys_file).unwrap().keys.len(), 2);
    }

    #[test]
    fn keys_are_created_once_and_replaced_if_revoked() {
        let directory = tempfile::tempdir().unwrap();
        let local = directory.path().join("data");
        let keys = LocalKeys::open_or_create(&local).unwrap();
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let first = (read(&keys.operator), read(&keys.projection));
        assert!(first.0.starts_with("Authorization: Bearer pbk_"));
        keys.operator_key().unwrap();
        let table = KeysFile::read(&keys.keys_file).unwrap().table().unwrap();
        let now = crate::timestamp::Timestamp::now();
        let projection = table.authenticate(first.1.trim(), now).unwrap();
        assert_eq!(projection.scopes, Role::Projection.scopes());

        let again = LocalKeys::open_or_create(&local).unwrap();
        assert_eq!((read(&again.operator), read(&again.projection)), first);
        assert_eq!(KeysFile::read(&keys.keys_file).unwrap().keys.len(), 2);

        assert_eq!(revoke(&keys.keys_file, "operator").unwrap(), 1);
        let replaced = LocalKeys::open_or_create(&local).unwrap();
        assert_ne!(read(&replaced.operator), first.0);
        assert_eq!(read(&replaced.projection), first.1);
        rotate(&keys.keys_file, "projection", Duration::ZERO, None).unwrap();
        LocalKeys::open_or_create(&local).unwrap();
        let second = read(&replaced.projection);
        assert_ne!(second, first.1, "the key has expired");
        std::fs::remove_file(&keys.keys_file).unwrap();
        LocalKeys::open_or_create(&local).unwrap();
        assert_ne!(read(&replaced.projection), second);
    }

    #[test]
    fn a_crash_leaves_no_key_that_nobody_knows() {
        let directory = tempfile::tempdir().unwrap();
        let keys_file = directory.path().join("keys.toml");
        // A directory in place of the file: the key cannot be written.
        std::fs::create_dir(directory.path().join("auth")).unwrap();
        assert!(LocalKeys::open_or_create(directory.path()).is_err());
        assert!(!keys_file.exists());
        std::fs::remove_dir(directory.path().join("auth")).unwrap();
        // As after a crash between the two writes.
        std::fs::write(directory.path().join("auth"), "Authorization: Bearer pbk_").unwrap();
        LocalKeys::open_or_create(directory.path()).unwrap().operator_key().unwrap();
        assert_eq!(KeysFile::read(&keys_file).unwrap().keys.len(), 2);
    }
}
