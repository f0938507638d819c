//! Changes of the file: a key is added, replaced or revoked. Comments of the file stay.

use std::fs::File;
use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use super::{KeyEntry, KeysFile, TenantEntry};
use crate::access::api_key::NewKey;
use crate::access::limits::check_name;
use crate::access::{Reach, Scopes};
use crate::private_file;
use crate::timestamp::Timestamp;

/// Key to add.
#[derive(Debug, Clone)]
pub struct KeyRequest {
    /// Name of the principal.
    pub principal: String,
    /// Rights of the principal.
    pub scopes: Scopes,
    /// Accounts that the rights apply to.
    pub reach: Reach,
    /// Maximum number of requests per second; no limit, if absent.
    pub rate: Option<NonZeroU32>,
    /// Lifetime of the key; without end, if absent.
    pub lifetime: Option<Duration>,
    /// Remark for people.
    pub note: Option<String>,
}

/// Adds a key to a file, which is created if missing. Returns the key.
///
/// # Errors
/// The name is invalid, or the file cannot be read or written.
pub fn add(path: &Path, request: &KeyRequest) -> anyhow::Result<NewKey> {
    let key = NewKey::generate().context("no random numbers")?;
    add_generated(path, request, &key)?;
    Ok(key)
}

/// Adds a key that exists already.
///
/// # Errors
/// The same as of [`add`].
pub(in crate::access) fn add_generated(
    path: &Path,
    request: &KeyRequest,
    key: &NewKey,
) -> anyhow::Result<()> {
    check_name(&request.principal)?;
    let entry = KeyEntry {
        id: key.id.clone(),
        principal: request.principal.clone(),
        sha256: key.digest.to_string(),
        expires: request.lifetime.map(from_now).transpose()?,
        tenant: request.reach.tenant.clone(),
        owner: request.reach.owner.clone(),
        rate: request.rate,
        scopes: request.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        note: request.note.clone(),
    };
    change(path, |document| push(document, &entry))
}

/// Adds a key with the rights of a principal's newest key. The other keys of the principal expire
/// after `overlap`, if not earlier. Returns the key.
///
/// # Errors
/// The principal has no key; its newest key expires and `lifetime` is absent; or the file cannot be
/// read or written.
pub fn rotate(
    path: &Path,
    principal: &str,
    overlap: Duration,
    lifetime: Option<Duration>,
) -> anyhow::Result<NewKey> {
    let key = NewKey::generate().context("no random numbers")?;
    let (end, expires) = (from_now(overlap)?, lifetime.map(from_now).transpose()?);
    change(path, |document| {
        let file = KeysFile::parse(&document.to_string())?;
        let newest = file.keys.iter().rfind(|entry| entry.principal == principal);
        let newest = newest.with_context(|| format!("`{principal}` has no key"))?;
        ensure!(
            newest.expires.is_none() || expires.is_some(),
            "the newest key of `{principal}` expires: --expires-days is needed for the next one"
        );
        for (entry, table) in file.keys.iter().zip(keys(document)?.iter_mut()) {
            if entry.principal == principal && entry.expires.is_none_or(|expires| expires > end) {
                table.insert("expires", value(end.to_string()));
            }
        }
        let (id, sha256) = (key.id.clone(), key.digest.to_string());
        push(document, &KeyEntry { id, sha256, expires, ..newest.clone() })
    })?;
    Ok(key)
}

/// Removes a key by its id, or all keys of a principal. Returns the number of removed keys.
///
/// # Errors
/// No key has the id or principal, or the file cannot be read or written.
pub fn revoke(path: &Path, id_or_principal: &str) -> anyhow::Result<usize> {
    let mut removed = 0;
    change(path, |document| {
        let is_it = |table: &Table, name| {
            table.get(name).and_then(Item::as_str).is_some_and(|text| text == id_or_principal)
        };
        let keys = keys(document)?;
        let before = keys.len();
        keys.retain(|table| !is_it(table, "id") && !is_it(table, "principal"));
        removed = before - keys.len();
        if removed == 0 {
            bail!("no key has the id or principal `{id_or_principal}`");
        }
        Ok(())
    })?;
    Ok(removed)
}

/// Sets the quotas of a tenant, in place of those that it has.
///
/// # Errors
/// The file cannot be read or written.
pub fn set_quotas(path: &Path, quotas: &TenantEntry) -> anyhow::Result<()> {
    change(path, |document| {
        let entry = toml_edit::ser::to_document(quotas)?;
        let tenants = tables(document, "tenant")?;
        tenants.retain(|table| table.get("name").and_then(Item::as_str) != Some(&*quotas.name));
        tenants.push(entry.as_table().clone());
        Ok(())
    })
}

fn from_now(lifetime: Duration) -> anyhow::Result<Timestamp> {
    let micros = i64::try_from(lifetime.as_micros()).ok();
    let end = micros.and_then(|micros| Timestamp::now().as_micros().checked_add(micros));
    end.and_then(Timestamp::from_micros).context("the time is too far in the future")
}

/// Returns the keys of a document.
fn keys(document: &mut DocumentMut) -> anyhow::Result<&mut ArrayOfTables> {
    tables(document, "key")
}

/// Returns the entries of a document with this name. The document lacks them before the first one.
fn tables<'d>(document: &'d mut DocumentMut, name: &str) -> anyhow::Result<&'d mut ArrayOfTables> {
    let tables = document.entry(name).or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
    tables.as_array_of_tables_mut().with_context(|| format!("`{name}` is not an array of tables"))
}

fn push(document: &mut DocumentMut, entry: &KeyEntry) -> anyhow::Result<()> {
    let entry = toml_edit::ser::to_document(entry)?;
    keys(document)?.push(entry.as_table().clone());
    Ok(())
}

/// Changes a file atomically. Concurrent changes wait for each other.
fn change(
    path: &Path,
    change: impl FnOnce(&mut DocumentMut) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let directory = path.parent().filter(|path| !path.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    let changed = || {
        // The directory is locked, because the file itself is replaced.
        let lock = File::open(directory)?;
        lock.lock()?;
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let mut document: DocumentMut = text.parse()?;
        change(&mut document)?;
        // An entry that the services would refuse is not written.
        let text = document.to_string();
        KeysFile::parse(&text)?.table()?;
        private_file::write(path, text.as_bytes())
    };
    changed().with_context(|| path.display().to_string())
}
