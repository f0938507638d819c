use passbook_shared::upcast::DecodeError;

use super::*;
use crate::domain::tests::specification::{
    ACCOUNT, OTHER, at, deposit, deposited, reverse, transfer,
};
use crate::request::tests::{dry, request, with_key};

const PARTITIONS: PartitionCount = PartitionCount::new(4);

fn prepared(request: CommandRequest) -> PreparedCommand {
    PreparedCommand::new(request, PARTITIONS)
}

#[test]
fn a_transfer_touches_its_receiver_as_well() {
    let [own, other] = [ACCOUNT, OTHER].map(|id| (id, partition_of(id, PARTITIONS)));
    let sent = prepared(request(ACCOUNT, transfer(Uuid::from_u128(7), OTHER, 1)));
    assert_eq!(sent.accounts().collect::<Vec<_>>(), [own, other]);
    let deposit = prepared(request(OTHER, deposit(1)));
    assert_eq!(deposit.accounts().collect::<Vec<_>>(), [other]);
    // The other account of a reversal is known once its entry is.
    assert_eq!(prepared(request(ACCOUNT, reverse(2))).accounts().collect::<Vec<_>>(), [own]);
}

#[test]
fn only_a_reversal_has_an_entry() {
    let partition = partition_of(ACCOUNT, PARTITIONS);
    let reversal = prepared(request(ACCOUNT, reverse(2)));
    assert_eq!(reversal.entry(), Some((partition, ACCOUNT, 2)));
    assert_eq!(prepared(request(ACCOUNT, deposit(2))).entry(), None);
}

#[test]
fn a_new_key_has_the_outcome_of_its_command() {
    let keyed = prepared(with_key(request(ACCOUNT, deposit(2)), "k"));
    let key = keyed.key().unwrap();
    let partition = partition_of(ACCOUNT, PARTITIONS);
    assert_eq!((key.partition, key.account_id, key.key), (partition, ACCOUNT, "k"));
    let new = keyed.new_key(7, 2, None).unwrap();
    assert_eq!((new.partition, new.account_id, new.key.as_str()), (partition, ACCOUNT, "k"));
    assert_eq!((new.version, new.events, new.refusal), (7, 2, None));
    assert_eq!(new.fingerprint, keyed.request.fingerprint());
    let refused = keyed.new_key(7, 0, Some("{}".to_owned())).unwrap();
    assert_eq!((refused.events, refused.refusal.as_deref()), (0, Some("{}")));
    assert_eq!(keyed.new_key(7, 40_000, None).unwrap().events, i16::MAX);
    for without in [request(ACCOUNT, deposit(2)), dry(keyed.request)] {
        let without = prepared(without);
        assert!(without.key().is_none() && without.new_key(7, 2, None).is_none());
    }
}

#[test]
fn what_the_log_says_of_an_entry_is_part_of_the_command() {
    let mut command = prepared(request(ACCOUNT, reverse(2)));
    let mut entry = Entry { event: Ok(deposited(5)), recorded_at: at(9), reversed_by: Some(4) };
    command.learn_entry(&entry);
    assert_eq!(command.past.entry.as_deref(), Some(&deposited(5)));
    assert_eq!(command.past.entry_recorded_at, Some(at(9)));
    assert_eq!((command.past.reversed_by, command.is_unreadable), (Some(4), false));
    let mut unreadable = prepared(request(ACCOUNT, reverse(2)));
    entry.event = Err(DecodeError::UnknownType("Unknown".to_owned()));
    unreadable.learn_entry(&entry);
    assert!(unreadable.is_unreadable && unreadable.past.entry.is_none());
}
