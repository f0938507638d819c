//! Errors of Postgres, told apart by what is to be done about them.

/// Whether Postgres is away or going: the connection is of no more use, and what was being done may or may not
/// have happened.
pub fn is_connection_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // Class 08: connection exceptions; 57P: the server is shutting down, starting up or ended the session;
        // 53300: no connection left; 25P03: idle in a transaction for too long.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            code.starts_with("08") || code.starts_with("57P") || code == "53300" || code == "25P03"
        }),
        _ => false,
    }
}

/// The name of the constraint that refused, if that is what happened.
pub fn violated_constraint(error: &sqlx::Error) -> Option<&str> {
    match error {
        sqlx::Error::Database(error) => error.constraint(),
        _ => None,
    }
}
