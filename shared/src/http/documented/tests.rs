use serde_json::Value;

use super::*;

fn documented(problems: Vec<Problem>) -> Value {
    serde_json::to_value(responses(problems)).unwrap()
}

fn examples(response: &Value) -> &serde_json::Map<String, Value> {
    response["content"]["application/problem+json"]["examples"].as_object().unwrap()
}

#[test]
fn problems_of_a_status_are_one_response_with_an_example_of_each_code() {
    let problem = Problem::account_not_found(uuid::Uuid::nil());
    let all = documented(vec![
        problem.clone(),
        Problem::not_found("first"),
        Problem::not_found("second"),
        Problem::internal(),
    ]);
    let statuses: Vec<&String> = all.as_object().unwrap().keys().collect();
    assert_eq!(statuses, ["404", "431", "500", "503"], "with those of any request");
    assert_eq!(all["404"]["description"], "`account_not_found`, `not_found`");
    let of_404 = examples(&all["404"]);
    assert_eq!(of_404.len(), 2);
    assert_eq!(of_404["account_not_found"]["value"], serde_json::to_value(&problem).unwrap());
    assert_eq!(of_404["account_not_found"]["summary"], problem.detail.as_str());
    assert_eq!(of_404["not_found"]["summary"], "first", "the first of its code");
    let schema = &all["404"]["content"]["application/problem+json"]["schema"];
    assert_eq!(schema["$ref"], "#/components/schemas/Problem");
}

#[test]
fn a_response_has_retry_after_if_one_of_its_problems_does() {
    let all = documented(vec![Problem::internal(), Problem::internal().retry_after(1)]);
    assert!(all["500"].get("headers").is_none(), "the first of a code is the example");
    assert_eq!(all["503"]["headers"]["Retry-After"]["schema"]["type"], "integer");
    let unavailable = documented(vec![Problem::store_unavailable("down"), Problem::internal()]);
    assert_eq!(unavailable["503"]["description"], "`store_unavailable`, `overloaded`");
}
