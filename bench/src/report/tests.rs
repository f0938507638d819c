use serde_json::json;

use super::*;

#[test]
fn numbers_are_shown_whole_or_with_two_digits() {
    for (value, text) in [
        (json!(7), "7"),
        (json!(-7), "-7"),
        (json!(12_345_678_901_234_i64), "12345678901234"),
        (json!(1.0), "1.0"),
        (json!(1.5), "1.50"),
        (json!(0.004), "0.00"),
        (json!(0.005_1), "0.01"),
        (json!(99.999), "100.00"),
        (json!(true), "true"),
        (json!(null), "null"),
        (json!("kafka"), "\"kafka\""),
    ] {
        assert_eq!(shown(&value), text);
    }
}

#[test]
fn a_rate_is_rounded_to_the_nearest_whole_number() {
    for (number, rounded_to) in [
        (0.0, 0),
        (0.49, 0),
        (0.5, 1),
        (1_234.5, 1_235),
        (-0.5, -1),
        (5e15, 5_000_000_000_000_000_i64),
    ] {
        assert_eq!(rounded(number), json!(rounded_to), "{number}");
    }
}

#[test]
fn a_report_keeps_the_last_figures_of_each_name() {
    let mut report = Report::default();
    assert_eq!(report.get("http"), None);
    report.put("http", json!([1]));
    report.put("relay", json!({"per_second": 2}));
    report.put("http", json!([3]));
    assert_eq!(report.get("http"), Some(&json!([3])));
    assert_eq!(report.into_json(), json!({"http": [3], "relay": {"per_second": 2}}));
}
