//! Rows as composite types of Postgres.

/// Maps a struct to the composite type of Postgres that has the same fields in the same order. The
/// struct also needs `#[derive(sqlx::Encode)]`.
#[macro_export]
macro_rules! composite_type {
    ($of:ty, $name:literal) => {
        impl sqlx::Type<sqlx::Postgres> for $of {
            fn type_info() -> sqlx::postgres::PgTypeInfo {
                sqlx::postgres::PgTypeInfo::with_name($name)
            }
        }

        impl sqlx::postgres::PgHasArrayType for $of {
            fn array_type_info() -> sqlx::postgres::PgTypeInfo {
                sqlx::postgres::PgTypeInfo::array_of($name)
            }
        }
    };
}
