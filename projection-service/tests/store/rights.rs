//! Rights of the service's role: it writes rows, and calls functions that create generations. It
//! owns no object.

use passbook_shared::store_error::is_forbidden;
use projection_service::store::generations::{self, Generation};
use sqlx::{AssertSqlSafe, PgPool};

use crate::postgres::Database;

async fn is_refused(pool: &PgPool, sql: &str) {
    match sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await {
        Err(error) => assert!(is_forbidden(&error), "{sql}: {error}"),
        Ok(_) => panic!("the service's role may {sql}"),
    }
}

#[tokio::test]
async fn the_role_of_the_service_changes_no_object() {
    let database = Database::new().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relnamespace::regnamespace || '.' || relname FROM pg_class
          WHERE relnamespace::regnamespace::text ~ '^(projection|views_1)$' AND relkind = 'r'",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    assert!(tables.len() > 8, "{tables:?}");
    for table in tables {
        for sql in [
            format!("TRUNCATE {table}"),
            format!("DROP TABLE {table}"),
            format!("ALTER TABLE {table} ADD COLUMN mine text"),
            format!("ALTER TABLE {table} OWNER TO CURRENT_USER"),
            format!("ALTER TABLE {table} DISABLE TRIGGER ALL"),
            format!("CREATE INDEX ON {table} ((1))"),
        ] {
            is_refused(&database.pool, &sql).await;
        }
    }
    for sql in [
        "CREATE SCHEMA views_9",
        "CREATE TABLE projection.mine ()",
        "DROP SCHEMA views_1 CASCADE",
        "CREATE OR REPLACE VIEW views.accounts AS SELECT 1 AS account_id",
        "DELETE FROM projection.generations",
        "UPDATE projection.generations SET live = false",
        "DELETE FROM projection.migrations",
        "UPDATE projection.compatibility SET oldest_build = 1",
        "SELECT projection.create_generation(9)",
        "SELECT projection.index_generation(1)",
        "SELECT projection.make_live(1)",
        "SELECT projection.grant_generation(1)",
        "SELECT projection.add_owners(1)",
    ] {
        is_refused(&database.pool, sql).await;
    }
}

#[tokio::test]
async fn the_role_of_the_service_can_create_switch_and_drop_generations() {
    let database = Database::new().await;
    let mut connection = database.pool.acquire().await.unwrap();
    let second = generations::create(&mut connection).await.unwrap();
    generations::index(&mut connection, second).await.unwrap();
    sqlx::raw_sql("INSERT INTO views_2.checkpoints (partition, position) VALUES (3, 7)")
        .execute(&mut *connection)
        .await
        .unwrap();
    generations::make_live(&mut connection, second).await.unwrap();
    let position: i64 = sqlx::query_scalar("SELECT position FROM views.checkpoints")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert_eq!(position, 7);
    // The live generation stays.
    generations::discard(&mut connection, second).await.unwrap();
    generations::discard(&mut connection, Generation(1)).await.unwrap();
    assert_eq!(generations::all(&mut *connection).await.unwrap(), [second]);
    let schemas: Vec<String> =
        sqlx::query_scalar("SELECT nspname::text FROM pg_namespace WHERE nspname ~ '^views_'")
            .fetch_all(&mut *connection)
            .await
            .unwrap();
    assert_eq!(schemas, ["views_2"]);
}

#[tokio::test]
async fn a_function_that_runs_as_the_owner_has_a_search_path_and_is_not_public() {
    let database = Database::new().await;
    let unsafe_ones: Vec<String> = sqlx::query_scalar(
        "SELECT p.oid::regprocedure::text FROM pg_proc AS p
          WHERE p.pronamespace = 'projection'::regnamespace
            AND (p.proacl IS NULL OR p.proacl::text ~ '[{,]='
                 OR p.prosecdef
                    AND 'search_path=pg_catalog, pg_temp' <> ALL (coalesce(p.proconfig, '{}')))",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    assert_eq!(unsafe_ones, Vec::<String>::new());
}
