//! File of API keys, in TOML: an entry `[[key]]` per key. It has digests, not the keys themselves.

mod changes;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow, ensure};
use serde::{Deserialize, Serialize};
use strum::IntoEnumIterator as _;

pub(super) use self::changes::add_generated;
pub use self::changes::{KeyRequest, add, revoke, rotate, set_quotas};
use super::api_key::{Digest, is_id};
use super::key_table::{AcceptedKey, KeyTable, Quotas};
use super::limits::{check_name, check_reach};
use super::rate::{Rate, Rates};
use super::{Principal, Reach, Scope, Scopes};
use crate::tenant::Tenant;
use crate::text::Owner;
use crate::timestamp::Timestamp;

/// Content of the file.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysFile {
    /// Keys, oldest first.
    #[serde(default, rename = "key")]
    pub keys: Vec<KeyEntry>,
    /// Tenants with quotas.
    #[serde(default, rename = "tenant")]
    pub tenants: Vec<TenantEntry>,
}

/// Quotas of a tenant in the file; each is without limit, if absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantEntry {
    /// Name of the tenant.
    pub name: Tenant,
    /// Maximum number of requests per second of all its principals. Each command of a bulk request
    /// counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<NonZeroU32>,
    /// Maximum number of its open accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_accounts: Option<u32>,
    /// Maximum number of open holds on its accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_open_holds: Option<u32>,
}

/// Key in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyEntry {
    /// Id of the key, the second part of its text.
    pub id: String,
    /// Name of the principal. During a rotation, two keys have the same one.
    pub principal: String,
    /// SHA-256 digest of the key's text, in hexadecimal.
    pub sha256: String,
    /// Time from which on the key is refused, in RFC 3339; never, if absent.
    // Before the scopes: of a file that is cut off, no key is accepted for longer than it is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Tenant to whose accounts the key is restricted; none, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// Owner to whose accounts the key is restricted; none, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// Maximum number of requests per second of the principal; no limit, if absent. Each command of
    /// a bulk request counts. The lowest one of a principal's keys holds for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<NonZeroU32>,
    /// Names of the scopes.
    pub scopes: Vec<String>,
    /// Remark for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl KeysFile {
    /// Parses the text of a file.
    ///
    /// # Errors
    /// The text is not TOML of this form; the message has the line.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        toml_edit::de::from_str(text).map_err(|error: toml_edit::de::Error| {
            // The error's own text quotes the line, and readiness and logs repeat it.
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            anyhow!("line {}: {}", before.matches('\n').count() + 1, error.message())
        })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read, or is not TOML of this form.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let content = std::fs::read(path).with_context(|| path.display().to_string())?;
        Self::of_content(path, &content)
    }

    /// Parses the content of a file, whose path an error names.
    pub(super) fn of_content(path: &Path, content: &[u8]) -> anyhow::Result<Self> {
        let text = str::from_utf8(content).map_err(anyhow::Error::from);
        text.and_then(Self::parse).with_context(|| path.display().to_string())
    }

    /// Returns the keys as the services check them.
    ///
    /// # Errors
    /// A key has an invalid name, digest or scope, or its id occurs twice.
    pub fn table(&self) -> anyhow::Result<KeyTable> {
        self.table_with(&mut Rates::default())
    }

    /// Returns the keys as the services check them, with rates that may be in use already.
    pub(super) fn table_with(&self, rates: &mut Rates) -> anyhow::Result<KeyTable> {
        let mut table = KeyTable::default();
        let mut next = rates.of(&self.limits());
        for TenantEntry { name, max_accounts, max_open_holds, .. } in &self.tenants {
            let (max_accounts, max_open_holds) = (*max_accounts, *max_open_holds);
            let quotas = Quotas { rate: next.get(&of_tenant(name)), max_accounts, max_open_holds };
            let is_new = table.add_tenant(name.clone(), quotas);
            ensure!(is_new, "tenant {name} occurs twice");
        }
        for key in &self.keys {
            let rate = next.get(&key.principal);
            let accepted = key.accepted(rate).with_context(|| format!("key {}", key.id))?;
            ensure!(table.add(key.id.clone(), accepted), "key {} occurs twice", key.id);
        }
        std::mem::swap(rates, &mut next);
        Ok(table)
    }

    /// Returns the limit of each principal that has one, the lowest of its keys for all of them,
    /// and of each tenant.
    fn limits(&self) -> HashMap<String, NonZeroU32> {
        let of_tenants = self.tenants.iter();
        let of_tenants = of_tenants.filter_map(|entry| Some((of_tenant(&entry.name), entry.rate?)));
        let mut limits: HashMap<String, NonZeroU32> = of_tenants.collect();
        for (principal, rate) in
            self.keys.iter().filter_map(|key| Some((key.principal.clone(), key.rate?)))
        {
            limits.entry(principal).and_modify(|limit| *limit = rate.min(*limit)).or_insert(rate);
        }
        limits
    }
}

/// Returns the name of a tenant's rate. No principal has a name with a space.
fn of_tenant(tenant: &Tenant) -> String {
    format!("tenant {tenant}")
}

impl KeyEntry {
    fn accepted(&self, rate: Option<Rate>) -> anyhow::Result<AcceptedKey> {
        ensure!(is_id(&self.id), "`id` is not the second part of a key");
        check_name(&self.principal)?;
        let digest = Digest::parse(&self.sha256).context("`sha256` is not 64 hex digits")?;
        let (name, scopes) = (self.principal.clone(), parse_scopes(&self.scopes)?);
        let reach = Reach { tenant: self.tenant.clone(), owner: self.owner.clone() };
        check_reach(scopes, &reach)?;
        let principal = Principal { name, scopes, reach, rate };
        Ok(AcceptedKey { digest, expires: self.expires, principal: Arc::new(principal) })
    }
}

/// Parses the names of scopes.
///
/// # Errors
/// A name is unknown; the message lists the known ones.
pub fn parse_scopes(names: &[String]) -> anyhow::Result<Scopes> {
    let parse = |name: &String| {
        name.parse::<Scope>().ok().with_context(|| {
            let known: Vec<_> = Scope::iter().map(Scope::as_str).collect();
            format!("there is no scope `{name}`; the scopes are {}", known.join(", "))
        })
    };
    names.iter().map(parse).collect()
}
