use super::*;
use crate::domain::Refusal;
use crate::domain::tests::specification::{ACCOUNT, HOLD, OTHER, TRANSFER, at, leg};
use crate::log::prior_outcomes::tests::recorded;
use crate::outcome::{AccountChange, CommandError};

#[test]
fn an_expiry_is_a_command_of_the_upkeep() {
    let hold = DueHold { account_id: ACCOUNT, hold_id: HOLD, expires_at: at(0) };
    let [first, second] = [expire(&hold), expire(&hold)];
    assert_eq!(first.account_id, ACCOUNT);
    assert_eq!(first.command, Command::Expire(Expire { hold_id: HOLD }));
    assert_eq!((first.expected_versions.as_ref(), first.dry_run, first.key()), (None, false, None));
    assert_eq!(first.context.actor.as_deref(), Some(ACTOR));
    assert_ne!(first.command_id, second.command_id);
}

#[test]
fn only_a_hold_with_an_event_has_expired() {
    let own = recorded(leg(TRANSFER, 30, OTHER, 5));
    let accepted = |own| Ok(Outcome::Accepted { replayed: false, own, to: None });
    assert!(has_expired(&accepted(own.clone())));
    assert!(!has_expired(&accepted(AccountChange { events: Vec::new(), ..own })));
    let refusal = Refusal::HoldNotFound;
    assert!(!has_expired(&Ok(Outcome::Refused { replayed: false, refusal })));
    assert!(!has_expired(&Err(CommandError::Overloaded)));
}
