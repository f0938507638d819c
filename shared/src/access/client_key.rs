//! API key that a client of a service sends.

use std::fmt;

use axum::http::HeaderValue;
use axum::http::header::AUTHORIZATION;
use clap::Args;

use super::api_key::id_of;
use crate::config::{Unrepeated, secret_file};

/// Options of a command that calls a running service.
#[derive(Debug, Clone, Default, Args)]
pub struct ClientOptions {
    /// File with the API key of the caller: the key alone, or the line `Authorization: Bearer KEY`.
    #[arg(long, env = "PASSBOOK_KEY_FILE", value_parser = Unrepeated(ClientKey::of_file))]
    pub key_file: Option<ClientKey>,
}

/// API key of a client, hidden from debug output.
#[derive(Clone)]
pub struct ClientKey(HeaderValue);

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientKey")
    }
}

impl ClientKey {
    /// Reads a key from a file.
    ///
    /// # Errors
    /// The file cannot be read or has no key.
    pub fn of_file(path: &str) -> Result<Self, String> {
        let text = secret_file(path)?;
        let key = text.trim();
        // A file for curl's option -H has the whole header.
        let key = key.strip_prefix("Authorization: Bearer ").unwrap_or(key);
        id_of(key).ok_or("names a file that does not contain an API key")?;
        let mut header = HeaderValue::from_str(&format!("Bearer {key}"))
            .map_err(|_| "names a file that does not contain an API key".to_owned())?;
        header.set_sensitive(true);
        Ok(Self(header))
    }

    /// Returns the value of the header `Authorization`.
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// Returns the headers that a client sends with every request.
pub fn headers(key: Option<&ClientKey>) -> axum::http::HeaderMap {
    key.map(|key| (AUTHORIZATION, key.header())).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::api_key::NewKey;

    #[test]
    fn a_key_is_read_alone_or_as_a_header() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let of_file = |content: &str| {
            std::fs::write(&path, content).unwrap();
            ClientKey::of_file(path.to_str().unwrap())
        };
        let key = NewKey::generate().unwrap().text;
        for content in [key.clone(), format!("{key}\n"), format!("Authorization: Bearer {key}\n")] {
            let read = of_file(&content).unwrap();
            assert_eq!(headers(Some(&read))[AUTHORIZATION], format!("Bearer {key}"));
            assert!(!format!("{read:?} {:?}", headers(Some(&read))).contains(&key));
        }
        for content in ["", "secret", &key[1..]] {
            let said = of_file(content).unwrap_err();
            assert_eq!(said, "names a file that does not contain an API key");
        }
        std::fs::remove_file(&path).unwrap();
        let said = ClientKey::of_file(path.to_str().unwrap()).unwrap_err();
        assert!(said.starts_with("names a file that can't be read: "), "{said}");
        assert!(headers(None).is_empty());
    }
}
