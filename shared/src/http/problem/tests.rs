use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::*;

fn fields(problem: &Problem) -> Vec<(&str, &str)> {
    problem.errors.iter().map(|error| (error.field.as_str(), error.detail.as_str())).collect()
}

proptest! {
    #[test]
    fn a_cut_text_keeps_its_beginning_and_its_end(text: String, repeats in 1..60_usize) {
        let text = text.repeat(repeats);
        for max in [MAX_FIELD, MAX_DETAIL] {
            let short = cut(text.clone(), max);
            if text.len() <= max {
                prop_assert_eq!(&short, &text);
                continue;
            }
            // A character of at most four bytes is not split.
            prop_assert!((max - 8..=max).contains(&short.len()), "{}", short.len());
            let kept = max / 2 - 8;
            prop_assert_eq!(&short.as_bytes()[..kept], &text.as_bytes()[..kept]);
            prop_assert!(text.as_bytes().ends_with(&short.as_bytes()[short.len() - kept..]));
            prop_assert!(short.contains(" … "));
        }
    }

    #[test]
    fn a_problem_survives_a_round_trip(
        field: String, detail: String, seconds in proptest::option::of(any::<u32>()), fact: i64,
    ) {
        let mut problem = Problem::malformed(field, detail).with("current_version", fact);
        problem.retry_after = seconds;
        let text = serde_json::to_string(&problem).unwrap();
        prop_assert_eq!(serde_json::from_str::<Problem>(&text).unwrap(), problem);
    }
}

#[test]
fn a_problem_quotes_only_a_part_of_a_long_request() {
    let long = "ä".repeat(1_000_000);
    for problem in [
        Problem::malformed(long.clone(), "unknown field"),
        Problem::malformed("type", format!("unknown variant `{long}`, expected `deposit`")),
        Problem::malformed(long.clone(), long.clone()).within("commands[999]"),
        Problem::not_found(long.clone()),
    ] {
        assert!(problem.detail.len() <= 1_024, "{}", problem.detail.len());
        let body = serde_json::to_vec(&problem).unwrap();
        assert!(body.len() < 2_500, "{}", body.len());
    }
    let problem =
        Problem::malformed("type", format!("unknown variant `{long}`, expected `deposit`"));
    assert!(
        problem.detail.starts_with("`type`: unknown variant `ä")
            && problem.detail.ends_with("expected `deposit`")
    );
}

#[tokio::test]
async fn the_response_has_the_problem_as_its_body() {
    let problem = Problem::version_not_found(Uuid::nil(), 7).retry_after(3);
    let response = problem.clone().into_response();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    assert_eq!(response.headers()[RETRY_AFTER], "3");
    assert!(!response.headers().contains_key(CONNECTION));
    let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let detail = format!("account {} is only at version 7", Uuid::nil());
    assert_eq!(
        body,
        json!({
            "type": "about:blank", "title": "Not Found", "status": 404,
            "code": "version_not_found", "detail": detail, "retry_after": 3, "current_version": 7,
        })
    );
}

