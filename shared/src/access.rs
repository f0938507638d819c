//! Access to the services: API keys and JSON Web Tokens, the principals that they identify, and
//! their scopes.
//!
//! Keys are in a file that both services read. No route creates or changes them, so no request can
//! extend its own rights.

/// Text of an API key.
pub mod api_key;
/// API key of a client.
pub mod client_key;
/// Subcommands `keys`.
pub mod commands;
/// JSON Web Tokens.
pub mod jwt;
/// Keys that the services accept.
pub mod key_table;
/// File of API keys, as operators edit it.
pub mod keys_file;
mod limits;
/// Keys of a pair on one machine.
pub mod local_keys;
/// Rate of a principal's requests.
pub mod rate;
/// Accounts that a principal reaches.
pub mod reach;
/// Rights of a principal.
pub mod scope;
/// Reloading of the file of API keys.
pub mod watch;

pub use self::rate::Rate;
pub use self::reach::Reach;
pub use self::scope::{Scope, Scopes};

/// Party that sends requests.
#[derive(Debug, Clone)]
pub struct Principal {
    /// Name, which events record as their actor.
    pub name: String,
    /// Rights.
    pub scopes: Scopes,
    /// Accounts that the rights apply to.
    pub reach: Reach,
    /// Limit on its requests; none, if absent.
    pub rate: Option<Rate>,
}
