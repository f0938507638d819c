//! Cursors of the check.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// Place at which a check continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// Continues at this account or the next one.
    Account(Uuid),
    /// Continues at this transfer or the next one.
    Transfer(Uuid),
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id) => write!(f, "account-{id}"),
            Self::Transfer(id) => write!(f, "transfer-{id}"),
        }
    }
}

impl FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = |id: &str| id.parse().ok();
        let account = || text.strip_prefix("account-").and_then(id).map(Self::Account);
        let transfer = || text.strip_prefix("transfer-").and_then(id).map(Self::Transfer);
        account().or_else(transfer).ok_or_else(|| "is not a cursor of this check".to_owned())
    }
}
