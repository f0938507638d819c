//! Tokens of an issuer, whose keys are in a file or on a local server.

mod issuer;
mod rotation;

use std::num::NonZeroU32;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use self::issuer::{AUDIENCE, ISSUER, Issuer};
use super::*;
use crate::access::{Reach, Scope};

fn rules(rate: Option<u32>) -> TokenRules {
    let rate = rate.and_then(NonZeroU32::new);
    TokenRules { issuer: ISSUER.to_owned(), audience: AUDIENCE.to_owned(), rate }
}

/// Returns a verifier of the tokens of these issuers.
fn tokens(issuers: &[&Issuer]) -> Tokens {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jwks.json");
    std::fs::write(&path, issuer::document(issuers).to_string()).unwrap();
    Tokens::new(rules(None), KeySource::file(path).unwrap()).unwrap()
}

fn now() -> i64 {
    Timestamp::now().as_micros() / 1_000_000
}

/// Returns valid claims, with some replaced; `null` omits one.
fn claims(changes: &Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": now() + 300,
        "scope": "money:move openid log:read",
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

fn found(tokens: &Tokens, token: &str) -> Result<Arc<Principal>, TokenFault> {
    tokens.authenticate(token, Timestamp::now())
}

#[test]
fn a_token_identifies_its_subject_with_its_known_scopes() {
    for algorithm in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::PS256] {
        let issuer = Issuer::new("first", algorithm);
        let tokens = tokens(&[&issuer]);
        let principal = found(&tokens, &issuer.token(&claims(&json!({})))).unwrap();
        assert_eq!(principal.name, "ada");
        assert_eq!(principal.scopes, [Scope::MoneyMove, Scope::LogRead].into_iter().collect());
        assert_eq!(principal.reach, Reach::default());
        let restricted = json!({
            "aud": ["other", AUDIENCE], "scope": "money:move", "tenant": "acme", "owner": "ada",
            "nbf": now() - 1, "exp": f64::from(u32::MAX) + 0.5,
        });
        let principal = found(&tokens, &issuer.token(&claims(&restricted))).unwrap();
        let (tenant, owner) = (&principal.reach.tenant, &principal.reach.owner);
        assert_eq!(tenant.as_deref(), Some("acme"));
        assert_eq!(owner.as_deref(), Some("ada"));
        let none = found(&tokens, &issuer.token(&claims(&json!({"scope": null})))).unwrap();
        assert_eq!(none.scopes, [].into_iter().collect());
    }
}

#[test]
fn a_token_with_other_claims_is_refused() {
    let issuer = Issuer::new("first", Algorithm::EdDSA);
    let tokens = tokens(&[&issuer]);
    let long = "x".repeat(65);
    for (changes, fault) in [
        (json!({"aud": "other"}), TokenFault::Audience),
        (json!({"aud": ["other"]}), TokenFault::Audience),
        (json!({"aud": null}), TokenFault::Claims),
        (json!({"iss": "https://other.example"}), TokenFault::Issuer),
        (json!({"iss": null}), TokenFault::Claims),
        (json!({"sub": null}), TokenFault::Claims),
        (json!({"sub": "auth0|1"}), TokenFault::Subject),
        (json!({"sub": ""}), TokenFault::Subject),
        (json!({"sub": long}), TokenFault::Subject),
        (json!({"sub": "Passbook"}), TokenFault::Subject),
        (json!({"exp": null}), TokenFault::Claims),
        (json!({"exp": (now() + 300).to_string()}), TokenFault::Claims),
        (json!({"exp": -1}), TokenFault::Claims),
        (json!({"exp": now() - 60}), TokenFault::Expired),
        (json!({"nbf": now() + 60}), TokenFault::Early),
        (json!({"nbf": "0"}), TokenFault::Claims),
        (json!({"scope": ["money:move"]}), TokenFault::Claims),
        (json!({"tenant": "acme"}), TokenFault::Reach),
        (json!({"owner": "ada"}), TokenFault::Reach),
        (json!({"tenant": "", "scope": ""}), TokenFault::Claims),
        (json!({"tenant": ["acme"], "scope": ""}), TokenFault::Claims),
        (json!({"owner": "", "scope": ""}), TokenFault::Claims),
    ] {
        let token = issuer.token(&claims(&changes));
        assert_eq!(found(&tokens, &token).unwrap_err(), fault, "{changes}");
    }
    // The clocks may differ by half a minute.
    for changes in [json!({"exp": now() - 20}), json!({"nbf": now() + 20})] {
        assert!(found(&tokens, &issuer.token(&claims(&changes))).is_ok(), "{changes}");
    }
    for name in ["tenant", "owner"] {
        let mut claims = claims(&json!({"scope": "money:move"}));
        claims[name] = Value::Null;
        let refused = found(&tokens, &issuer.token(&claims)).unwrap_err();
        assert_eq!(refused, TokenFault::Claims, "{name} of null is not absent");
    }
}

