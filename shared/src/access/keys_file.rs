//! File of API keys, in TOML: an entry `[[key]]` per key. It has digests, not the keys themselves.

mod changes;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use strum::IntoEnumIterator as _;

pub use self::changes::{KeyRequest, add, revoke, rotate, set_quotas};
use super::api_key::Digest;
use super::key_table::{AcceptedKey, KeyTable, Quotas};
use super::rate::Rate;
use super::{Principal, Reach, Scope, Scopes};
use crate::tenant::Tenant;
use crate::text::Owner;
use crate::timestamp::Timestamp;

const MAX_NAME: usize = 64;
/// Actor of events that the service causes itself.
const RESERVED: &str = "passbook";

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
    /// a bulk request counts.
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
        Ok(toml_edit::de::from_str(text)?)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read, or is not TOML of this form.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let named = || path.display().to_string();
        Self::parse(&std::fs::read_to_string(path).with_context(named)?).with_context(named)
    }

    /// Returns the keys as the services check them.
    ///
    /// # Errors
    /// A key has an invalid name, digest or scope, or its id occurs twice.
    pub fn table(&self) -> anyhow::Result<KeyTable> {
        let (mut table, mut rates) = (KeyTable::default(), HashMap::new());
        for TenantEntry { name, rate, max_accounts, max_open_holds } in &self.tenants {
            let (max_accounts, max_open_holds) = (*max_accounts, *max_open_holds);
            let quotas = Quotas { rate: rate.map(Rate::new), max_accounts, max_open_holds };
            let is_new = table.add_tenant(name.clone(), quotas);
            ensure!(is_new, "tenant {name} occurs twice");
        }
        for key in &self.keys {
            // The keys of a principal share a rate.
            let rate = key.rate.map(|rate| {
                rates.entry((&key.principal, rate)).or_insert_with(|| Rate::new(rate)).clone()
            });
            let quotas = key.tenant.as_ref().and_then(|tenant| table.quotas(tenant));
            let of_tenant = quotas.and_then(|quotas| quotas.rate.clone());
            let rates = rate.into_iter().chain(of_tenant).collect();
            let accepted = key.accepted(rates).with_context(|| format!("key {}", key.id))?;
            ensure!(table.add(key.id.clone(), accepted), "key {} occurs twice", key.id);
        }
        Ok(table)
    }
}

impl KeyEntry {
    fn accepted(&self, rates: Vec<Rate>) -> anyhow::Result<AcceptedKey> {
        check_name(&self.principal)?;
        let digest = Digest::parse(&self.sha256).context("`sha256` is not 64 hex digits")?;
        let (name, scopes) = (self.principal.clone(), parse_scopes(&self.scopes)?);
        let reach = Reach { tenant: self.tenant.clone(), owner: self.owner.clone() };
        check_reach(scopes, &reach)?;
        let principal = Principal { name, scopes, reach, rates };
        Ok(AcceptedKey { digest, expires: self.expires, principal: Arc::new(principal) })
    }
}

/// Checks the name of a principal, which logs and events repeat.
fn check_name(name: &str) -> anyhow::Result<()> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._@".contains(&byte);
    ensure!(name != RESERVED, "`{name}` is the service itself");
    ensure!(
        (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_allowed),
        "`principal` must be 1 to {MAX_NAME} letters, digits or characters of `-._@`"
    );
    Ok(())
}

/// Checks that a key with a restriction has no right to the whole store.
fn check_reach(scopes: Scopes, reach: &Reach) -> anyhow::Result<()> {
    let of_store = scopes.iter().find(|scope| scope.is_of_store());
    ensure!(
        reach.is_everything() || of_store.is_none(),
        "scope `{}` is of the whole store, and the key is of a tenant or an owner",
        of_store.map_or("", Scope::as_str)
    );
    Ok(())
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
