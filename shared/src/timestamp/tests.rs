use proptest::prelude::*;

use super::*;
use crate::event::tests::any;

const SECOND: i64 = 1_000_000;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn micros() -> impl Strategy<Value = i64> {
    let near = |bound: i64| bound - 3..=bound + 3;
    prop_oneof![
        Timestamp::FIRST.as_micros()..=Timestamp::LAST.as_micros(),
        near(Timestamp::FIRST.as_micros()),
        near(Timestamp::LAST.as_micros()),
        near(0),
        any::<i64>(),
    ]
}

proptest! {
    #[test]
    fn a_time_has_one_text_from_which_it_is_read_again(micros in micros()) {
        let is_in_range = (Timestamp::FIRST.as_micros()..=Timestamp::LAST.as_micros())
            .contains(&micros);
        let moment = Timestamp::from_micros(micros);
        prop_assert_eq!(moment.is_some(), is_in_range);
        if let Some(moment) = moment {
            prop_assert_eq!(moment.as_micros(), micros);
            let text = moment.to_string();
            prop_assert_eq!(text.len(), "2026-11-24T12:00:00.000000Z".len(), "{}", text);
            prop_assert_eq!(text.parse(), Ok(moment));
            prop_assert_eq!(serde_json::to_string(&moment).unwrap(), format!("\"{text}\""));
        }
    }

    #[test]
    fn times_are_ordered_as_their_texts(one in any::time(), other in any::time()) {
        prop_assert_eq!(one.cmp(&other), one.to_string().cmp(&other.to_string()));
    }

    #[test]
    fn digits_after_the_sixth_are_cut(nanos in 0..1_000_000_000_u32) {
        let moment = time(&format!("2026-11-24T12:00:00.{nanos:09}Z"));
        let begin = time("2026-11-24T12:00:00Z").as_micros();
        prop_assert_eq!(moment.as_micros() - begin, i64::from(nanos / 1_000));
    }

    #[test]
    fn an_offset_is_subtracted(hours in 0..=23_i64, minutes in 0..=59_i64, is_west: bool) {
        let sign = if is_west { '-' } else { '+' };
        let moment = time(&format!("2026-11-24T12:00:00{sign}{hours:02}:{minutes:02}"));
        let offset = (hours * 3_600 + minutes * 60) * SECOND * if is_west { -1 } else { 1 };
        prop_assert_eq!(moment.as_micros() + offset, time("2026-11-24T12:00:00Z").as_micros());
    }

    #[test]
    fn milliseconds_are_whole_and_never_later(micros in micros()) {
        if let Some(moment) = Timestamp::from_micros(micros) {
            let later = moment.as_micros() - moment.as_millis() * 1_000;
            prop_assert!((0..1_000).contains(&later), "{}", later);
        }
    }

    #[test]
    fn no_text_panics(text: String) {
        let _ = text.parse::<Timestamp>();
    }
}

#[test]
fn times_of_any_offset_are_read_and_written_in_utc_with_six_digits() {
    let moment = time("2026-11-24T14:00:00.1234567+02:00");
    assert_eq!(moment.to_string(), "2026-11-24T12:00:00.123456Z");
    assert_eq!(time("2026-11-24T12:00:00Z").to_string(), "2026-11-24T12:00:00.000000Z");
    assert_eq!(Timestamp::EPOCH.as_micros(), 0);
}

#[test]
fn the_bounds_are_whole_years_in_utc() {
    assert_eq!(Timestamp::FIRST.to_string(), "0001-01-01T00:00:00.000000Z");
    assert_eq!(Timestamp::LAST.to_string(), "9999-12-31T23:59:59.999999Z");
    assert_eq!(time("9999-12-31T23:59:59.999999999Z"), Timestamp::LAST);
    assert_eq!(time("0001-01-01T01:00:00+01:00"), Timestamp::FIRST);
    for beyond in [
        "0001-01-01T00:00:00+00:01",
        "0000-12-31T23:59:59Z",
        "-0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59-00:01",
        "+10000-01-01T00:00:00Z",
    ] {
        assert!(beyond.parse::<Timestamp>().is_err(), "{beyond}");
    }
}

#[test]
fn a_text_that_is_no_time_is_quoted() {
    for bad in [
        "",
        "2026-11-24",
        "2026-11-24T12:00:00",
        "2026-11-24T12:00Z",
        "2026-02-29T12:00:00Z",
        "2026-11-24T24:00:00Z",
        "2016-12-31T23:59:60Z",
        "2026-11-24T12:00:00.Z",
        " 2026-11-24T12:00:00Z",
        "2026-11-24T12:00:00Z ",
        "1795521600",
        "yesterday",
    ] {
        let message =
            format!("`{bad}` is not an RFC 3339 time such as 2026-11-24T12:00:00.000000Z");
        assert_eq!(bad.parse::<Timestamp>(), Err(message.clone()));
        let error = serde_json::from_str::<Timestamp>(&format!("\"{bad}\"")).unwrap_err();
        assert!(error.to_string().starts_with(&message), "{error}");
    }
    assert!(serde_json::from_str::<Timestamp>("1795521600").is_err());
    let escaped = r#""2026-11-24T12:00:00\u005a""#;
    assert_eq!(serde_json::from_str::<Timestamp>(escaped).unwrap(), time("2026-11-24T12:00:00Z"));
}

#[test]
fn now_is_the_clock_of_the_machine_without_digits_after_the_sixth() {
    let seconds = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        i64::try_from(since.as_micros()).unwrap()
    };
    let before = seconds();
    let now = Timestamp::now();
    assert!((before..=seconds()).contains(&now.as_micros()));
    assert_eq!(Timestamp::from_micros(now.as_micros()), Some(now));
    assert_eq!(now.to_utc().timestamp_micros(), now.as_micros());
}
