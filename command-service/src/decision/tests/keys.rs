//! Idempotency keys that are kept with the outcomes.

use super::*;
use crate::domain::tests::specification::{deposit, transfer, unfreeze, withdraw};
use crate::request::tests::{dry, with_key};

/// Returns the kept keys: name, version, number of events, and the code of the refusal.
fn kept(batch: &DecidedBatch) -> Vec<(&str, i64, i16, Option<String>)> {
    let code = |refusal: &String| {
        let refusal: serde_json::Value = serde_json::from_str(refusal).unwrap();
        refusal["code"].as_str().unwrap().to_owned()
    };
    let keys = batch.changes.append.keys.iter();
    keys.map(|key| (key.key.as_str(), key.version, key.events, key.refusal.as_ref().map(code)))
        .collect()
}

#[test]
fn a_key_is_kept_with_the_version_and_the_events_of_its_command() {
    let batch = decide(
        &opened(),
        &each(vec![
            with_key(request(ADA, deposit(1)), "one event"),
            with_key(request(ADA, unfreeze()), "no event"),
            with_key(request(ADA, transfer(Uuid::from_u128(7), BOB, 5)), "one on each"),
            request(ADA, deposit(1)),
            with_key(request(BOB, deposit(1)), "another account"),
        ]),
    );
    let expected = [
        ("one event", 2, 1, None),
        ("no event", 2, 0, None),
        ("one on each", 3, 1, None),
        ("another account", 3, 1, None),
    ];
    assert_eq!(kept(&batch), expected);
    let keys = &batch.changes.append.keys;
    assert_eq!(keys[0].fingerprint, request(ADA, deposit(1)).fingerprint());
    let owners: Vec<Uuid> = keys.iter().map(|key| key.account_id).collect();
    assert_eq!(owners, [ADA, ADA, ADA, BOB]);
}

#[test]
fn a_refusal_is_kept_with_the_version_that_it_was_decided_on() {
    let batch = decide(
        &opened(),
        &each(vec![
            request(ADA, deposit(1)),
            with_key(request(ADA, withdraw(102)), "too much"),
            with_key(request(ADA, transfer(Uuid::from_u128(7), ADA, 1)), "to itself"),
        ]),
    );
    let expected = [
        ("too much", 2, 0, Some("insufficient_funds".to_owned())),
        ("to itself", 2, 0, Some("same_account".to_owned())),
    ];
    assert_eq!(kept(&batch), expected);
    let refusal = batch.changes.append.keys[0].refusal.as_deref().unwrap();
    let refusal: Refusal = serde_json::from_str(refusal).unwrap();
    assert_eq!(refusal, Refusal::InsufficientFunds { available: 101, overdraft_limit: 0 });
}

#[test]
fn a_failed_precondition_a_dry_run_and_an_error_keep_no_key() {
    let mut expecting = with_key(request(ADA, deposit(1)), "precondition");
    expecting.expected_versions = Some(vec![9]);
    let unknown = with_key(request(Uuid::from_u128(3), deposit(1)), "not loaded");
    let dry_runs = [
        dry(with_key(request(ADA, deposit(1)), "dry")),
        dry(with_key(request(ADA, withdraw(101)), "dry and refused")),
    ];
    let batch =
        decide(&opened(), &each([expecting, unknown].into_iter().chain(dry_runs).collect()));
    assert_eq!(kept(&batch), []);
    let expected = ["VersionMismatch { current_version: 1 }", "Internal", "v2", "funds"];
    assert_eq!(described(&batch), expected);
}

#[test]
fn a_refusal_that_the_set_itself_caused_is_not_kept() {
    // Ada has 100: alone, the second withdrawal would be accepted.
    let caused = decide_after_openings(vec![set(
        true,
        vec![request(ADA, withdraw(60)), with_key(request(ADA, withdraw(60)), "caused")],
    )]);
    assert_eq!((described(&caused)[1].as_str(), kept(&caused)), ("funds", Vec::new()));
    let alone = decide_after_openings(vec![set(
        true,
        vec![request(BOB, deposit(1)), with_key(request(ADA, withdraw(1_000)), "alone")],
    )]);
    let refused = Some("insufficient_funds".to_owned());
    assert_eq!(kept(&alone), [("alone", 1, 0, refused)]);
    // Alone it would be refused as well, for another reason.
    let other = decide_after_openings(vec![set(
        true,
        vec![request(ADA, withdraw(60)), with_key(request(ADA, withdraw(101)), "other")],
    )]);
    assert_eq!((described(&other)[1].as_str(), kept(&other)), ("funds", Vec::new()));
}
