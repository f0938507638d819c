//! Why an event can't follow on a state.

use std::fmt;

use passbook_shared::money::MAX_AMOUNT;

/// Why an event can't follow on a state: the log is not one that our decider wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inapplicable {
    /// Another version was to come.
    Version {
        /// That.
        expected: i64,
        /// What came.
        found: i64,
    },
    /// The first event of an account is not its opening.
    NotOpened,
    /// An opening of an account that is there.
    OpenedTwice,
    /// An event after the closing.
    AfterClosing,
    /// The balance would leave what an amount can be.
    Overflow,
    /// More would be given free than is set aside, or more set aside than an amount can be.
    Held {
        /// How much would be set aside, in minor units.
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
                write!(
                    f,
                    "the amount set aside by holds would be {would_be} minor units, not 0 to {MAX_AMOUNT}"
                )
            }
        }
    }
}
