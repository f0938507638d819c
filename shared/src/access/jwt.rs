//! JSON Web Tokens (RFC 7519) as credentials, for identities that another system issues. Its public
//! keys come from a file or a URL.

mod claims;
mod fault;
mod key_set;
mod refresh;
mod rules;
mod source;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use parking_lot::RwLock;
use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

pub use self::fault::TokenFault;
use self::key_set::KeySet;
use self::refresh::Refresh;
pub use self::rules::TokenRules;
pub use self::source::KeySource;
use super::{Principal, Rate};
use crate::health::Health;
use crate::timestamp::Timestamp;

/// Maximum number of verified tokens that are remembered.
const REMEMBERED: usize = 10_000;
/// Maximum time for which a verified token is remembered, in microseconds.
const MEMORY: i64 = 60_000_000;
/// Maximum number of principals whose rates are remembered.
const RATES: usize = 10_000;

/// Verifier of tokens. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tokens(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rules: TokenRules,
    source: KeySource,
    keys: RwLock<Arc<KeySet>>,
    verified: Cache<[u8; 32], Verified>,
    rates: Cache<String, Rate>,
    /// Fetch of the key set after a token with an unknown key.
    refresh: Refresh,
}

/// Verified token.
#[derive(Debug, Clone)]
struct Verified {
    principal: Arc<Principal>,
    /// Keys that verified the token. After a change of the keys, the token is verified again.
    by: Arc<KeySet>,
    /// Time until which the token is not verified again.
    until: Timestamp,
}

impl Tokens {
    /// Creates a verifier. The keys of a file are read; those of a URL are unknown until
    /// [`Tokens::watch`] has fetched them.
    ///
    /// # Errors
    /// The file cannot be read or has no usable key.
    pub fn new(rules: TokenRules, source: KeySource) -> anyhow::Result<Self> {
        let keys = RwLock::new(Arc::new(source.first()?));
        let (verified, rates) = (Cache::new(REMEMBERED), Cache::new(RATES));
        let refresh = Refresh::new();
        Ok(Self(Arc::new(Inner { rules, source, keys, verified, rates, refresh })))
    }

    /// Returns the principal that a token identifies at a time.
    ///
    /// # Errors
    /// The token is not valid.
    pub fn authenticate(&self, token: &str, now: Timestamp) -> Result<Arc<Principal>, TokenFault> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let keys = Arc::clone(&self.0.keys.read());
        if let Some(known) = self.0.verified.get(&digest)
            && Arc::ptr_eq(&known.by, &keys)
            && now < known.until
        {
            return Ok(known.principal);
        }
        let claims = keys.verify(token, &self.0.rules).inspect_err(|fault| {
            if *fault == TokenFault::UnknownKey {
                self.0.refresh.ask();
            }
        })?;
        let rate = self.rate(&claims.sub);
        let expires = claims.expires();
        let principal = Arc::new(claims.principal(rate)?);
        let until = now.as_micros().saturating_add(MEMORY).min(expires);
        if let Some(until) = Timestamp::from_micros(until) {
            let verified = Verified { principal: Arc::clone(&principal), by: keys, until };
            self.0.verified.insert(digest, verified);
        }
        Ok(principal)
    }

    /// Waits for the end of a fetch of the keys, if one is under way or may begin at once: for some
    /// seconds at most. A token whose key was unknown may be valid then.
    pub async fn fetched(&self) {
        self.0.refresh.ended().await;
    }

    /// Reads the keys again until the shutdown. A fault changes nothing and degrades readiness.
    ///
    /// # Errors
    /// The HTTP client or a thread could not be started.
    pub async fn watch(self, health: Health, shutdown: CancellationToken) -> anyhow::Result<()> {
        let adopt = |keys: KeySet| {
            tracing::info!(keys = keys.len(), "the keys of the issuer of tokens were read");
            *self.0.keys.write() = Arc::new(keys);
        };
        self.0.source.clone().follow(adopt, &self.0.refresh, health, shutdown).await
    }

    fn rate(&self, name: &str) -> Option<Rate> {
        let limit = self.0.rules.rate?;
        // A failed insertion is none: the function returns no error.
        let rate = self.0.rates.get_or_insert_with(name, || Ok::<_, ()>(Rate::new(limit)));
        rate.ok()
    }
}
