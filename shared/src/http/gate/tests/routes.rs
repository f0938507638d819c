//! Requests of routes that the document lacks, and of other forms of a path.

use axum::http::header::ALLOW;

use super::*;

#[tokio::test]
async fn a_route_that_the_document_lacks_is_refused() {
    #[utoipa::path(get, operation_id = "known", path = "/known", responses(),
        security(("api_key" = ["log:read"])))]
    async fn known() {}
    async fn unknown() -> &'static str {
        // Not a panic, which would be answered with the status that the test expects.
        "the handler of an undocumented route ran"
    }

    let routes = OpenApiRouter::new()
        .routes(routes!(known))
        .route("/unknown", axum::routing::any(unknown))
        .route("/known", axum::routing::post(unknown));
    let router = app("test", routes, Health::new("test"), Access::unrestricted()).unwrap();
    for (method, path, expected) in [
        ("GET", "/known", StatusCode::OK),
        ("POST", "/known", StatusCode::METHOD_NOT_ALLOWED),
        ("GET", "/unknown", StatusCode::INTERNAL_SERVER_ERROR),
        ("OPTIONS", "/unknown", StatusCode::INTERNAL_SERVER_ERROR),
        ("GET", "/nowhere", StatusCode::NOT_FOUND),
    ] {
        let response = send(&router, method, path, &[]).await;
        assert_eq!(response.status(), expected, "{method} {path}");
        let allowed = response.headers().get(ALLOW).map(|value| value.to_str().unwrap());
        assert_eq!(allowed, (method == "POST").then_some("GET,HEAD"));
    }
}

#[tokio::test]
async fn other_forms_of_a_path_need_a_key_as_well() {
    let mut service = Service::new();
    let (operator, projection) = (service.key(Role::Operator), service.key(Role::Projection));
    for (method, path) in [
        ("HEAD", "/it/7"),
        ("GET", "/it/7/"),
        ("GET", "/it/%37"),
        ("GET", "/it/%2e%2e"),
        ("GET", "/it/../it/7"),
        ("GET", "/%69t/7"),
        ("GET", "//it/7"),
        ("GET", "/health/../it/7"),
        ("GET", "/health/live/"),
        ("GET", "/health/%6cive"),
        ("GET", "/docs/../it/7"),
        ("GET", "http://localhost/it/7"),
        ("GET", "http://other.example/it/7"),
    ] {
        let without = service.ask(method, path, &[]).await;
        let is_documentation = path.starts_with("/docs/");
        let expected =
            if is_documentation { StatusCode::NOT_FOUND } else { StatusCode::UNAUTHORIZED };
        assert_eq!(without.0, expected, "{method} {path}");
        let other = service.ask(method, path, &[&projection]).await.0;
        assert!([StatusCode::FORBIDDEN, StatusCode::NOT_FOUND].contains(&other), "{path}: {other}");
        let permitted = service.ask(method, path, &[&operator]).await;
        assert!([StatusCode::OK, StatusCode::NOT_FOUND].contains(&permitted.0), "{permitted:?}");
    }
}

#[tokio::test]
async fn an_app_that_waits_for_its_store_authenticates() {
    let mut service = Service::new();
    let operator = service.key(Role::Operator);
    let access = Access {
        keys: Some(WatchedKeys::read(service.path.clone()).unwrap()),
        tokens: None,
        audit: None,
        hosts: AllowedHosts::new(&[], "127.0.0.1:8080".parse().unwrap()).unwrap(),
    };
    let health = Health::new("test");
    health.degraded("relay", "Kafka is away");
    service.router = crate::http::waiting("test", health, access).unwrap();
    for path in ["/it/7", "/nowhere"] {
        assert_eq!(service.ask("GET", path, &[]).await.0, StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!(service.ask("GET", "/it/7", &[&operator]).await.1, "store_unavailable");
    assert!(!service.ask("GET", "/health/ready", &[]).await.1.contains("Kafka is away"));
    assert!(service.ask("GET", "/health/ready", &[&operator]).await.1.contains("Kafka is away"));
}

#[test]
fn a_route_without_a_scope_prevents_the_start() {
    #[utoipa::path(get, operation_id = "forgotten", path = "/forgotten", responses())]
    async fn forgotten() {}

    let routes = OpenApiRouter::new().routes(routes!(forgotten));
    let hosts = AllowedHosts::new(&[], "127.0.0.1:8080".parse().unwrap()).unwrap();
    let refused = app(
        "test",
        routes,
        Health::new("test"),
        Access { keys: None, tokens: None, audit: None, hosts },
    );
    let said = format!("{:#}", refused.map(|_| ()).unwrap_err());
    assert_eq!(said, "GET /forgotten: the operation declares no security");
}

#[tokio::test]
async fn requests_beyond_the_rate_of_a_principal_are_refused() {
    let mut service = Service::new();
    let fast = service.key_with_rate(Role::Operator, NonZeroU32::new(3));
    for _ in 0..3 {
        assert_eq!(service.ask("GET", "/it/7", &[&fast]).await.0, StatusCode::OK);
    }
    let refused = send(&service.router, "GET", "/it/7", &[&fast]).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()[RETRY_AFTER], "1");
    assert_eq!(service.ask("GET", "/health/ready", &[&fast]).await.0, StatusCode::OK);
    let other = service.key(Role::Operator);
    assert_eq!(service.ask("GET", "/it/7", &[&other]).await.0, StatusCode::OK);
}
