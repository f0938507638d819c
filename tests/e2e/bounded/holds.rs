//! The limit of open holds, and the size of snapshots with many holds.

use sqlx::{Connection, PgConnection};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_at_most_10_000_open_holds_and_its_snapshots_stay_small()
-> anyhow::Result<()> {
    const MOST: usize = 10_000;
    let environment = Environment::new("many_holds").await?;
    let service = environment.command("command").await?;
    let client = service.client()?;
    let account = client.open().await?;
    let hold = json!({"type": "hold", "account_id": account, "amount": 1,
        "expires_at": "2099-01-01T00:00:00Z"});
    for _ in 0..MOST / 1_000 {
        let answer =
            client.post("/v1/commands", None, &json!({"commands": vec![&hold; 1_000]})).await?;
        let answer: Value = answer.json().await?;
        let results = answer["results"].as_array().context("no results")?;
        ensure!(results.iter().all(|result| result["status"] == 201), "{:?}", results.last());
    }
    let holds = format!("/v1/accounts/{account}/holds");
    let refused = client.post(&holds, None, &json!({"amount": 1})).await?;
    ensure!(refused.status() == 422);
    let problem: Value = refused.json().await?;
    ensure!(problem["code"] == "too_many_holds" && problem["limit"] == MOST, "{problem}");
    // A released hold makes room for another.
    let first =
        client.json(&format!("/v1/accounts/{account}/events?after_version=1&limit=1")).await?;
    let first = first["data"][0]["data"]["hold_id"].as_str().context("no hold")?.to_owned();
    let released = client.post(&format!("{holds}/{first}/release"), None, &json!({})).await?;
    ensure!(released.status() == 201, "{}", released.text().await?);
    for wanted in [201, 422] {
        let answer = client.post(&holds, None, &json!({"amount": 1})).await?;
        ensure!(answer.status() == wanted, "{}", answer.text().await?);
    }
    sleep(Duration::from_millis(500)).await;
    let mut connection = PgConnection::connect(&environment.database_url).await?;
    let (count, largest, stored): (i64, i64, i64) = sqlx::query_as(
        "SELECT count(*), coalesce(max(length(state::text)), 0)::bigint,
                coalesce(sum(pg_column_size(state)), 0)::bigint
           FROM passbook.snapshots",
    )
    .fetch_one(&mut connection)
    .await?;
    eprintln!(
        "figure: {MOST} holds: {count} snapshots, the largest of {largest} bytes, {stored} bytes \
        stored"
    );
    ensure!(stored < 2_000_000, "{stored} bytes");
    Ok(())
}
