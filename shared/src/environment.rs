//! The environment of the process, without the variables that libraries read behind our backs.

use std::sync::OnceLock;

/// Prefix of the variables of Postgres's own client. The database driver reads them even where a URL is given:
/// `PGSSLMODE` or `PGOPTIONS` of a login shell would change every connection, those to the embedded Postgres included.
const POSTGRES: &str = "PG";

static IGNORED: OnceLock<Vec<String>> = OnceLock::new();

/// Removes Postgres's variables from the process's environment. Called at the start of `main`, before any thread.
pub(crate) fn remove_postgres_variables() {
    IGNORED.get_or_init(|| {
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let ours: Vec<String> = names.filter(|name| name.starts_with(POSTGRES)).collect();
        for name in &ours {
            #[expect(
                unsafe_code,
                reason = "no other thread of the process reads its environment yet"
            )]
            // SAFETY: called at the start of `main`, before any thread is started.
            unsafe {
                std::env::remove_var(name);
            }
        }
        ours
    });
}

/// Names of the variables that were removed.
pub(crate) fn ignored() -> &'static [String] {
    IGNORED.get().map_or(&[], Vec::as_slice)
}
