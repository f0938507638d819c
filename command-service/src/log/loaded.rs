//! An account at one of its versions.

use crate::domain::Account;

/// An account at one of its versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Its state.
    pub account: Account,
    /// Its version; 0 if it was never opened.
    pub version: i64,
    /// The position number of the event with that version, in the account's partition.
    pub position: i64,
}
