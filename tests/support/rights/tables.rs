//! Statements on tables, views and sequences.

use anyhow::ensure;
use sqlx::AssertSqlSafe;

use super::{Matrix, OURS};

/// Relation of the catalog.
#[derive(sqlx::FromRow)]
struct Relation {
    name: String,
    /// First column that can be written.
    column: String,
    /// `r` table, `v` view, `S` sequence.
    kind: String,
}

pub(super) async fn check(matrix: &mut Matrix<'_>) -> anyhow::Result<usize> {
    let sql = format!(
        "SELECT n.nspname || '.' || c.relname AS name, a.attname::text AS column,
                c.relkind::text AS kind
           FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
           JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = (
                SELECT min(b.attnum) FROM pg_attribute AS b
                 WHERE b.attrelid = c.oid AND b.attnum > 0 AND b.attidentity <> 'a')
          WHERE {OURS} AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')"
    );
    let relations: Vec<Relation> =
        sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&mut *matrix.owner).await?;
    let tables = relations.iter().filter(|relation| relation.kind == "r").count();
    ensure!(tables > 8, "{tables} tables");
    for entry in matrix.permitted.iter().flat_map(|entry| entry.objects) {
        let exists = relations.iter().any(|relation| relation.name == **entry);
        ensure!(exists, "{entry} has an exception and does not exist");
    }
    let mut tried = 0;
    for relation in &relations {
        if relation.kind == "S" {
            tried += sequence(matrix, &relation.name).await?;
        } else {
            tried += written(matrix, relation).await?;
            tried += matrix.refuses(changed(relation)).await?;
        }
    }
    Ok(tried)
}

/// Tries to write rows.
async fn written(matrix: &mut Matrix<'_>, relation: &Relation) -> anyhow::Result<usize> {
    let Relation { name, column, .. } = relation;
    let merge = format!("MERGE INTO {name} USING (SELECT 1) AS s ON false WHEN MATCHED THEN");
    let statements = [
        (
            "INSERT",
            format!("INSERT INTO {name} OVERRIDING SYSTEM VALUE SELECT * FROM {name} LIMIT 0"),
        ),
        ("UPDATE", format!("UPDATE {name} SET {column} = {column} WHERE false")),
        ("DELETE", format!("DELETE FROM {name} WHERE false")),
        ("UPDATE", format!("SELECT * FROM {name} LIMIT 0 FOR UPDATE")),
        ("DELETE", format!("{merge} DELETE")),
        ("UPDATE", format!("{merge} UPDATE SET {column} = {name}.{column}")),
    ];
    for (right, sql) in &statements {
        // A statement that names `MERGE` needs a Postgres from 15 on, and a base table.
        if sql.starts_with("MERGE") && relation.kind != "r" {
            continue;
        }
        let is_permitted = matrix.permits(name, right);
        matrix.expect(sql, is_permitted).await?;
    }
    if relation.kind == "r" {
        let copy = format!("COPY {name} FROM STDIN");
        let done = match matrix.role.copy_in_raw(&copy).await {
            Ok(copying) => copying.abort("only a trial").await,
            Err(error) => Err(error),
        };
        let is_permitted = matrix.permits(name, "INSERT");
        matrix.compare(&copy, done, is_permitted);
    }
    Ok(statements.len() + 1)
}

/// Returns statements that change a table or view itself.
fn changed(Relation { name, column, kind }: &Relation) -> Vec<String> {
    if kind != "r" {
        return vec![
            format!("DROP VIEW {name}"),
            format!("CREATE OR REPLACE VIEW {name} AS SELECT * FROM {name}"),
            format!("ALTER VIEW {name} OWNER TO CURRENT_USER"),
        ];
    }
    vec![
        format!("TRUNCATE {name}"),
        format!("DROP TABLE {name}"),
        format!("ALTER TABLE {name} ADD COLUMN mine text"),
        format!("ALTER TABLE {name} DROP COLUMN {column}"),
        format!("ALTER TABLE {name} ALTER COLUMN {column} TYPE text USING 'x'"),
        format!("ALTER TABLE {name} RENAME TO mine"),
        format!("ALTER TABLE {name} SET SCHEMA public"),
        format!("ALTER TABLE {name} DISABLE TRIGGER ALL"),
        format!("ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"),
        format!("ALTER TABLE {name} OWNER TO CURRENT_USER"),
        format!("CREATE INDEX ON {name} ({column})"),
        format!("CREATE RULE mine AS ON INSERT TO {name} DO INSTEAD NOTHING"),
        format!(
            "CREATE TRIGGER mine BEFORE INSERT ON {name}
             EXECUTE FUNCTION suppress_redundant_updates_trigger()"
        ),
        format!("COPY {name} FROM PROGRAM 'true'"),
        format!("COPY {name} TO PROGRAM 'true'"),
        format!("COPY {name} TO '/tmp/mine'"),
    ]
}

async fn sequence(matrix: &mut Matrix<'_>, name: &str) -> anyhow::Result<usize> {
    let may_use = matrix.permits(name, "USAGE");
    matrix.expect(&format!("SELECT nextval('{name}')"), may_use).await?;
    let refused = vec![
        format!("SELECT setval('{name}', 1)"),
        format!("ALTER SEQUENCE {name} RESTART"),
        format!("DROP SEQUENCE {name}"),
    ];
    Ok(1 + matrix.refuses(refused).await?)
}
