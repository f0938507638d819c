//! Text of an API key: `pbk_`, the id of the key, `_`, and 256 random bits. The prefix lets
//! scanners find keys in source code. The services store a SHA-256 digest only: a slow hash
//! protects secrets that people choose, and this one is random.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::hex;

const PREFIX: &str = "pbk_";
/// Number of random bytes of an id.
const ID_BYTES: usize = 5;
/// Number of random bytes of a secret.
const SECRET_BYTES: usize = 32;

/// New API key. Its text is shown once and not stored.
pub struct NewKey {
    /// Id of the key, which is not secret.
    pub id: String,
    /// Text that a client sends.
    pub text: String,
    /// Digest that the services store.
    pub digest: Digest,
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl NewKey {
    /// Generates a key.
    ///
    /// # Errors
    /// The operating system has no random numbers.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let (mut id, mut secret) = ([0; ID_BYTES], [0; SECRET_BYTES]);
        getrandom::fill(&mut id)?;
        getrandom::fill(&mut secret)?;
        let id = hex::text(&id);
        let text = format!("{PREFIX}{id}_{}", hex::text(&secret));
        Ok(Self { digest: Digest::of(&text), id, text })
    }
}

/// Returns the id of a key, if the text has the form of one.
pub fn id_of(text: &str) -> Option<&str> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    (is_id(id) && is_hex(secret, SECRET_BYTES)).then_some(id)
}

/// Returns true if a text begins as an API key does.
pub(crate) fn is_prefixed(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// Returns true if a text has the form of a key's id.
pub(super) fn is_id(text: &str) -> bool {
    is_hex(text, ID_BYTES)
}

fn is_hex(text: &str, bytes: usize) -> bool {
    text.len() == 2 * bytes && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// SHA-256 digest of a key's text.
#[derive(Debug, Clone, Copy)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Returns the digest of a text.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// Parses 64 hexadecimal digits.
    pub fn parse(hexadecimal: &str) -> Option<Self> {
        hex::parse(hexadecimal.to_ascii_lowercase().as_bytes()).map(Self)
    }

    /// Compares two digests in a time that does not depend on them.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::text(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_names_its_id_and_matches_its_digest() {
        let (key, other) = (NewKey::generate().unwrap(), NewKey::generate().unwrap());
        assert_eq!(id_of(&key.text), Some(&*key.id));
        assert_eq!(key.text.len(), "pbk_".len() + 10 + 1 + 64);
        assert!(Digest::of(&key.text).is(&key.digest) && !other.digest.is(&key.digest));
        let read = Digest::parse(&key.digest.to_string()).unwrap();
        assert!(read.is(&key.digest));
        assert!(!format!("{key:?}").contains(&key.text));
    }

    #[test]
    fn the_digest_is_sha_256_of_the_whole_text() {
        let text = format!("pbk_0123456789_{}", "0".repeat(64));
        assert_eq!(
            Digest::of(&text).to_string(),
            "331335eb2cf786e9e24ddef38f750c0d0e0186f62911d4353e173c6ccb9aaa16"
        );
    }

    #[test]
    fn other_texts_are_no_keys_and_no_digests() {
        let secret = "0".repeat(64);
        for text in [
            String::new(),
            "pbk_".to_owned(),
            format!("pbk_0123456789{secret}"),
            format!("pbk_012345678_{secret}"),
            format!("pbk_0123456789_{secret}0"),
            format!("PBK_0123456789_{secret}"),
            format!("pbk_012345678G_{secret}"),
            format!("pbk_0123456789_{}A", &secret[1..]),
        ] {
            assert_eq!(id_of(&text), None, "{text}");
        }
        for text in ["", "00", &"0".repeat(63), &"0".repeat(65), &"g0".repeat(32), &"+1".repeat(32)]
        {
            assert!(Digest::parse(text).is_none(), "{text}");
        }
    }
}
