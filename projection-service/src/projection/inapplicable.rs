//! Reasons why an event cannot follow a state.

use std::fmt;

use passbook_shared::money::MAX_AMOUNT;

/// Reason why an event cannot follow a state. The domain of the command-service never records such
/// an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inapplicable {
    /// The version is not the next one.
    Version {
        /// Next version.
        expected: i64,
        /// Position or version that was found.
        found: i64,
    },
    /// The first event of an account is not its opening.
    NotOpened,
    /// The account exists already.
    OpenedTwice,
    /// The account is closed.
    AfterClosing,
    /// The balance would exceed the range of an amount.
    Overflow,
    /// The held amount would be negative or exceed the range of an amount.
    Held {
        /// Resulting held amount in minor units.
        would_be: i64,
    },
}

impl fmt::Display for Inapplicable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { expected, found } => {
                write!(f, "version {found} of the account comes where {expected} is next")
            }
            Self::NotOpened => f.write_str("the account's first event is not its opening"),
            Self::OpenedTwice => f.write_str("the account is opened a second time"),
            Self::AfterClosing => f.write_str("the account was closed before"),
            Self::Overflow => write!(f, "the balance would be beyond {MAX_AMOUNT} minor units"),
            Self::Held { would_be } => {
                write!(f, "the held amount would be {would_be} minor units, not 0 to {MAX_AMOUNT}")
            }
        }
    }
}
