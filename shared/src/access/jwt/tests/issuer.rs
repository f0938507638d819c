//! Issuer of tokens with one key.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

pub(super) const ISSUER: &str = "https://id.example";
pub(super) const AUDIENCE: &str = "passbook";
/// Length of the header of PKCS #8 before an RSA key of 2,048 bits.
const PKCS8_OF_RSA: usize = 26;

pub(super) struct Issuer {
    pub(super) id: String,
    pub(super) private: EncodingKey,
    pub(super) public: Value,
    algorithm: Algorithm,
}

impl Issuer {
    /// Generates a key.
    pub(super) fn new(id: &str, algorithm: Algorithm) -> Self {
        let (private, mut public) = match algorithm {
            Algorithm::EdDSA => edwards(),
            Algorithm::ES256 => {
                let random = SystemRandom::new();
                let of = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let key = EcdsaKeyPair::generate_pkcs8(of, &random).unwrap();
                with_jwk(EncodingKey::from_ec_der(key.as_ref()), algorithm)
            }
            _ => {
                let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
                let key = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).unwrap();
                with_jwk(EncodingKey::from_rsa_der(&key.as_ref()[PKCS8_OF_RSA..]), algorithm)
            }
        };
        public["kid"] = json!(id);
        Self { id: id.to_owned(), private, public, algorithm }
    }

    pub(super) fn header(&self, algorithm: Algorithm) -> Header {
        let mut header = Header::new(algorithm);
        header.kid = Some(self.id.clone());
        header
    }

    pub(super) fn token(&self, claims: &Value) -> String {
        self.token_with(self.algorithm, claims)
    }

    pub(super) fn token_with(&self, algorithm: Algorithm, claims: &Value) -> String {
        encode(&self.header(algorithm), claims, &self.private).unwrap()
    }

    /// Returns the bytes of the public key, as another library might take them for a secret.
    pub(super) fn public_bytes(&self) -> Vec<u8> {
        let jwk: Jwk = serde_json::from_value(self.public.clone()).unwrap();
        let key = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
        match key.kind() {
            jsonwebtoken::DecodingKeyKind::SecretOrDer(bytes) => bytes.clone(),
            jsonwebtoken::DecodingKeyKind::RsaModulusExponent { n, .. } => n.clone(),
        }
    }
}

fn edwards() -> (EncodingKey, Value) {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let key = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
    let x = base64(key.public_key().as_ref());
    let public = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
    (EncodingKey::from_ed_der(document.as_ref()), public)
}

fn with_jwk(key: EncodingKey, algorithm: Algorithm) -> (EncodingKey, Value) {
    let public = json!(Jwk::from_encoding_key(&key, algorithm).unwrap());
    (key, public)
}

/// Returns the key set of issuers.
pub(super) fn document(issuers: &[&Issuer]) -> Value {
    json!({"keys": issuers.iter().map(|issuer| &issuer.public).collect::<Vec<_>>()})
}

/// Returns a part of a token.
pub(super) fn part(content: &Value) -> String {
    base64(content.to_string().as_bytes())
}

pub(super) fn signature(token: &str) -> String {
    token.rsplit_once('.').unwrap().1.to_owned()
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
