use proptest::prelude::*;

use super::*;

#[derive(Debug, Deserialize)]
struct Limit(#[serde(deserialize_with = "amount_or_zero")] i64);

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), -3..=3_i64, MAX_AMOUNT - 3..=MAX_AMOUNT + 3]
}

proptest! {
    #[test]
    fn an_amount_is_valid_in_rust_and_in_json_alike(units in number()) {
        let is_amount = (1..=MAX_AMOUNT).contains(&units);
        prop_assert_eq!(Amount::new(units).map(Amount::get), is_amount.then_some(units));
        let text = units.to_string();
        let read = serde_json::from_str::<Amount>(&text).ok();
        prop_assert_eq!(read, Amount::new(units));
        if let Some(amount) = read {
            prop_assert_eq!(serde_json::to_string(&amount).unwrap(), text.clone());
        }
        let limit = serde_json::from_str::<Limit>(&text).ok().map(|Limit(units)| units);
        prop_assert_eq!(limit, Some(units).filter(|units| is_amount || *units == 0));
    }

    #[test]
    fn amounts_are_ordered_as_their_numbers(one in 1..=MAX_AMOUNT, other in 1..=MAX_AMOUNT) {
        prop_assert_eq!(Amount::new(one).cmp(&Amount::new(other)), one.cmp(&other));
    }

    #[test]
    fn a_fraction_is_no_amount(number in 0.001..1e15_f64) {
        let text = serde_json::to_string(&number).unwrap();
        prop_assert!(serde_json::from_str::<Amount>(&text).is_err(), "{}", text);
        prop_assert!(serde_json::from_str::<Limit>(&text).is_err(), "{}", text);
    }
}

#[test]
fn amounts_are_positive_integers_up_to_2_to_the_53_minus_1() {
    let amount = |text: &str| serde_json::from_str::<Amount>(text).map(Amount::get);
    let limit = |text: &str| serde_json::from_str::<Limit>(text).map(|Limit(units)| units);
    assert_eq!(MAX_AMOUNT, (1 << 53) - 1);
    assert_eq!((amount("1").unwrap(), limit("0").unwrap()), (1, 0));
    assert_eq!(amount("9007199254740991").unwrap(), MAX_AMOUNT);
    for bad in [
        "-1",
        "9007199254740992",
        "18446744073709551615",
        "99999999999999999999999",
        "1.0",
        "1e2",
        "\"1\"",
        "null",
        "true",
        "[1]",
    ] {
        for (read, least) in [(amount(bad), 1), (limit(bad), 0)] {
            let bounds = format!("an integer of minor units from {least} to 9007199254740991");
            let error = read.unwrap_err().to_string();
            assert!(error.contains(&bounds), "{bad}: {error}");
        }
    }
    assert!(amount("0").is_err());
}

#[test]
fn currencies_are_known_codes_in_capitals() {
    for code in ["EUR", "JPY", "KWD", "USD"] {
        let currency: Currency = code.parse().unwrap();
        assert_eq!((currency.code(), currency.to_string().as_str()), (code, code));
        assert_eq!(serde_json::to_string(&currency).unwrap(), format!("\"{code}\""));
    }
    for bad in ["eur", "Eur", "EURO", "EU", "", " EUR", "ZZZ", "978", "€"] {
        let message = format!("`{bad}` is not an ISO 4217 currency code in capitals, such as EUR");
        assert_eq!(bad.parse::<Currency>(), Err(message.clone()));
        let error = serde_json::from_str::<Currency>(&format!("\"{bad}\"")).unwrap_err();
        assert!(error.to_string().starts_with(&message), "{error}");
    }
    assert_eq!(serde_json::from_str::<Currency>(r#""\u0045UR""#).unwrap().code(), "EUR");
}

#[test]
fn the_schema_lists_every_currency_once() {
    let schema = serde_json::to_value(<Currency as utoipa::PartialSchema>::schema()).unwrap();
    let codes: Vec<&str> =
        schema["enum"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    assert!(codes.len() > 150 && codes.is_sorted_by(|one, other| one < other), "{codes:?}");
    assert!(codes.iter().all(|code| code.parse::<Currency>().is_ok_and(|c| c.code() == *code)));
    assert!(["CHF", "EUR", "USD"].iter().all(|code| codes.contains(code)));
}
