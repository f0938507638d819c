//! Reasons why a token is refused.

use strum::IntoStaticStr;
use thiserror::Error;

/// Fault of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error, IntoStaticStr)]
pub enum TokenFault {
    /// The token cannot be read.
    #[error("the token is not a signed JWT, or its header has what this service does not know")]
    Malformed,
    /// The key set has no such key.
    #[error("the token's `kid` is of no known key of the issuer")]
    UnknownKey,
    /// The algorithm is not that of the key.
    #[error("the token's `alg` is not that of the issuer's key")]
    Algorithm,
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    Signature,
    /// A required claim is missing or has another type.
    #[error("a claim of the token is missing or malformed")]
    Claims,
    /// The token has expired.
    #[error("the token has expired")]
    Expired,
    /// The token is not valid yet.
    #[error("the token is not valid yet")]
    Early,
    /// Another issuer has issued the token.
    #[error("the token's `iss` is another issuer")]
    Issuer,
    /// The token is for another service.
    #[error("the token's `aud` is another audience")]
    Audience,
    /// The subject is no name of a principal, or the name of an API key's principal.
    #[error("the token's `sub` is no name of a principal, or that of an API key")]
    Subject,
    /// The scopes do not fit the restriction.
    #[error("the token has a scope of the whole store and a `tenant` or an `owner`")]
    Reach,
}