#[test]
fn the_algorithm_is_that_of_the_key() {
    let (elliptic, edwards) =
        (Issuer::new("ec", Algorithm::ES256), Issuer::new("ed", Algorithm::EdDSA));
    let rsa = Issuer::new("rsa", Algorithm::PS256);
    let tokens = tokens(&[&elliptic, &edwards, &rsa]);
    let valid = claims(&json!({}));
    // The public key as the secret of an HMAC, as PEM-less bytes and as its document.
    for issuer in [&elliptic, &edwards, &rsa] {
        for secret in [issuer.public_bytes(), issuer.public.to_string().into_bytes()] {
            let mut header = Header::new(Algorithm::HS256);
            header.kid = Some(issuer.id.clone());
            let token = encode(&header, &valid, &EncodingKey::from_secret(&secret)).unwrap();
            assert_eq!(found(&tokens, &token).unwrap_err(), TokenFault::Algorithm);
        }
    }
    let rs256 = rsa.token_with(Algorithm::RS256, &valid);
    assert_eq!(found(&tokens, &rs256).unwrap_err(), TokenFault::Algorithm);
    let claims = issuer::part(&valid);
    let signature = issuer::signature(&edwards.token(&valid));
    for alg in ["none", "None", "NONE", ""] {
        let header = issuer::part(&json!({"alg": alg, "typ": "JWT", "kid": "ed"}));
        for end in ["", &*signature] {
            let token = format!("{header}.{claims}.{end}");
            assert_eq!(found(&tokens, &token).unwrap_err(), TokenFault::Malformed, "{alg}");
        }
    }
    let another = Issuer::new("ed", Algorithm::EdDSA);
    assert_eq!(found(&tokens, &another.token(&valid)).unwrap_err(), TokenFault::Signature);
    let unsigned = format!("{}.", edwards.token(&valid).rsplit_once('.').unwrap().0);
    assert_eq!(found(&tokens, &unsigned).unwrap_err(), TokenFault::Signature);
    for text in ["", ".", "..", "a.b.c", "pbk_0123456789_0", "a.b.c.d"] {
        assert_eq!(found(&tokens, text).unwrap_err(), TokenFault::Malformed, "{text}");
    }
}

#[test]
fn a_header_with_an_unknown_extension_or_purpose_is_refused() {
    let issuer = Issuer::new("first", Algorithm::EdDSA);
    let tokens = tokens(&[&issuer]);
    let token = |change: fn(&mut Header)| {
        let mut header = issuer.header(Algorithm::EdDSA);
        change(&mut header);
        encode(&header, &claims(&json!({})), &issuer.private).unwrap()
    };
    let fault = |change| found(&tokens, &token(change)).err();
    assert_eq!(fault(|header| header.typ = None), None);
    assert_eq!(fault(|header| header.typ = Some("AT+jwt".to_owned())), None);
    let malformed = Some(TokenFault::Malformed);
    assert_eq!(fault(|header| header.typ = Some("logout+jwt".to_owned())), malformed);
    assert_eq!(fault(|header| header.crit = Some(vec!["exp".to_owned()])), malformed);
    assert_eq!(fault(|header| header.kid = None), Some(TokenFault::UnknownKey));
}

#[test]
fn keys_of_other_kinds_are_left_out() {
    let good = Issuer::new("good", Algorithm::EdDSA);
    let changed = |changes: Value| {
        let mut key = Issuer::new("bad", Algorithm::EdDSA).public;
        key.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        key
    };
    let others = [
        json!({"kty": "oct", "k": "c2VjcmV0", "kid": "bad", "alg": "HS256"}),
        json!({"kty": "AKP", "kid": "bad"}),
        json!("text"),
        changed(json!({"use": "enc"})),
        changed(json!({"alg": "ES256"})),
        changed(json!({"crv": "P-256"})),
    ];
    for other in others {
        let set = json!({"keys": [other, good.public]}).to_string();
        assert_eq!(KeySet::parse(set.as_bytes()).unwrap().len(), 1, "{set}");
        let alone = json!({"keys": [other]}).to_string();
        assert!(KeySet::parse(alone.as_bytes()).is_err(), "{alone}");
    }
    let twice = json!({"keys": [good.public, good.public]}).to_string();
    for document in ["", "[]", "{}", r#"{"keys": {}}"#, &twice] {
        assert!(KeySet::parse(document.as_bytes()).is_err(), "{document}");
    }
}

#[test]
fn a_verified_token_is_remembered_for_a_minute_and_not_beyond_its_end() {
    let issuer = Issuer::new("first", Algorithm::EdDSA);
    let tokens = tokens(&[&issuer]);
    let until = |exp: i64| {
        let token = issuer.token(&claims(&json!({"exp": exp})));
        let principal = found(&tokens, &token).unwrap();
        let again = found(&tokens, &token).unwrap();
        let is_remembered = Arc::ptr_eq(&principal, &again);
        let digest: [u8; 32] = Sha256::digest(&token).into();
        let until = tokens.0.verified.get(&digest).unwrap().until.as_micros() / 1_000_000;
        (is_remembered, until)
    };
    let (is_remembered, end) = until(now() + 300);
    assert!(is_remembered && (59..=60).contains(&(end - now())), "{end}");
    let soon = now() + 10;
    assert_eq!(until(soon), (true, soon));
    let past = now() - 5;
    assert_eq!(until(past), (false, past));
}

#[test]
fn the_tokens_of_a_principal_share_its_rate() {
    let issuer = Issuer::new("first", Algorithm::EdDSA);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jwks.json");
    std::fs::write(&path, issuer::document(&[&issuer]).to_string()).unwrap();
    let tokens = Tokens::new(rules(Some(2)), KeySource::file(path).unwrap()).unwrap();
    let take = |sub: &str, exp: i64| {
        let token = issuer.token(&claims(&json!({"sub": sub, "exp": now() + exp})));
        found(&tokens, &token).unwrap().rate.as_ref().unwrap().take()
    };
    assert_eq!((take("ada", 300), take("ada", 301)), (Ok(()), Ok(())));
    assert!(take("ada", 302).is_err());
    assert_eq!(take("bob", 300), Ok(()));
}
