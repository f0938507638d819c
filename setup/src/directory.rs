//! Directory of the secrets. Only its owner can enter it. Containers get single folders of it and
//! run as other users, so the folders and their files are readable to everybody who gets that far.

use std::fs::{self, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use passbook_shared::private_file;

/// Mode of the directory.
const GUARD: u32 = 0o700;
/// Mode of a folder for a container.
const FOLDER: u32 = 0o755;
/// Mode of a file for a container.
const SHARED: u32 = 0o644;
/// Mode of a file that no container gets.
pub(crate) const PRIVATE: u32 = 0o600;

/// Directory of the secrets.
pub(crate) struct Directory {
    path: PathBuf,
    /// Files that were written, relative to the directory.
    pub(crate) written: Vec<String>,
    /// Remarks on files that were left as they are.
    pub(crate) remarks: Vec<String>,
    _lock: File,
}

impl Directory {
    /// Opens the directory, which is created if missing, and excludes other processes. A directory
    /// with files needs one of `ours`.
    ///
    /// # Errors
    /// The directory has files, but none of this program; or it cannot be used.
    pub(crate) fn open(path: &Path, ours: &[&str]) -> anyhow::Result<Self> {
        let name = || path.display().to_string();
        create(path, GUARD).with_context(name)?;
        let owner = fs::metadata(path).with_context(name)?.uid();
        ensure!(
            owner == nix::unistd::geteuid().as_raw(),
            "{} belongs to another user, who could read its secrets: run setup as that user, or \
             choose another directory",
            path.display()
        );
        let is_empty = fs::read_dir(path).with_context(name)?.next().is_none();
        let is_ours = ours.iter().any(|file| path.join(file).exists());
        ensure!(
            is_empty || is_ours || path.join(LOCK).exists(),
            "{} has files, but no ca.pem of an earlier setup: choose an empty directory, or one \
             that does not exist",
            path.display()
        );
        // Only now: a directory of something else keeps its mode.
        set_mode(path, GUARD).with_context(name)?;
        let lock = path.join(LOCK);
        ensure!(!lock.is_symlink(), "{} is a link: remove it", lock.display());
        let lock = File::create(lock).and_then(|lock| lock.lock().map(|()| lock));
        let lock = lock.with_context(|| format!("cannot lock {}", path.display()))?;
        let (path, written, remarks) = (path.to_owned(), Vec::new(), Vec::new());
        let directory = Self { path, written, remarks, _lock: lock };
        set_mode(&directory.path.join(LOCK), PRIVATE)?;
        Ok(directory)
    }

    /// Returns the directory's own path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of a file or folder.
    pub(crate) fn at(&self, file: &str) -> PathBuf {
        self.path.join(file)
    }

    /// Returns the text of a file, without white space around it; `None` without the file.
    ///
    /// # Errors
    /// The file cannot be read, or is empty.
    pub(crate) fn read(&self, file: &str) -> anyhow::Result<Option<String>> {
        let path = self.at(file);
        match fs::read_to_string(&path) {
            Ok(text) if text.trim().is_empty() => {
                anyhow::bail!("{} is empty: remove it, and run setup again", path.display())
            }
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Writes a file for a container.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&mut self, file: &str, text: &str) -> anyhow::Result<()> {
        self.write_with_mode(file, text, SHARED)
    }

    /// Writes a file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write_with_mode(
        &mut self,
        file: &str,
        text: &str,
        mode: u32,
    ) -> anyhow::Result<()> {
        let path = self.at(file);
        if let Some((folder, _)) = file.rsplit_once('/') {
            self.folder(folder)?;
        }
        private_file::write(&path, text.as_bytes())?;
        set_mode(&path, mode)?;
        self.written.push(file.to_owned());
        Ok(())
    }

    /// Creates a folder for a container, if missing.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub(crate) fn folder(&self, folder: &str) -> anyhow::Result<PathBuf> {
        let path = self.at(folder);
        create(&path, FOLDER).with_context(|| path.display().to_string())?;
        set_mode(&path, FOLDER)?;
        Ok(path)
    }

    /// Makes a file readable to a container; one that another part of the program has written.
    ///
    /// # Errors
    /// The mode cannot be changed.
    pub(crate) fn share(&self, file: &str) -> anyhow::Result<()> {
        set_mode(&self.at(file), SHARED)
    }
}

/// File that excludes other processes. A crash before the first secret leaves it alone.
const LOCK: &str = "setup.lock";

fn create(path: &Path, mode: u32) -> std::io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(mode)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn set_mode(path: &Path, mode: u32) -> anyhow::Result<()> {
    let changed = fs::metadata(path).and_then(|file| {
        let is_so = file.permissions().mode() & 0o777 == mode;
        if is_so { Ok(()) } else { fs::set_permissions(path, Permissions::from_mode(mode)) }
    });
    changed.with_context(|| format!("cannot set the mode of {}", path.display()))
}
