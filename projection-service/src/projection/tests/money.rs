use super::*;

#[test]
fn money_moves_the_balance_and_counts() {
    let event = withdrawn(4_000);
    let entry = given(&[opened(0), deposited(2_500)]).when(&event).unwrap();
    assert_eq!(
        (entry.amount, entry.after.balance, entry.after.transaction_count),
        (Some(-4_000), -1_500, 3)
    );
}

#[test]
fn the_legs_of_a_transfer_move_money_out_of_one_account_and_into_another() {
    let (sent, received) =
        (AccountEvent::MoneySent(leg(300)), AccountEvent::MoneyReceived(leg(300)));
    for (event, amount) in [(sent, -300), (received, 300)] {
        let entry = given(&[opened(1_000)]).when(&event).unwrap();
        let after = entry.after;
        assert_eq!(
            (entry.amount, after.balance, after.transaction_count),
            (Some(amount), 1_000 + amount, 2)
        );
        assert_eq!(
            entry.transfer,
            Some(Transfer { transfer_id: A, counterparty: B, counterparty_version: 7 })
        );
        assert_eq!((entry.reference, entry.effective_at), (Some("rent"), Some(at())));
    }
}

#[test]
fn a_reversal_moves_money_the_other_way_and_says_what_it_undoes() {
    let transfer = ReversedTransfer { transfer_id: A, counterparty: B, counterparty_version: 9 };
    for (entry, transfer, amount) in [
        (ReversibleEntry::Deposit, None, -300),
        (ReversibleEntry::Withdrawal, None, 300),
        (ReversibleEntry::TransferSent, Some(transfer), 300),
        (ReversibleEntry::TransferReceived, Some(transfer), -300),
    ] {
        let event = reversed(entry, transfer);
        let entry = given(&[opened(1_000), deposited(1)]).when(&event).unwrap();
        assert_eq!((entry.amount, entry.after.balance), (Some(amount), 1_001 + amount));
        assert_eq!(
            (entry.reverses, entry.reference, entry.after.transaction_count),
            (Some(2), Some("sent twice"), 3)
        );
        let found = entry.transfer.map(|t| (t.transfer_id, t.counterparty, t.counterparty_version));
        assert_eq!(found, transfer.map(|_| (A, B, 9)));
    }
}

#[test]
fn every_movement_stays_within_what_an_amount_can_be() {
    let refused =
        |history: &[AccountEvent], event: &AccountEvent| given(history).when(event).unwrap_err();
    let lowest = [opened(0), withdrawn(MAX_AMOUNT), placed(1)];
    for event in
        [AccountEvent::MoneySent(leg(1)), captured(1, 0), reversed(ReversibleEntry::Deposit, None)]
    {
        assert_eq!(refused(&lowest, &event), Inapplicable::Overflow);
    }
    let most = [opened(MAX_AMOUNT)];
    for event in [AccountEvent::MoneyReceived(leg(1)), reversed(ReversibleEntry::Withdrawal, None)]
    {
        assert_eq!(refused(&most, &event), Inapplicable::Overflow);
    }
}