#[test]
fn the_connection_closes_if_the_rest_of_the_body_is_not_read() {
    for (status, closes) in [
        (StatusCode::REQUEST_TIMEOUT, true),
        (StatusCode::PAYLOAD_TOO_LARGE, true),
        (StatusCode::BAD_REQUEST, false),
        (StatusCode::SERVICE_UNAVAILABLE, false),
    ] {
        let response = Problem::new(status, "code", "detail").into_response();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers().get(CONNECTION).is_some_and(|v| v == "close"), closes);
        assert!(!response.headers().contains_key(RETRY_AFTER));
    }
    let mut broken = Problem::internal();
    broken.status = 20;
    assert_eq!(broken.into_response().status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[test]
fn changes_of_the_first_field_update_the_detail() {
    let problem = Problem::malformed("amount", "is too small");
    assert_eq!((problem.status, problem.code.as_str()), (400, "malformed_request"));
    let problem = problem.adding("; choose another").within("commands[3]");
    assert_eq!(fields(&problem), [("commands[3].amount", "is too small; choose another")]);
    assert_eq!(problem.detail, "`commands[3].amount`: is too small; choose another");
    let fieldless = Problem::not_found("nothing").within("a").adding("b").also_known("c");
    assert_eq!(fieldless, Problem::not_found("nothing"));
}

#[test]
fn further_names_are_added_to_a_list_of_known_fields_only() {
    let unknown = Problem::malformed("x", "unknown field `x`, expected `a`").also_known(", `b`");
    assert_eq!(unknown.detail, "`x`: unknown field `x`, expected `a`, `b`");
    let missing = Problem::malformed("a", "missing field `a`").also_known(", `b`");
    assert_eq!(missing.detail, "`a`: missing field `a`");
}

#[test]
fn merged_problems_name_all_fields() {
    assert_eq!(Problem::all_malformed(Vec::new()), None);
    let one = Problem::malformed("a", "is wrong");
    assert_eq!(Problem::all_malformed(vec![one.clone()]), Some(one.clone()));
    let more = ["b", "c"].map(|field| Problem::malformed(field, "is missing"));
    let all = Problem::all_malformed([vec![one], more.to_vec()].concat()).unwrap();
    assert_eq!(fields(&all), [("a", "is wrong"), ("b", "is missing"), ("c", "is missing")]);
    assert_eq!(all.detail, "`a`: is wrong; and 2 more in `errors`");
    let long = Problem::malformed("a".repeat(1_000), "x".repeat(10_000));
    let all = Problem::all_malformed(vec![long.clone(), long]).unwrap();
    assert!(all.detail.len() <= MAX_DETAIL, "{}", all.detail.len());
    assert!(all.detail.ends_with("; and 1 more in `errors`"), "{}", all.detail);
}

#[test]
fn each_kind_has_its_status_code_and_time_to_retry() {
    let id = Uuid::nil();
    for (problem, status, code, retry_after) in [
        (Problem::not_found("x"), 404, "not_found", None),
        (Problem::account_not_found(id), 404, "account_not_found", None),
        (Problem::version_not_found(id, 3), 404, "version_not_found", None),
        (Problem::method_not_allowed(), 405, "method_not_allowed", None),
        (Problem::store_unavailable("down"), 503, "store_unavailable", Some(1)),
        (Problem::internal(), 500, "internal_error", None),
        (Problem::unsupported_media_type(), 415, "unsupported_media_type", None),
        (Problem::unsupported_coding(), 415, "unsupported_media_type", None),
        (Problem::reads_overloaded(), 503, "overloaded", Some(1)),
    ] {
        let found = (problem.status, problem.code.as_str(), problem.retry_after);
        assert_eq!(found, (status, code, retry_after));
        let title = StatusCode::from_u16(status).unwrap().canonical_reason().unwrap();
        assert_eq!((problem.problem_type.as_str(), problem.title.as_str()), ("about:blank", title));
    }
    let account = Problem::account_not_found(id);
    assert_eq!(account.detail, format!("there is no account {id}"));
}

#[test]
fn a_failed_query_is_the_fault_of_the_store_or_a_defect() {
    for (error, status, code) in [
        (sqlx::Error::PoolTimedOut, 503, "overloaded"),
        (sqlx::Error::PoolClosed, 503, "store_unavailable"),
        (sqlx::Error::Io(std::io::Error::other("reset")), 503, "store_unavailable"),
        (sqlx::Error::TypeNotFound { type_name: "x".to_owned() }, 503, "store_unavailable"),
        (sqlx::Error::RowNotFound, 500, "internal_error"),
        (sqlx::Error::ColumnNotFound("x".to_owned()), 500, "internal_error"),
    ] {
        let problem = Problem::from(error);
        assert_eq!((problem.status, problem.code.as_str()), (status, code));
    }
    let problem = Problem::from_store(&sqlx::Error::Io(std::io::Error::other("reset")));
    assert_eq!(problem.detail, "the store is unavailable: Postgres can't be reached: reset");
    assert!(!Problem::from(sqlx::Error::RowNotFound).detail.contains("row"), "no detail leaks");
}
