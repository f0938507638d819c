use serde_json::json;

use super::*;

#[tokio::test]
async fn a_malformed_query_is_named() {
    let service = Service::start(false).await;
    for (path, field) in [
        ("/v1/events?partition=4", "partition"),
        ("/v1/events?partition=-1", "partition"),
        ("/v1/events?partition=0&after=-1", "after"),
        ("/v1/events?partition=0&after=9007199254740992", "after"),
        ("/v1/events?limit=0", "limit"),
        ("/v1/events?limit=5001", "limit"),
        ("/v1/events?partition=0&type=MoneyDeposited", "type"),
        ("/v1/events?partition=0&from=2026-01-01T00:00:00Z", "from"),
        ("/v1/events?partition=0&to=2026-01-01T00:00:00Z", "to"),
        ("/v1/events?partition=0&cursor=x", "cursor"),
        ("/v1/events?cursor=x", "cursor"),
        ("/v1/events?since=1", "since"),
        ("/v1/partitions/4/check", "partition"),
        ("/v1/partitions/0/check?cursor=account-7", "cursor"),
        ("/v1/partitions/0/check?limit=100001", "limit"),
        ("/admin/restore?limit=1001", "limit"),
    ] {
        assert_eq!(problem(service.get(path)).await, malformed(field), "{path}");
    }
    for (query, field) in [
        ("events?limit=1001", "limit"),
        ("events?after_version=x", "after_version"),
        ("state?version=0", "version"),
        ("state?version=1&as_of=2026-01-01T00:00:00Z", "as_of"),
        ("state?effective_at=yesterday", "effective_at"),
    ] {
        let found = problem(service.get(&format!("/v1/accounts/{ACCOUNT}/{query}"))).await;
        assert_eq!(found, malformed(field), "{query}");
    }
    assert_eq!(problem(service.get("/v1/accounts/7/state")).await.0, 400);
}

#[tokio::test]
async fn a_query_gets_503_while_postgres_is_away() {
    let service = Service::start(false).await;
    let of_account = format!("/v1/accounts/{ACCOUNT}");
    for path in [
        "/v1/events",
        "/v1/events?partition=3&after=9007199254740991&limit=5000",
        "/v1/store",
        "/v1/partitions/0/check?limit=1",
        "/admin/restore?limit=0",
        &format!("{of_account}/events?after_version=0"),
        &format!("{of_account}/state?version=1"),
        &format!("{of_account}/state?as_of=2026-01-01T00:00:00Z"),
    ] {
        let (status, code, field) = problem(service.get(path)).await;
        assert_eq!((status, field.as_str()), (503, ""), "{path}: {code}");
    }
}

#[tokio::test]
async fn the_watermark_of_a_partition_needs_a_time() {
    let service = Service::start(false).await;
    let settled = |partition: i16, body: &Value| {
        service.put(&format!("/v1/partitions/{partition}/settled"), body)
    };
    let moment = json!({"as_of": "2026-01-01T00:00:00Z"});
    assert_eq!(problem(settled(4, &moment)).await, malformed("partition"));
    assert_eq!(problem(settled(-1, &moment)).await.0, 400);
    for (body, field) in [
        (json!({}), "as_of"),
        (json!({"as_of": 7}), "as_of"),
        (json!({"as_of": "2026-01-01T00:00:00Z", "position": 1}), "position"),
    ] {
        assert_eq!(problem(settled(0, &body)).await, malformed(field), "{body}");
    }
    assert_eq!(problem(settled(0, &moment)).await.0, 503);
}

#[tokio::test]
async fn an_acceptance_of_a_restore_is_checked_before_anything_is_read() {
    let service = Service::start(false).await;
    let accept = |body: Value| service.post("/admin/restore/accept", &body);
    for (body, field) in [
        (json!({}), "forks"),
        (json!({"forks": [{"partition": 3}]}), "forks[0].log_position"),
        (json!({"forks": [], "above_epoch": -1}), "above_epoch"),
        (json!({"forks": [], "above_epoch": 1_000_000}), "above_epoch"),
    ] {
        let found = problem(accept(body.clone())).await;
        assert_eq!((found.0, found.1.as_str()), (400, "malformed_request"), "{body}");
        assert!(found.2.ends_with(field.rsplit('.').next().unwrap()), "{body}: {}", found.2);
    }
    let allowed = json!({"forks": [], "force": true, "above_epoch": 999_999});
    assert_eq!(problem(accept(allowed)).await.0, 503);
}

#[tokio::test]
async fn an_unknown_route_is_not_found_and_another_method_is_not_allowed() {
    let service = Service::start(false).await;
    assert_eq!(problem(service.get("/v1/nothing")).await, expected(404, "not_found", ""));
    let found = problem(service.get("/v1/transfers")).await;
    assert_eq!(found, expected(405, "method_not_allowed", ""));
    let topic = service.get("/asyncapi.json").send().await.unwrap();
    assert_eq!((topic.status().as_u16(), topic.text().await.unwrap().as_str()), (200, "{}"));
}
