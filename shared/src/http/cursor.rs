//! Cursors of paginated lists. A cursor is valid only for the list that returned it.

use std::fmt::Display;

use serde::Serialize;
use uuid::Uuid;

use super::problem::Problem;

/// Identity of a list: hash of its name, filters and order, which its cursors carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List(u64);

impl List {
    /// Creates the identity of a list. `filters` must contain everything that determines its rows
    /// and their order.
    pub fn of(name: &str, filters: &impl Serialize) -> Self {
        let text = serde_json::to_vec(&(name, filters)).unwrap_or_default();
        // UUIDv5 is specified, so a cursor stays valid when the build changes between two pages.
        Self(Uuid::new_v5(&Uuid::NAMESPACE_OID, &text).as_u64_pair().0)
    }

    /// Returns the cursor of a page that ended at `place`.
    pub fn cursor(self, place: impl Display) -> String {
        format!("{place}-{:016x}", self.0)
    }

    /// Returns the place of a cursor, parsed by `read`.
    ///
    /// # Errors
    /// 400 `malformed_request` if the cursor belongs to another list, or `read` fails.
    pub fn place<T>(
        self,
        cursor: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Problem> {
        let (place, seal) = cursor.rsplit_once('-').ok_or_else(unreadable)?;
        let place = read(place).ok_or_else(unreadable)?;
        if seal != format!("{:016x}", self.0) {
            return Err(another_list());
        }
        Ok(place)
    }
}

/// Returns 400: the text is not a cursor.
pub fn unreadable() -> Problem {
    Problem::malformed("cursor", "is not the `next_cursor` of a page")
}

/// Returns 400: the cursor belongs to another list.
pub(crate) fn another_list() -> Problem {
    let detail = "belongs to a list with other filters or another order: repeat the parameters of \
                  the request that returned it";
    Problem::malformed("cursor", detail)
}

#[cfg(test)]
mod tests;
