//! Environment of the process, without the variables that libraries read on their own.

use std::sync::OnceLock;

/// Prefix of the variables of Postgres's own client. The database driver reads them even if a URL
/// is given, so `PGSSLMODE` or `PGOPTIONS` of a login shell would change every connection.
const POSTGRES: &str = "PG";

static IGNORED: OnceLock<Vec<String>> = OnceLock::new();

/// Removes the variables of Postgres's client from the environment. Must be called at the start of
/// `main`, before any thread starts.
pub(crate) fn remove_postgres_variables() {
    IGNORED.get_or_init(|| {
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let ours: Vec<String> = names.filter(|name| name.starts_with(POSTGRES)).collect();
        for name in &ours {
            #[expect(unsafe_code, reason = "std::env::remove_var requires it")]
            // SAFETY: no other thread can read the environment, because none has started.
            unsafe {
                std::env::remove_var(name);
            }
        }
        ours
    });
}

/// Returns the names of the removed variables.
pub(crate) fn ignored() -> &'static [String] {
    IGNORED.get().map_or(&[], Vec::as_slice)
}
