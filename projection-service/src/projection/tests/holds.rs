use super::*;

#[test]
fn a_hold_holds_money_and_its_end_releases_it() {
    let event = placed(400);
    let entry = given(&[opened(1_000)]).when(&event).unwrap();
    let hold = Hold { hold_id: A, amount: 400, expires_at: Some(at()) };
    assert_eq!((entry.amount, entry.hold, entry.reference), (None, Some(hold), Some("room 12")));
    assert_eq!(
        (entry.after.balance, entry.after.held, entry.after.transaction_count),
        (1_000, 400, 1)
    );

    let holding = given(&[opened(1_000), placed(400)]);
    let event = captured(150, 250);
    let entry = holding.when(&event).unwrap();
    assert_eq!(
        (entry.amount, entry.hold),
        (Some(-150), Some(hold)),
        "the whole hold, and what was taken of it"
    );
    assert_eq!((entry.after.balance, entry.after.held, entry.after.transaction_count), (850, 0, 2));

    let event = released(400);
    let entry = holding.when(&event).unwrap();
    assert_eq!((entry.amount, entry.reference), (None, Some("cancelled")));
    assert_eq!(entry.hold, Some(Hold { expires_at: None, ..hold }));
    assert_eq!(
        (entry.after.balance, entry.after.held, entry.after.transaction_count),
        (1_000, 0, 1)
    );

    let event = AccountEvent::HoldExpired(HoldExpired {
        hold_id: A,
        amount: Amount::new(400).unwrap(),
        expires_at: at(),
    });
    let entry = holding.when(&event).unwrap();
    assert_eq!((entry.amount, entry.hold, entry.after.held), (None, Some(hold), 0));
}

#[test]
fn holds_stay_within_what_an_amount_can_be() {
    let refused =
        |history: &[AccountEvent], event: &AccountEvent| given(history).when(event).unwrap_err();
    let below = refused(&[opened(0), placed(10)], &released(11));
    assert_eq!(below, Inapplicable::Held { would_be: -1 });
    assert_eq!(
        below.to_string(),
        "the held amount would be -1 minor units, not 0 to 9007199254740991"
    );
    assert_eq!(
        refused(&[opened(0), placed(10)], &captured(6, 5)),
        Inapplicable::Held { would_be: -1 }
    );
    let expired = AccountEvent::HoldExpired(HoldExpired {
        hold_id: A,
        amount: Amount::new(1).unwrap(),
        expires_at: at(),
    });
    assert_eq!(refused(&[opened(0)], &expired), Inapplicable::Held { would_be: -1 });
    let beyond = Inapplicable::Held { would_be: MAX_AMOUNT + 1 };
    assert_eq!(refused(&[opened(0), placed(MAX_AMOUNT)], &placed(1)), beyond);
    let most = captured(MAX_AMOUNT, MAX_AMOUNT);
    assert_eq!(
        refused(&[opened(0), placed(1)], &most),
        Inapplicable::Held { would_be: 1 - 2 * MAX_AMOUNT }
    );
}
