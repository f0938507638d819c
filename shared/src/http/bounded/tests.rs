use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};

use super::*;

type Limit = QueryInt<-3, 1_000>;

fn query(text: &str) -> Result<i64, String> {
    let text: StrDeserializer<'_, Error> = text.into_deserializer();
    Limit::deserialize(text).map(QueryInt::get).map_err(|error| error.to_string())
}

fn body(json: &str) -> Result<i64, String> {
    let number = serde_json::from_str::<BodyInt<2, LARGEST>>(json);
    number.map(BodyInt::get).map_err(|error| error.to_string())
}

#[test]
fn a_number_in_a_query_has_digits_only() {
    for (text, number) in [("0", 0), ("7", 7), ("007", 7), ("1000", 1_000)] {
        assert_eq!(query(text), Ok(number), "{text}");
    }
    // A negative number has a sign, even where the bounds would permit it.
    for text in
        ["", " 7", "7 ", "+7", "-1", "1e3", "1.0", "0x7", "٣", "1001", "9".repeat(40).as_str()]
    {
        assert_eq!(query(text), Err("must be a whole number from -3 to 1000".to_owned()), "{text}");
    }
}

#[test]
fn a_number_in_a_body_is_an_integer_within_its_bounds() {
    for (json, number) in [("2", 2), ("9007199254740991", LARGEST)] {
        assert_eq!(body(json), Ok(number), "{json}");
    }
    for json in ["1", "0", "-2", "9007199254740992", "18446744073709551615", "2.0", "\"2\"", "null"]
    {
        let error = body(json).unwrap_err();
        assert!(error.contains("expected a whole number from 2 to 9007199254740991"), "{error}");
    }
}

#[test]
fn the_largest_integer_is_exact_in_a_double() {
    #[expect(clippy::cast_precision_loss, reason = "this is what the test is about")]
    let [largest, next] = [LARGEST as f64, (LARGEST + 1) as f64];
    assert_ne!(largest, next);
    #[expect(clippy::cast_precision_loss, reason = "this is what the test is about")]
    let after_next = (LARGEST + 2) as f64;
    assert_eq!(next, after_next);
}

#[test]
fn both_kinds_accept_exactly_the_numbers_of_their_range() {
    for number in -50..1_050 {
        let text = number.to_string();
        assert_eq!(query(&text).ok(), Some(number).filter(|n| (0..=1_000).contains(n)));
        assert_eq!(body(&text).ok(), Some(number).filter(|n| *n >= 2));
    }
}
