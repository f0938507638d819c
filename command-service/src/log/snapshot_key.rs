//! Key that authenticates snapshots: write access to the database alone does not suffice to forge
//! one.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use passbook_shared::partition::Partition;
use sha2::Sha256;
use uuid::Uuid;

/// Length of the key id at the start of a MAC, in bytes.
pub(super) const ID_BYTES: usize = 8;

/// Data that a MAC covers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signed<'a> {
    pub(super) partition: Partition,
    pub(super) account_id: Uuid,
    pub(super) version: i64,
    pub(super) position: i64,
    pub(super) state_version: i16,
    /// State as stored.
    pub(super) state: &'a str,
}

/// HMAC-SHA-256 key derived from the service's secret.
#[derive(Clone)]
pub struct SnapshotKey {
    /// Shared, because every request clones the key.
    keyed: Arc<Hmac<Sha256>>,
    id: [u8; ID_BYTES],
}

impl std::fmt::Debug for SnapshotKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The secret must not get into logs.
        f.write_str("SnapshotKey")
    }
}

impl SnapshotKey {
    /// Creates the key of a secret.
    ///
    /// # Panics
    /// Never: HMAC accepts a secret of any length.
    #[expect(clippy::expect_used, reason = "HMAC accepts secrets of any length")]
    pub fn new(secret: &[u8]) -> Self {
        let keyed =
            Hmac::<Sha256>::new_from_slice(secret).expect("HMAC accepts a secret of any length");
        // A digest names the key without revealing the secret.
        let digest = keyed.clone().chain_update(b"passbook snapshot key").finalize().into_bytes();
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&digest[..ID_BYTES]);
        Self { keyed: Arc::new(keyed), id }
    }

    /// Creates a key from a random secret.
    pub fn random() -> Self {
        let secret = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
        Self::new(&secret)
    }

    /// Returns the id of the key, with which every MAC begins.
    pub(super) fn id(&self) -> &[u8] {
        &self.id
    }

    /// Returns the MAC of a snapshot.
    pub(super) fn mac(&self, signed: Signed<'_>) -> Vec<u8> {
        [self.id.as_slice(), &self.keyed(signed).finalize().into_bytes()].concat()
    }

    /// Returns whether a snapshot was written by a service with this key.
    pub(super) fn is_genuine(&self, signed: Signed<'_>, mac: &[u8]) -> bool {
        // `verify_slice` takes the same time for any MAC, so timing reveals nothing.
        mac.strip_prefix(&self.id)
            .is_some_and(|digest| self.keyed(signed).verify_slice(digest).is_ok())
    }

    fn keyed(&self, signed: Signed<'_>) -> Hmac<Sha256> {
        let Signed { partition, account_id, version, position, state_version, state } = signed;
        // All parts but the last have a fixed length, so the concatenation is unambiguous.
        Hmac::clone(&self.keyed)
            .chain_update(partition.get().to_be_bytes())
            .chain_update(account_id.as_bytes())
            .chain_update(version.to_be_bytes())
            .chain_update(position.to_be_bytes())
            .chain_update(state_version.to_be_bytes())
            .chain_update(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_snapshot_is_authenticated() {
        let key = SnapshotKey::new(b"a secret");
        let (partition, account_id) = (Partition::new(3), Uuid::from_u128(7));
        let signed = Signed {
            partition,
            account_id,
            version: 500,
            position: 900,
            state_version: 2,
            state: r#"{"balance":1}"#,
        };
        let mac = key.mac(signed);
        assert!(
            key.is_genuine(signed, &mac) && SnapshotKey::new(b"a secret").is_genuine(signed, &mac)
        );
        assert!(mac.starts_with(key.id()));
        let altered = [
            Signed { partition: Partition::new(4), ..signed },
            Signed { account_id: Uuid::from_u128(8), ..signed },
            Signed { version: 501, ..signed },
            Signed { position: 901, ..signed },
            Signed { state_version: 3, ..signed },
            Signed { state: r#"{"balance":2}"#, ..signed },
        ];
        assert!(altered.into_iter().all(|altered| !key.is_genuine(altered, &mac)));
        assert!(!SnapshotKey::random().is_genuine(signed, &mac));
        assert!((0..mac.len()).all(|length| !key.is_genuine(signed, &mac[..length])));
    }
}
