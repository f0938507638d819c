//! Authentication of the topic's records: write access to Kafka alone does not suffice to forge
//! one. Pure.
//!
//! A header has the id of a key and an HMAC-SHA-256 of the record's partition, key and value. The
//! name of the topic is left out, so that a mirrored or renamed topic stays valid. The value names
//! the store, so a record of another store is still recognised. The timestamp and the time of
//! publishing are left out too, because they differ each time a record is published.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac as _};
use rdkafka::message::{Headers, Message};
use sha2::Sha256;
use thiserror::Error;

use crate::hex;
use crate::partition::Partition;

/// Name of the header with the MAC of a record.
pub const MAC: &str = "passbook-mac";
/// Separates these MACs from others under the same key.
const CONTEXT: &[u8] = b"passbook record 1\n";
/// Length of a key's id, in hex digits.
const ID: usize = 8;
/// Length of a header: id, colon, and the digest in hex digits.
const LENGTH: usize = ID + 1 + 64;

/// Text of the header: the key's id, a colon and the digest, in lower-case hex digits. Text,
/// because SDKs of CloudEvents decode each header as UTF-8.
pub type MacText = [u8; LENGTH];

/// Keys of the topic's records. The first one signs, and all of them verify. Without keys, no
/// record is signed and each one counts as authentic. Cheap to clone.
#[derive(Clone, Default)]
pub struct TopicKeys(Arc<[TopicKey]>);

struct TopicKey {
    /// Digest that names the key without revealing the secret.
    id: [u8; ID],
    keyed: Hmac<Sha256>,
}

/// Parts of a record that its MAC covers.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// Partition of the topic.
    pub partition: Partition,
    /// Key of the record.
    pub key: &'a [u8],
    /// Value of the record.
    pub value: &'a [u8],
}

/// Reason why a record is not authentic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unauthentic {
    /// The record has no MAC.
    #[error("it has no MAC")]
    Unsigned,
    /// The record was signed with an unknown key.
    #[error("its MAC is of an unknown key. Do both services have the same TOPIC_KEY?")]
    UnknownKey,
    /// The MAC is malformed, or the record was altered or moved to another partition.
    #[error("its MAC is wrong")]
    WrongMac,
}

impl TopicKeys {
    /// Creates keys of secrets, the signing one first.
    pub fn new(secrets: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        Self(secrets.into_iter().map(|secret| TopicKey::new(secret.as_ref())).collect())
    }

    /// Returns true if records are not authenticated.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the MAC of a record; `None` without keys.
    pub fn sign(&self, signed: Signed<'_>) -> Option<MacText> {
        self.0.first().map(|key| key.sign(signed))
    }

    /// Checks the MAC of a record that was read from a partition.
    ///
    /// # Errors
    /// The record is not authentic, and nothing of its content may be believed.
    pub fn check(&self, partition: Partition, record: &impl Message) -> Result<(), Unauthentic> {
        if self.is_empty() {
            return Ok(());
        }
        let headers = record.headers().into_iter().flat_map(Headers::iter);
        let mac = headers.filter(|header| header.key == MAC).find_map(|header| header.value);
        let (key, value) = (record.key().unwrap_or_default(), record.payload().unwrap_or_default());
        self.verify(Signed { partition, key, value }, mac.ok_or(Unauthentic::Unsigned)?)
    }

    fn verify(&self, signed: Signed<'_>, mac: &[u8]) -> Result<(), Unauthentic> {
        let (id, digest) = parse(mac).ok_or(Unauthentic::WrongMac)?;
        let key = self.0.iter().find(|key| key.id == id).ok_or(Unauthentic::UnknownKey)?;
        // `verify_slice` takes the same time for any digest, so timing reveals nothing.
        key.digest_of(signed).verify_slice(&digest).map_err(|_| Unauthentic::WrongMac)
    }
}

impl std::fmt::Debug for TopicKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The secrets must not get into logs.
        write!(f, "{} topic keys", self.0.len())
    }
}

impl TopicKey {
    #[expect(clippy::expect_used, reason = "HMAC accepts secrets of any length")]
    fn new(secret: &[u8]) -> Self {
        let keyed =
            Hmac::<Sha256>::new_from_slice(secret).expect("HMAC accepts a secret of any length");
        let digest = keyed.clone().chain_update(b"passbook topic key").finalize().into_bytes();
        let mut id = [0; ID];
        hex::write(&digest[..ID / 2], &mut id);
        Self { id, keyed }
    }

    fn sign(&self, signed: Signed<'_>) -> MacText {
        let mut text = [b':'; LENGTH];
        text[..ID].copy_from_slice(&self.id);
        hex::write(&self.digest_of(signed).finalize().into_bytes(), &mut text[ID + 1..]);
        text
    }

    fn digest_of(&self, Signed { partition, key, value }: Signed<'_>) -> Hmac<Sha256> {
        // The length of the key makes the concatenation unambiguous.
        let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
        self.keyed
            .clone()
            .chain_update(CONTEXT)
            .chain_update(i32::from(partition).to_be_bytes())
            .chain_update(length.to_be_bytes())
            .chain_update(key)
            .chain_update(value)
    }
}

/// Returns the key's id and the digest of a header.
fn parse(mac: &[u8]) -> Option<([u8; ID], [u8; 32])> {
    let (id, digest) = mac.split_first_chunk::<ID>()?;
    Some((*id, hex::parse(digest.strip_prefix(b":")?)?))
}
