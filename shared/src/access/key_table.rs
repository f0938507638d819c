//! Keys that the services accept, by id.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use strum::IntoStaticStr;
use thiserror::Error;

use super::api_key::{Digest, id_of};
use super::jwt::TokenFault;
use super::{Principal, Rate};
use crate::tenant::Tenant;
use crate::timestamp::Timestamp;

/// Accepted keys by id, and quotas by tenant.
#[derive(Debug, Default)]
pub struct KeyTable {
    keys: HashMap<String, AcceptedKey>,
    /// Names of the principals of keys.
    names: HashSet<String>,
    tenants: HashMap<Tenant, Quotas>,
}

/// Quotas of a tenant; each is without limit, if absent.
#[derive(Debug, Clone)]
pub struct Quotas {
    /// Limit on the requests of all its principals.
    pub rate: Option<Rate>,
    /// Maximum number of its open accounts.
    pub max_accounts: Option<u32>,
    /// Maximum number of open holds on its accounts.
    pub max_open_holds: Option<u32>,
}

/// Key of a principal.
#[derive(Debug, Clone)]
pub struct AcceptedKey {
    /// Digest of the key's text.
    pub digest: Digest,
    /// Time from which on the key is refused.
    pub expires: Option<Timestamp>,
    /// Principal that the key identifies.
    pub principal: Arc<Principal>,
}

/// Reason why a request has no principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Unauthenticated {
    /// The request has no credentials.
    #[error("the request has no `Authorization: Bearer` header with an API key or a token")]
    Missing,
    /// The credentials have no known form.
    #[error("`Authorization` is not `Bearer` with an API key or a token of a known issuer")]
    Malformed,
    /// The key is unknown or was revoked, or its secret part is wrong.
    #[error("the API key is not known")]
    Unknown,
    /// The key has expired.
    #[error("the API key has expired")]
    Expired,
    /// The token is not valid.
    #[error("{0}")]
    #[strum(serialize = "invalid_token")]
    Token(TokenFault),
}

impl KeyTable {
    /// Adds a key. Returns false if the table has its id already.
    pub fn add(&mut self, id: String, key: AcceptedKey) -> bool {
        self.names.insert(key.principal.name.clone());
        self.keys.insert(id, key).is_none()
    }

    /// Returns true if a key identifies a principal of this name.
    pub fn has_principal(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Adds the quotas of a tenant. Returns false if the table has them already.
    pub fn add_tenant(&mut self, tenant: Tenant, quotas: Quotas) -> bool {
        self.tenants.insert(tenant, quotas).is_none()
    }

    /// Returns the quotas of a tenant, if it has any.
    pub fn quotas(&self, tenant: &Tenant) -> Option<&Quotas> {
        self.tenants.get(tenant)
    }

    /// Returns true if a tenant has quotas.
    pub fn has_quotas(&self) -> bool {
        !self.tenants.is_empty()
    }

    /// Returns the principal that a text identifies at a time.
    ///
    /// # Errors
    /// The text is no accepted key.
    pub fn authenticate(
        &self,
        text: &str,
        now: Timestamp,
    ) -> Result<Arc<Principal>, Unauthenticated> {
        let id = id_of(text).ok_or(Unauthenticated::Malformed)?;
        let key = self.keys.get(id).ok_or(Unauthenticated::Unknown)?;
        // Only the holder of a key learns that it has expired.
        if !Digest::of(text).is(&key.digest) {
            return Err(Unauthenticated::Unknown);
        }
        if key.expires.is_some_and(|expires| expires <= now) {
            return Err(Unauthenticated::Expired);
        }
        Ok(Arc::clone(&key.principal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::api_key::NewKey;
    use crate::access::{Reach, Scopes};

    #[test]
    fn a_key_identifies_its_principal_until_it_expires() {
        let (key, other) = (NewKey::generate().unwrap(), NewKey::generate().unwrap());
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (name, scopes) = ("payroll".to_owned(), Scopes::default());
        let principal = Arc::new(Principal { name, scopes, reach: Reach::default(), rate: None });
        let accepted = AcceptedKey {
            digest: key.digest,
            expires: Some(at("2026-12-01T00:00:00Z")),
            principal: Arc::clone(&principal),
        };
        let mut table = KeyTable::default();
        assert!(table.add(key.id.clone(), accepted.clone()));
        let (early, late) = (at("2026-11-30T23:59:59Z"), at("2026-12-01T00:00:00Z"));
        let found =
            |text: &str, time| table.authenticate(text, time).map(|found| found.name.clone());
        assert_eq!(found(&key.text, early), Ok("payroll".to_owned()));
        assert_eq!(found(&key.text, late), Err(Unauthenticated::Expired));
        assert_eq!(found(&other.text, early), Err(Unauthenticated::Unknown));
        // The right id with another secret.
        let forged = other.text.replace(&other.id, &key.id);
        for time in [early, late] {
            assert_eq!(found(&forged, time), Err(Unauthenticated::Unknown));
        }
        assert_eq!(found("secret", early), Err(Unauthenticated::Malformed));
        assert!(!table.add(key.id, accepted));
    }
}
