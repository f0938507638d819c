//! Issuer of the tokens that all services of the run accept.

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::Context;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use passbook_shared::timestamp::Timestamp;
use serde_json::{Value, json};

use crate::infrastructure::directory;

pub(crate) const ISSUER: &str = "https://id.example";
pub(crate) const AUDIENCE: &str = "passbook-e2e";
const KEY_ID: &str = "2026-11";

/// Issuer with one key.
pub(crate) struct Issuer {
    private: EncodingKey,
    /// Bytes of the public key.
    public: Vec<u8>,
    /// File with the public key.
    pub(crate) file: PathBuf,
}

/// Returns the issuer of the run.
pub(crate) fn issuer() -> anyhow::Result<&'static Issuer> {
    static ISSUER: OnceLock<Issuer> = OnceLock::new();
    if let Some(issuer) = ISSUER.get() {
        return Ok(issuer);
    }
    let issuer = Issuer::new()?;
    Ok(ISSUER.get_or_init(|| issuer))
}

impl Issuer {
    fn new() -> anyhow::Result<Self> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        let document = document.ok().context("no key was generated")?;
        let key = Ed25519KeyPair::from_pkcs8(document.as_ref())?;
        let public = key.public_key().as_ref().to_vec();
        let x = URL_SAFE_NO_PAD.encode(&public);
        let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": KEY_ID}]});
        // Tests that start at the same time create a file each, and use one.
        let unique = format!("jwks-{:?}.json", std::thread::current().id());
        let file = directory()?.join(unique);
        std::fs::write(&file, keys.to_string())?;
        Ok(Self { private: EncodingKey::from_ed_der(document.as_ref()), public, file })
    }

    /// Returns a valid token of a subject with these scopes, with some claims replaced.
    pub(crate) fn token(&self, sub: &str, scope: &str, changes: &Value) -> anyhow::Result<String> {
        let header = header(Algorithm::EdDSA);
        Ok(encode(&header, &claims(sub, scope, changes), &self.private)?)
    }

    /// Returns an otherwise valid token that is signed with the public key as a shared secret.
    pub(crate) fn of_public_key(&self, scope: &str) -> anyhow::Result<String> {
        let (header, secret) = (header(Algorithm::HS256), EncodingKey::from_secret(&self.public));
        Ok(encode(&header, &claims("mallory", scope, &json!({})), &secret)?)
    }

    /// Returns an otherwise valid token without a signature.
    pub(crate) fn unsigned(scope: &str) -> String {
        let part = |content: Value| URL_SAFE_NO_PAD.encode(content.to_string());
        let header = json!({"alg": "none", "typ": "JWT", "kid": KEY_ID});
        format!("{}.{}.", part(header), part(claims("mallory", scope, &json!({}))))
    }
}

fn header(algorithm: Algorithm) -> Header {
    let mut header = Header::new(algorithm);
    header.kid = Some(KEY_ID.to_owned());
    header
}

fn claims(sub: &str, scope: &str, changes: &Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": sub, "scope": scope, "exp": in_seconds(3_600),
    });
    for (name, value) in changes.as_object().into_iter().flatten() {
        claims[name] = value.clone();
    }
    claims
}

/// Returns the time after `seconds`, as in `exp`.
pub(crate) fn in_seconds(seconds: i64) -> i64 {
    Timestamp::now().as_micros() / 1_000_000 + seconds
}
