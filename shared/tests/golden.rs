//! Golden files `TYPE.vN.json` of every payload shape that was ever stored. Each must stay
//! readable, and the newest of each type must be written byte for byte. A golden file never
//! changes: a new shape gets a new file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use passbook_shared::event::AccountEvent;
use serde_json::value::RawValue;

#[test]
fn every_golden_file_is_readable_and_the_newest_is_written() {
    let mut newest = BTreeMap::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let (event_type, version) = stem.split_once(".v").unwrap();
        let version: i16 = version.parse().unwrap();
        let data =
            RawValue::from_string(fs::read_to_string(&path).unwrap().trim().to_owned()).unwrap();

        let event = AccountEvent::decode(event_type, version, &data)
            .unwrap_or_else(|error| panic!("{stem}: {error}"));
        assert_eq!(event.event_type(), event_type);
        assert!(version <= event.schema_version(), "{stem} is newer than this build");
        if version == event.schema_version() {
            assert_eq!(
                event.data().unwrap().get(),
                data.get(),
                "{stem} is not what this build writes"
            );
            newest.insert(event_type.to_owned(), version);
        }
    }
    let types: Vec<&str> = newest.keys().map(String::as_str).collect();
    let mut all = AccountEvent::TYPES.to_vec();
    all.sort_unstable();
    assert_eq!(types, all, "each type needs a golden file of its newest schema version");
}

#[test]
fn an_account_opened_before_initial_deposits_starts_at_zero() {
    let old =
        RawValue::from_string(r#"{"owner":"customer-4711","currency":"EUR"}"#.to_owned()).unwrap();
    let AccountEvent::AccountOpened(opened) =
        AccountEvent::decode("AccountOpened", 1, &old).unwrap()
    else {
        panic!("another type")
    };
    assert_eq!((opened.initial_deposit, opened.overdraft_limit), (0, 0));
}

#[test]
fn an_unknown_type_or_schema_version_is_named() {
    let empty = RawValue::from_string("{}".to_owned()).unwrap();
    let said = |event_type, version| {
        AccountEvent::decode(event_type, version, &empty).unwrap_err().to_string()
    };
    assert!(said("AccountMelted", 1).contains("`AccountMelted`"));
    assert!(said("AccountOpened", 5).contains("schema version 5 of `AccountOpened`"));
    assert!(said("AccountOpened", 0).contains("schema version 0"));
    assert!(said("AccountOpened", 2).contains("owner"));
}
