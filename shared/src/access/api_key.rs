//! Text of an API key: `pbk_`, the id of the key, `_`, and 256 random bits. The prefix lets
//! scanners find keys in source code. The services store a SHA-256 digest only: a slow hash
//! protects secrets that people choose, and this one is random.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

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
        let id = hex(&id);
        let text = format!("{PREFIX}{id}_{}", hex(&secret));
        Ok(Self { digest: Digest::of(&text), id, text })
    }
}

/// Returns the id of a key, if the text has the form of one.
pub fn id_of(text: &str) -> Option<&str> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let is_hex = |part: &str, bytes: usize| {
        part.len() == 2 * bytes && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    (is_hex(id, ID_BYTES) && is_hex(secret, SECRET_BYTES)).then_some(id)
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
        let (pairs, rest) = hexadecimal.as_bytes().as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() {
            return None;
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(pairs) {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'))?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Self(digest))
    }

    /// Compares two digests in a time that does not depend on them.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
