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

/// Whether Postgres answers, but says that it can't work now: out of resources, read-only, cancelled, an error of its
/// disk. Nothing was done.
pub fn is_unavailable(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| ["25", "40", "53", "54", "55", "57", "58"].iter().any(|class| code.starts_with(class)))
}

/// The name of the constraint that refused, if that is what happened.
pub fn violated_constraint(error: &sqlx::Error) -> Option<&str> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::constraint)
}

/// Whether a table or a schema that the statement names is not there.
pub fn is_missing(error: &sqlx::Error) -> bool {
    has_code(error, &["42P01", "3F000"])
}

/// Whether the role lacks a right that the statement needs.
pub fn is_forbidden(error: &sqlx::Error) -> bool {
    has_code(error, &["42501"])
}

fn has_code(error: &sqlx::Error, codes: &[&str]) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| codes.contains(&code.as_ref()))
}
