//! Public keys of the issuer: a JWK Set (RFC 7517).

use std::collections::HashMap;

use anyhow::{Context, ensure};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::Value;

use super::claims::Claims;
use super::fault::TokenFault;
use super::rules::TokenRules;

/// Tolerated difference of the issuer's clock, in seconds.
const LEEWAY: u64 = 30;
/// Values of `typ`, without regard to case. Tokens of other types are for other purposes (RFC 8725,
/// section 3.11).
const TYPES: [&str; 3] = ["JWT", "at+jwt", "application/at+jwt"];

/// Keys by `kid`.
#[derive(Default)]
pub(super) struct KeySet(HashMap<String, Key>);

struct Key {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Parses a document. Keys of other kinds are left out, as RFC 7517 (section 5) wants.
    ///
    /// # Errors
    /// The document is no JWK Set, has no usable key, or two keys with one `kid`.
    pub(super) fn parse(document: &[u8]) -> anyhow::Result<Self> {
        let document: Document =
            serde_json::from_slice(document).context("is not a JWK Set of RFC 7517")?;
        let mut keys = HashMap::new();
        for (id, key) in document.keys.into_iter().filter_map(usable) {
            ensure!(keys.insert(id.clone(), key).is_none(), "two keys have the `kid` `{id}`");
        }
        ensure!(!keys.is_empty(), "has no key with a `kid` for EdDSA, ES256 or PS256");
        Ok(Self(keys))
    }

    /// Returns the number of keys.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Verifies a token and returns its claims.
    pub(super) fn verify(&self, token: &str, rules: &TokenRules) -> Result<Claims, TokenFault> {
        let header = decode_header(token).map_err(|_| TokenFault::Malformed)?;
        let is_known = |typ: &String| TYPES.iter().any(|known| known.eq_ignore_ascii_case(typ));
        // An extension that must be understood (RFC 7515, section 4.1.11).
        if header.crit.is_some() || !header.typ.iter().all(is_known) {
            return Err(TokenFault::Malformed);
        }
        let key = header.kid.and_then(|id| self.0.get(&id)).ok_or(TokenFault::UnknownKey)?;
        // The algorithm is the key's: a token cannot choose a weaker one.
        let mut validation = Validation::new(key.algorithm);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&rules.issuer]);
        validation.set_audience(&[&rules.audience]);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        let read = decode(token, &key.key, &validation);
        Ok(read.map_err(|error| fault(error.kind()))?.claims)
    }
}

/// Returns a key with its id, if tokens can be verified with it.
fn usable(key: Value) -> Option<(String, Key)> {
    let jwk: Jwk = serde_json::from_value(key).ok()?;
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            Algorithm::EdDSA
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        AlgorithmParameters::RSA(_) => Algorithm::PS256,
        // A shared secret is no public key, and other curves have other algorithms.
        AlgorithmParameters::OctetKeyPair(_)
        | AlgorithmParameters::EllipticCurve(_)
        | AlgorithmParameters::OctetKey(_) => return None,
    };
    let is_of = |stated: KeyAlgorithm| stated.to_string() == format!("{algorithm:?}");
    let is_to_sign = |of: &PublicKeyUse| *of == PublicKeyUse::Signature;
    if !jwk.common.key_algorithm.is_none_or(is_of)
        || !jwk.common.public_key_use.as_ref().is_none_or(is_to_sign)
    {
        return None;
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    Some((jwk.common.key_id?, Key { algorithm, key }))
}

fn fault(kind: &ErrorKind) -> TokenFault {
    match kind {
        ErrorKind::ExpiredSignature => TokenFault::Expired,
        ErrorKind::ImmatureSignature => TokenFault::Early,
        ErrorKind::InvalidIssuer => TokenFault::Issuer,
        ErrorKind::InvalidAudience => TokenFault::Audience,
        ErrorKind::InvalidAlgorithm => TokenFault::Algorithm,
        ErrorKind::InvalidSignature => TokenFault::Signature,
        ErrorKind::MissingRequiredClaim(_)
        | ErrorKind::InvalidClaimFormat(_)
        | ErrorKind::Json(_) => TokenFault::Claims,
        _ => TokenFault::Malformed,
    }
}
