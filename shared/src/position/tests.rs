use proptest::prelude::*;

use super::*;

fn position() -> impl Strategy<Value = Position> {
    let partition = (0..=32_767).prop_map(|number: i32| Partition::try_from(number).unwrap());
    (partition, prop_oneof![0..3_i64, 0..=i64::MAX, Just(i64::MAX)])
        .prop_map(|(partition, number)| Position { partition, number })
}

proptest! {
    #[test]
    fn a_position_survives_a_round_trip_as_text(position in position()) {
        let text = position.to_string();
        prop_assert_eq!(text.parse(), Ok(position));
        let json = serde_json::to_string(&position).unwrap();
        prop_assert_eq!(&json, &format!("\"{text}\""));
        prop_assert_eq!(serde_json::from_str::<Position>(&json).unwrap(), position);
    }

    #[test]
    fn positions_are_ordered_by_partition_and_number(one in position(), other in position()) {
        let key = |position: Position| (position.partition, position.number);
        prop_assert_eq!(one.cmp(&other), key(one).cmp(&key(other)));
    }

    #[test]
    fn a_position_has_digits_and_one_hyphen(text in "[-+0-9 ]{0,8}") {
        let is_position = text.split_once('-').is_some_and(|(partition, number)| {
            [partition, number].iter().all(|part| {
                !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
            }) && partition.parse::<u16>().is_ok_and(|partition| partition <= 32_767)
        });
        prop_assert_eq!(text.parse::<Position>().is_ok(), is_position, "{}", text);
    }
}

#[test]
fn a_text_that_is_no_position_is_quoted() {
    assert_eq!("3-1042".parse(), Ok(Position { partition: Partition::new(3), number: 1042 }));
    for bad in [
        "",
        "-",
        "3",
        "3-",
        "-1042",
        "3-+1",
        "+3-1",
        "3-1-2",
        "3--1",
        "32768-1",
        "3-9223372036854775808",
        "٣-1",
        "3 - 1",
    ] {
        let message = format!("`{bad}` is not a position such as 3-1042");
        assert_eq!(bad.parse::<Position>(), Err(message.clone()));
        let error = serde_json::from_str::<Position>(&format!("\"{bad}\"")).unwrap_err();
        assert!(error.to_string().starts_with(&message), "{error}");
    }
    assert!(serde_json::from_str::<Position>("31042").is_err());
    assert!(serde_json::from_str::<Position>(r#""3\u002d1042""#).is_ok(), "an escaped text");
}
