use axum::http::Request;
use passbook_shared::shutdown::{CancellationToken, Tasks};

use super::*;
use crate::domain::tests::specification::{ACCOUNT, deposit};
use crate::http::tests::app;

/// Extracts the parameters from a URI and headers.
async fn extracted<E: FromRequestParts<AppState, Rejection = Problem>>(
    uri: &str,
    headers: &[(&'static str, &str)],
    key_required: bool,
) -> Result<E, Problem> {
    let mut tasks = Tasks::new(CancellationToken::new());
    let state = app(&mut tasks, key_required).into();
    let mut request = Request::builder().uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    E::from_request_parts(&mut parts, &state).await
}

async fn single(
    uri: &str,
    headers: &[(&'static str, &str)],
) -> Result<CommandHeaders, (String, String)> {
    let found = extracted(uri, headers, false).await;
    found.map_err(|problem| (problem.code, problem.errors[0].field.clone()))
}

#[tokio::test]
async fn the_headers_of_a_command_become_its_context() {
    let plain = single("/", &[]).await.unwrap();
    assert_eq!((plain.expected_versions, plain.dry_run), (None, false));
    assert!(plain.context.is_empty());
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let all = single(
        "/?dry_run=true",
        &[
            ("If-Match", "\"7\", \"9\""),
            ("Idempotency-Key", "\"a key\""),
            ("X-Correlation-Id", "trail-1"),
            ("traceparent", trace),
        ],
    )
    .await
    .unwrap();
    assert_eq!((all.expected_versions, all.dry_run), (Some(vec![7, 9]), true));
    let context = CommandContext {
        tenant: None,
        idempotency_key: Some("a key".to_owned()),
        correlation_id: Some("trail-1".to_owned()),
        causation_id: None,
        actor: None,
        traceparent: Some(trace.to_owned()),
    };
    assert_eq!(all.context, context);
}

#[tokio::test]
async fn a_malformed_parameter_is_named() {
    let long = "x".repeat(129);
    for (uri, headers, field) in [
        ("/?dry_run=yes", vec![], "dry_run"),
        ("/?dryrun=true", vec![], "dryrun"),
        ("/", vec![("If-Match", "7")], "if-match"),
        ("/", vec![("Idempotency-Key", "")], IDEMPOTENCY_KEY),
        ("/", vec![("Idempotency-Key", "a"), ("Idempotency-Key", "b")], IDEMPOTENCY_KEY),
        ("/", vec![("X-Correlation-Id", long.as_str())], CORRELATION_ID),
        ("/", vec![("X-Correlation-Id", "a b")], CORRELATION_ID),
    ] {
        let (code, found) = single(uri, &headers).await.unwrap_err();
        assert_eq!(
            (code.as_str(), found.to_lowercase()),
            ("malformed_request", field.to_lowercase())
        );
    }
    let (_, longest) = long.split_at(1);
    assert!(single("/", &[("X-Correlation-Id", longest)]).await.is_ok());
}

#[tokio::test]
async fn a_required_key_may_be_missing_in_a_dry_run_only() {
    let missing = extracted::<CommandHeaders>("/", &[], true).await.unwrap_err();
    assert_eq!((missing.status, missing.code.as_str()), (400, "idempotency_key_missing"));
    assert_eq!(missing.errors[0].field, IDEMPOTENCY_KEY);
    assert!(extracted::<CommandHeaders>("/?dry_run=true", &[], true).await.is_ok());
    let keyed = extracted::<CommandHeaders>("/", &[("Idempotency-Key", "k")], true).await;
    assert_eq!(keyed.unwrap().context.idempotency_key.as_deref(), Some("k"));
}

#[tokio::test]
async fn a_bulk_request_has_the_headers_of_all_its_commands_only() {
    let headers = [("X-Correlation-Id", "trail-1")];
    let bulk: BulkHeaders = extracted("/?dry_run=true", &headers, true).await.unwrap();
    assert_eq!((bulk.dry_run, bulk.context.correlation_id.as_deref()), (true, Some("trail-1")));
    for (name, field) in [(IDEMPOTENCY_KEY, "idempotency_key"), ("If-Match", "expected_version")] {
        let refused = extracted::<BulkHeaders>("/", &[(name, "\"7\"")], false).await.unwrap_err();
        assert_eq!((refused.status, refused.errors[0].field.as_str()), (400, name));
        assert!(refused.detail.contains(field), "{}", refused.detail);
    }
}

#[test]
fn a_key_in_a_body_is_printable_ascii() {
    let key = |text: &str| serde_json::from_value::<IdempotencyKey>(text.into()).map(|key| key.0);
    let longest = "k".repeat(LONGEST_IDEMPOTENCY_KEY);
    for text in ["k", "a key", "\"quoted\"", &longest] {
        assert_eq!(key(text).unwrap(), text);
    }
    for text in ["", "ä", "a\nb", &format!("{longest}k")] {
        let error = key(text).unwrap_err().to_string();
        assert_eq!(error, "must be 1 to 255 characters of printable ASCII", "{text}");
    }
}

#[test]
fn a_request_has_its_headers_and_an_id_of_its_own() {
    let headers = || CommandHeaders {
        reach: Reach::default(),
        expected_versions: Some(vec![7]),
        dry_run: true,
        context: CommandContext { actor: Some("ops".to_owned()), ..CommandContext::default() },
    };
    let [first, second] = [(); 2].map(|()| headers().request(ACCOUNT, deposit(1)));
    assert_eq!((first.account_id, &first.command), (ACCOUNT, &deposit(1)));
    assert_eq!((first.expected_versions, first.dry_run), (Some(vec![7]), true));
    assert_eq!(first.context.actor.as_deref(), Some("ops"));
    assert_ne!(first.command_id, second.command_id);
}
