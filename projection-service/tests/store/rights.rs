//! Rights of the service's role: it writes rows, and calls functions that create generations. It
//! owns no object.

#[path = "../../../tests/support/rights.rs"]
mod matrix;
#[path = "../../../tests/support/views_rights.rs"]
mod permitted;

use passbook_shared::store_error::is_forbidden;
use projection_service::store::generations::{self, Generation};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

use self::matrix::Matrix;
use self::permitted::PERMITTED;
use crate::postgres::Database;

async fn is_refused(pool: &PgPool, sql: &str) {
    match sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await {
        Err(error) => assert!(is_forbidden(&error), "{sql}: {error}"),
        Ok(_) => panic!("the service's role may {sql}"),
    }
}

#[tokio::test]
async fn the_role_of_the_service_writes_the_listed_tables_and_changes_no_object() {
    let database = Database::new().await;
    let mut owner = database.owner().await;
    let mut role = database.pool.acquire().await.unwrap();
    let matrix = Matrix::new(&mut owner, &mut role, &PERMITTED);
    let tried = matrix.check().await.unwrap();
    eprintln!("{tried} statements refused or permitted as listed");
    drop(role);
    for sql in [
        "SELECT projection.create_generation(9)",
        "SELECT projection.index_generation(1)",
        "SELECT projection.make_live(1)",
        "SELECT projection.grant_generation(1)",
        "SELECT projection.add_owners(1)",
        "SELECT projection.add_tenants(1)",
    ] {
        is_refused(&database.pool, sql).await;
    }
}

/// Creates temporary tables with the names of those that the owner's functions use. They are first
/// in the caller's `search_path`.
#[tokio::test]
async fn temporary_tables_of_a_caller_do_not_mislead_functions_that_run_as_the_owner() {
    let database = Database::new().await;
    let mut role = PgConnection::connect_with(&database.options).await.unwrap();
    let create = "SET search_path = pg_temp, projection, views_1;
        CREATE FUNCTION pg_temp.hijack() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'hijacked as %', current_user; END $$;
        DO $$
        DECLARE
            original regclass;
        BEGIN
            FOR original IN SELECT c.oid FROM pg_class AS c
                             WHERE c.relnamespace::regnamespace::text IN ('projection', 'views_1')
                               AND c.relkind = 'r' LOOP
                EXECUTE format('CREATE TEMP TABLE %I (LIKE %s INCLUDING DEFAULTS)',
                    (SELECT relname FROM pg_class WHERE oid = original), original);
                EXECUTE format('CREATE TRIGGER t BEFORE INSERT OR UPDATE OR DELETE ON pg_temp.%I
                                EXECUTE FUNCTION pg_temp.hijack()',
                    (SELECT relname FROM pg_class WHERE oid = original));
            END LOOP;
        END $$;";
    sqlx::raw_sql(create).execute(&mut role).await.unwrap();
    // The trap works: an unqualified name finds the temporary table.
    let caught = sqlx::raw_sql("DELETE FROM generations").execute(&mut role).await.unwrap_err();
    assert!(caught.to_string().contains("hijacked"), "{caught}");
    for sql in [
        "SELECT projection.record_audit(ARRAY[now()], ARRAY['ada'], ARRAY['it'], ARRAY['/it'],
                                        ARRAY[200::smallint], ARRAY['1'], ARRAY[NULL::text])",
        "SELECT projection.add_generation()",
        "SELECT projection.finish_generation(2)",
        "SELECT projection.switch_to(2)",
        "SELECT projection.drop_generation(1)",
    ] {
        let called = sqlx::raw_sql(sql).execute(&mut role).await;
        called.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let mut owner = database.owner().await;
    let done: (i64, i32, bool) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM projection.audit), generation, indexed
           FROM projection.generations WHERE live",
    )
    .fetch_one(&mut owner)
    .await
    .unwrap();
    assert_eq!(done, (1, 2, true));
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
