use passbook_shared::partition::partition_of;
use uuid::Uuid;

use super::*;
use crate::decision::command_set::CommandSet;
use crate::decision::tests::{ADA, BOB, PARTITIONS, set};
use crate::domain::tests::specification::{deposit, transfer};
use crate::lanes::queue::tests::submissions;
use crate::request::tests::request;
use crate::restore::standing::tests::{fork, forked};

fn sets() -> Vec<CommandSet> {
    let between = transfer(Uuid::from_u128(7), ADA, 1);
    let commands = [(ADA, deposit(1)), (BOB, deposit(1)), (BOB, between)];
    let sets = commands.map(|(account, command)| set(false, vec![request(account, command)]));
    sets.into()
}

#[tokio::test]
async fn submissions_on_a_fork_are_refused_and_others_go_on() {
    let standing = forked([partition_of(ADA, PARTITIONS)]);
    for (in_doubt, expected) in
        [(false, CommandError::from(fork(PARTITIONS.last()))), (true, CommandError::OutcomeUnknown)]
    {
        let (submissions, mut answers) = submissions(sets());
        assert!(has_fork(&standing, &submissions));
        let open = refuse_forked(&standing, submissions, in_doubt);
        assert_eq!(open.len(), 1);
        assert_eq!(open[0].set.commands[0].request.account_id, BOB);
        // The transfer touches the fork with its second account.
        for n in [2, 0] {
            let results = answers.remove(n).await.unwrap();
            let Err(error) = &results[0] else { panic!("{results:?}") };
            let is_as_expected = match (&expected, error) {
                (CommandError::LogIsBehind { .. }, CommandError::LogIsBehind { partition, .. }) => {
                    *partition == partition_of(ADA, PARTITIONS)
                }
                (expected, error) => expected == error,
            };
            assert!(is_as_expected, "{error:?}");
        }
        assert!(answers[0].try_recv().is_err(), "the open one is not answered");
    }
}

#[test]
fn without_a_fork_of_theirs_all_submissions_go_on() {
    let other = PARTITIONS
        .all()
        .find(|partition| [ADA, BOB].iter().all(|id| partition_of(*id, PARTITIONS) != *partition));
    for standing in [forked([]), forked(other)] {
        let (submissions, _answers) = submissions(sets());
        assert!(!has_fork(&standing, &submissions));
        assert_eq!(refuse_forked(&standing, submissions, true).len(), 3);
    }
}
