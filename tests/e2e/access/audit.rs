//! Audit trail: calls of operators, permitted or not.

use anyhow::{Context, ensure};
use passbook_shared::access::scope::Role;
use passbook_shared::store_error::is_forbidden;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{ask, key, known};
use crate::environment::{Environment, Pair, Service};
use crate::issuer::issuer;
use crate::process::eventually;

/// Trail of the tests of a database that is away, and of old rows.
mod kept;

const NOWHERE: &str = "/admin/replays/01990d2c-6f4a-7d3e-9b1a-5c8e2f7a4b60";

/// Waits for `count` calls in the trail of a service, and returns them, newest first.
async fn calls(service: &Service, count: usize) -> anyhow::Result<Vec<Value>> {
    eventually("the calls are in the trail", async || {
        let page = service.client()?.json("/admin/audit").await?;
        let calls = page["data"].as_array().context("no list")?.clone();
        ensure!(calls.len() == count, "{page}");
        Ok(calls)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_operators_are_in_the_trail_permitted_or_not() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("audit").await?, 1).await?;
    let auditor = key("audited-reader", Role::Reader.scopes())?;
    known(&pair.commands[0], &auditor).await?;
    known(&pair.projections[0], &auditor).await?;
    let bearer = format!("Bearer {}", auditor.text);
    let token = format!("Bearer {}", issuer()?.token("jo", "ops:replay", &json!({}))?);
    let stranger = "Bearer pbk_0123456789_0";
    let views = &pair.projections[0];
    for (authorization, method, path, expected) in [
        (&*bearer, Method::POST, "/admin/verify", StatusCode::FORBIDDEN),
        (&*token, Method::DELETE, NOWHERE, StatusCode::NOT_FOUND),
        // Without a principal, or a read: not in the table.
        (stranger, Method::DELETE, NOWHERE, StatusCode::UNAUTHORIZED),
        (&*bearer, Method::GET, "/admin/replays", StatusCode::FORBIDDEN),
    ] {
        let (status, body) = ask(views, method, path, Some(authorization), None).await?;
        ensure!(status == expected, "{path}: {status}: {body}");
    }
    let response = views.client()?.post("/admin/verify", None, &json!({})).await?;
    let id = response.headers()["x-request-id"].to_str()?.to_owned();
    ensure!(response.status() == StatusCode::ACCEPTED, "{}", response.status());
    let found = calls(views, 3).await?;
    let parts = |call: &Value| {
        ["principal", "operation", "status", "peer"].map(|part| call[part].to_string())
    };
    let expected = [
        ["\"operator\"", "\"start_verification\"", "202", "\"127.0.0.1\""],
        ["\"jo\"", "\"cancel_replay\"", "404", "\"127.0.0.1\""],
        ["\"audited-reader\"", "\"start_verification\"", "403", "\"127.0.0.1\""],
    ];
    ensure!(found.iter().map(parts).eq(expected), "{found:?}");
    ensure!(found[0]["request_id"] == id && found[1]["path"] == NOWHERE, "{found:?}");

    let page = views.client()?.json("/admin/audit?limit=2").await?;
    let cursor = page["next_cursor"].as_str().context("no cursor")?;
    let rest = views.client()?.json(&format!("/admin/audit?limit=2&cursor={cursor}")).await?;
    ensure!(rest["data"] == json!([found[2]]) && rest["has_more"] == false, "{rest}");

    let (status, _) =
        ask(&pair.commands[0], Method::GET, "/admin/restore", Some(&bearer), None).await?;
    ensure!(status == StatusCode::FORBIDDEN, "{status}");
    let found = calls(&pair.commands[0], 1).await?;
    ensure!(found[0]["operation"] == "get_restore", "{found:?}");
    // The trail survives the process.
    pair.commands[0].kill().await?;
    pair.commands[0].start()?;
    pair.commands[0].ready().await?;
    ensure!(calls(&pair.commands[0], 1).await? == found, "the trail has changed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_services_roles_change_no_call_of_the_trail() -> anyhow::Result<()> {
    let environment = Environment::new("audit_rights").await?;
    for (role, schema) in [
        (&environment.command_role_url, "passbook"),
        (&environment.projection_role_url, "projection"),
    ] {
        let mut role = PgConnection::connect(role).await?;
        let append = format!(
            "SELECT {schema}.record_audit(ARRAY[now()], ARRAY['ada'], ARRAY['it'], ARRAY['/it'],
                                          ARRAY[200::smallint], ARRAY['1'], ARRAY[NULL::text])"
        );
        sqlx::raw_sql(AssertSqlSafe(append)).execute(&mut role).await?;
        for sql in [
            format!("UPDATE {schema}.audit SET status = 403"),
            format!("DELETE FROM {schema}.audit"),
            format!("TRUNCATE {schema}.audit"),
            format!("INSERT INTO {schema}.audit SELECT * FROM {schema}.audit LIMIT 0"),
            format!("ALTER SEQUENCE {schema}.audit_audit_id_seq RESTART"),
        ] {
            let done = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut role).await;
            ensure!(done.as_ref().is_err_and(is_forbidden), "{sql}: {done:?}");
        }
    }
    Ok(())
}
