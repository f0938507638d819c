//! Settings of tokens.

use std::num::NonZeroU32;

/// Settings of tokens.
#[derive(Debug)]
pub struct TokenRules {
    /// Value of `iss`.
    pub issuer: String,
    /// Value that `aud` must be or contain.
    pub audience: String,
    /// Maximum number of requests per second of each principal.
    pub rate: Option<NonZeroU32>,
}
