//! Limits on the name and the rights of a principal.

use anyhow::ensure;

use super::{Reach, Scope, Scopes};

const MAX_NAME: usize = 64;
/// Actor of events that the service causes itself.
const RESERVED: &str = "passbook";

/// Checks the name of a principal, which logs and events repeat.
pub(super) fn check_name(name: &str) -> anyhow::Result<()> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._@".contains(&byte);
    ensure!(!name.eq_ignore_ascii_case(RESERVED), "`{name}` is the service itself");
    ensure!(
        (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_allowed),
        "`principal` must be 1 to {MAX_NAME} letters, digits or characters of `-._@`"
    );
    Ok(())
}

/// Checks that a principal with a restriction has no right to the whole store.
pub(super) fn check_reach(scopes: Scopes, reach: &Reach) -> anyhow::Result<()> {
    let of_store = scopes.iter().find(|scope| scope.is_of_store());
    ensure!(
        reach.is_everything() || of_store.is_none(),
        "scope `{}` is of the whole store, and the principal is of a tenant or an owner",
        of_store.map_or("", Scope::as_str)
    );
    Ok(())
}
