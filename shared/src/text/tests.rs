use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

type Short = Text<4, 2>;

fn parse(text: &str) -> Result<Metadata, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

proptest! {
    #[test]
    fn a_text_has_its_length_in_characters_and_no_nul(
        characters in vec(prop_oneof![any::<char>(), Just('\0'), Just('é')], 0..8),
    ) {
        let text = String::from_iter(&characters);
        let is_valid = (2..=4).contains(&characters.len()) && !characters.contains(&'\0');
        let read = Short::new(text.as_str());
        prop_assert_eq!(read.is_ok(), is_valid, "{:?}", text);
        let json = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(serde_json::from_str::<Short>(&json).is_ok(), is_valid);
        if let Ok(read) = read {
            prop_assert_eq!(&*read, text.as_str(), "stored unchanged");
            prop_assert_eq!(serde_json::to_string(&read).unwrap(), json);
        }
    }

    #[test]
    fn metadata_survives_a_round_trip_in_the_order_of_its_keys(
        entries in btree_map("[a-zA-Z0-9 é]{1,8}", "[^\0]{0,8}", 0..=Metadata::MAX_KEYS),
    ) {
        let mut metadata = Metadata::default();
        for (key, value) in entries.iter().rev() {
            metadata.insert(key, value).unwrap();
        }
        let json = serde_json::to_string(&metadata).unwrap();
        prop_assert_eq!(&json, &serde_json::to_string(&entries).unwrap());
        prop_assert_eq!(parse(&json).unwrap(), metadata);
        prop_assert_eq!(parse(&json).unwrap().is_empty(), entries.is_empty());
    }
}

#[test]
fn a_refused_text_names_the_violated_limit() {
    assert_eq!(Short::new("a"), Err("text has 1 characters, but must have 2 to 4".to_owned()));
    assert_eq!(Short::new("éééééé"), Err("text has 6 characters, but must have 2 to 4".to_owned()));
    let nul = "text must not contain a NUL character";
    assert_eq!(Short::new("a\0b"), Err(nul.to_owned()));
    let error = serde_json::from_str::<Short>(r#""a\u0000b""#).unwrap_err().to_string();
    assert!(error.starts_with(nul), "{error}");
    assert!(serde_json::from_str::<Short>("12").is_err(), "a number is not a text");
}

#[test]
fn owners_and_references_have_their_limits() {
    for (length, is_owner, is_reference) in [
        (0, false, true),
        (1, true, true),
        (200, true, true),
        (201, false, true),
        (500, false, true),
        (501, false, false),
    ] {
        let text = "é".repeat(length);
        assert_eq!(Owner::new(text.as_str()).is_ok(), is_owner, "{length}");
        assert_eq!(Reference::new(text).is_ok(), is_reference, "{length}");
    }
}

#[test]
fn metadata_refuses_a_repeated_key_and_too_many_keys() {
    assert!(parse(r#"{"a":"1","b":"2"}"#).is_ok());
    let object = |count: usize| {
        let entries: Vec<String> = (0..count).map(|n| format!("\"k{n}\":\"\"")).collect();
        format!("{{{}}}", entries.join(","))
    };
    assert!(parse(&object(20)).is_ok());
    for (bad, words) in [
        (object(21), "an object of up to 20 strings"),
        (r#"{"a":"1","a":"1"}"#.to_owned(), "a key is repeated"),
        (r#"{"":"1"}"#.to_owned(), "text has 0 characters"),
        (format!("{{\"{}\":\"\"}}", "k".repeat(65)), "text has 65 characters"),
        (format!("{{\"k\":\"{}\"}}", "v".repeat(501)), "text has 501 characters"),
        (r#"{"a":1}"#.to_owned(), "expected a string"),
        (r#"{"a":null}"#.to_owned(), "expected a string"),
        ("[]".to_owned(), "an object of up to 20 strings"),
    ] {
        let error = parse(&bad).unwrap_err();
        assert!(error.contains(words), "{bad}: {error}");
    }
}

#[test]
fn inserted_metadata_has_the_limits_of_parsed_metadata() {
    let mut metadata = Metadata::default();
    for n in 0..20 {
        metadata.insert(&format!("k{n}"), "v").unwrap();
    }
    assert_eq!(metadata.insert("k20", "v"), Err("more than 20 keys".to_owned()));
    assert_eq!(metadata.insert("k19", "v"), Err("the key is repeated".to_owned()));
    let mut metadata = Metadata::default();
    let error = metadata.insert("", "v").unwrap_err();
    assert_eq!(error, "the key: text has 0 characters, but must have 1 to 64");
    assert!(metadata.insert("k", &"v".repeat(501)).unwrap_err().starts_with("text has 501"));
    assert!(metadata.is_empty());
}
