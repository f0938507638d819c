use super::specification::*;
use crate::domain::{Command, Refusal};

#[test]
fn a_freeze_blocks_one_direction_or_both() {
    given([opened_with(0)]).when(Command::Freeze(freeze(false))).then([frozen()]);
    given([opened_with(0)]).when(Command::Freeze(freeze(true))).then([frozen_both_ways()]);
}

#[test]
fn repeating_a_freeze_changes_nothing() {
    given([opened_with(0), frozen()]).when(Command::Freeze(freeze(false))).then_nothing();
    given([opened_with(0), frozen_both_ways()]).when(Command::Freeze(freeze(true))).then_nothing();
}

#[test]
fn a_freeze_can_be_widened_and_narrowed() {
    given([opened_with(0), frozen()])
        .when(Command::Freeze(freeze(true)))
        .then([frozen_both_ways()]);
    given([opened_with(0), frozen_both_ways()])
        .when(Command::Freeze(freeze(false)))
        .then([frozen()]);
}

#[test]
fn unfreezing_twice_changes_nothing() {
    given([opened_with(0), frozen()]).when(unfreeze()).then([unfrozen()]);
    given([opened_with(0), frozen(), unfrozen()]).when(unfreeze()).then_nothing();
    given([opened_with(0)]).when(unfreeze()).then_nothing();
}

#[test]
fn a_closed_account_cannot_be_frozen_or_unfrozen() {
    given([opened_with(0), closed()])
        .when(Command::Freeze(freeze(false)))
        .then_refused(Refusal::AccountClosed);
    given([opened_with(0), closed()]).when(unfreeze()).then_refused(Refusal::AccountClosed);
}
