use super::*;
use crate::decision::tests::{ADA, decide, opened, set};
use crate::domain::tests::specification::{deposit, withdraw};
use crate::outcome::CommandError;
use crate::request::CommandRequest;
use crate::request::tests::{dry, request};

fn decision(request: CommandRequest) -> Decision {
    let mut batch = decide(&opened(), &[set(false, vec![request])]);
    batch.decisions.remove(0).1
}

#[test]
fn what_inserts_nothing_is_unchecked() {
    let too_much = || request(ADA, withdraw(101));
    assert!(!is_unchecked(&decision(request(ADA, deposit(1)))));
    assert!(is_unchecked(&decision(dry(request(ADA, deposit(1))))));
    assert!(is_unchecked(&decision(too_much())));
    assert!(is_unchecked(&decision(dry(too_much()))));
    assert!(!is_unchecked(&Decision::Error(CommandError::Internal)));
}

#[test]
fn a_kept_refusal_is_checked_by_its_key() {
    let refused = |refusal| is_refusal_not_kept(&Decision::Refused(refusal));
    assert!(refused(Refusal::VersionMismatch { current_version: 3 }));
    assert!(refused(Refusal::TooFarBack { most_later_events: 3 }));
    assert!(!refused(Refusal::AccountNotFound));
    assert!(!is_refusal_not_kept(&Decision::Error(CommandError::KeyReused)));
    assert!(!is_refusal_not_kept(&decision(request(ADA, deposit(1)))));
}
