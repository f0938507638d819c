use std::sync::Arc;

use axum::body::to_bytes;
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::RecordedEvent;
use serde_json::{Value, json};

use super::*;
use crate::domain::tests::specification::*;
use crate::domain::{Account, Refusal, evolve};
use crate::log::append::NewEvent;
use crate::outcome::AccountChange;
use crate::request::tests::request;

/// Returns the change of an account by the last events of its history.
fn change(
    account_id: Uuid,
    history: &[passbook_shared::event::AccountEvent],
    last: usize,
) -> AccountChange {
    let request = request(account_id, deposit(1));
    let recorded = |(version, event)| -> Arc<RecordedEvent> {
        let id = Uuid::from_u128(u128::from(i64::unsigned_abs(version)));
        let new =
            NewEvent::new(event, id, (Partition::new(3), account_id), version, &request).unwrap();
        Arc::new(new.recorded(100 + version, at(version)))
    };
    let events: Vec<_> = (1..).zip(history).map(recorded).collect();
    let version = i64::try_from(history.len()).unwrap();
    AccountChange {
        account_id,
        version,
        position: Position { partition: Partition::new(3), number: 100 + version },
        account: history.iter().fold(Account::default(), evolve).summary().unwrap(),
        events: events[events.len() - last..].to_vec(),
    }
}

fn accepted(own: AccountChange, to: Option<AccountChange>) -> Outcome {
    Outcome::Accepted { replayed: false, own, to }
}

/// Returns status, headers and body of an answer.
async fn answered(outcome: &Outcome, form: Form) -> (u16, axum::http::HeaderMap, Value) {
    let response = respond(ACCOUNT, outcome, form);
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    (parts.status.as_u16(), parts.headers, serde_json::from_slice(&body).unwrap())
}

#[test]
fn the_form_of_an_answer_follows_from_its_command() {
    let form = |command, dry_run| {
        let Form { status, shape } = Form::of(&command, dry_run);
        (status.as_u16(), format!("{shape:?}"))
    };
    for (command, status, shape) in [
        (Command::Open(opening(1, 0)), 201, "Account"),
        (deposit(1), 201, "Account"),
        (withdraw(1), 201, "Account"),
        (send(1), 201, "Transfer"),
        (hold(1), 201, "Hold"),
        (capture(HOLD, None), 201, "Hold"),
        (release(HOLD), 201, "Hold"),
        (expire(HOLD), 201, "Hold"),
        (reverse(1), 201, "Account"),
        (set_limit(1), 200, "Account"),
        (Command::Freeze(freeze(true)), 200, "Account"),
        (unfreeze(), 200, "Account"),
        (close(), 200, "Account"),
    ] {
        assert_eq!(form(command.clone(), false), (status, shape.to_owned()), "{command:?}");
        assert_eq!(form(command.clone(), true), (200, shape.to_owned()), "{command:?}");
    }
}

#[tokio::test]
async fn an_answer_has_the_account_its_events_and_its_version_as_tag() {
    let history = [opened_with(100), deposited(20), withdrawn(5)];
    let outcome = accepted(change(ACCOUNT, &history, 2), None);
    let (status, headers, body) = answered(&outcome, Form::of(&deposit(1), false)).await;
    assert_eq!((status, &headers["etag"]), (201, &HeaderValue::from_static("\"3\"")));
    assert_eq!(headers["content-type"], "application/json");
    assert!(headers.get("idempotency-replayed").is_none());
    assert_eq!(body["account_id"], ACCOUNT.to_string());
    assert_eq!((&body["version"], &body["position"]), (&json!(3), &json!("3-103")));
    assert_eq!(
        (&body["account"]["balance"], &body["account"]["currency"]),
        (&json!(115), &json!("EUR"))
    );
    let event = |n: usize, event_type: &str, amount: i64| {
        let version = n + 2;
        json!({
            "event_id": Uuid::from_u128(version as u128),
            "type": event_type,
            "version": version,
            "position": format!("3-{}", 100 + version),
            "recorded_at": at(i64::try_from(version).unwrap()).to_string(),
            "data": {"amount": amount, "reference": "INV-1"},
        })
    };
    assert_eq!(body["events"][0], event(0, "MoneyDeposited", 20));
    assert_eq!(body["events"][1], event(1, "MoneyWithdrawn", 5));
    assert_eq!(body["events"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_replay_differs_in_its_header_only() {
    let own = || change(ACCOUNT, &[opened_with(100)], 1);
    let form = Form::of(&deposit(1), false);
    let (status, _, first) = answered(&accepted(own(), None), form).await;
    let replay = Outcome::Accepted { replayed: true, own: own(), to: None };
    let (again, headers, body) = answered(&replay, form).await;
    assert_eq!((again, body), (status, first));
    assert_eq!(headers["idempotency-replayed"], "true");
    let refused = |replayed| Outcome::Refused { replayed, refusal: Refusal::AccountClosed };
    let (status, headers, first) = answered(&refused(false), form).await;
    assert_eq!(
        (status, headers["content-type"].as_bytes()),
        (422, &b"application/problem+json"[..])
    );
    assert!(headers.get("etag").is_none() && headers.get("idempotency-replayed").is_none());
    let (again, headers, body) = answered(&refused(true), form).await;
    assert_eq!(
        (again, body, &headers["idempotency-replayed"]),
        (status, first, &HeaderValue::from_static("true"))
    );
}

#[tokio::test]
async fn a_transfer_shows_both_accounts_and_the_tag_of_the_sender() {
    let own = change(ACCOUNT, &[opened_with(100), deposited(1), sent(30, 2)], 1);
    let to = change(OTHER, &[opened_with(0), received(30, 3)], 1);
    let form = Form::of(&send(30), false);
    let (status, headers, body) = answered(&accepted(own.clone(), Some(to)), form).await;
    assert_eq!((status, &headers["etag"]), (201, &HeaderValue::from_static("\"3\"")));
    assert_eq!(body["transfer_id"], TRANSFER.to_string());
    assert_eq!(
        (&body["from"]["account"]["balance"], &body["to"]["account"]["balance"]),
        (&json!(71), &json!(30))
    );
    assert_eq!(
        (&body["from"]["account_id"], &body["to"]["account_id"]),
        (&json!(ACCOUNT), &json!(OTHER))
    );
    // Events that do not fit are a defect, not an answer.
    let without_leg = accepted(change(ACCOUNT, &[opened_with(100)], 1), None);
    for defect in [accepted(own, None), without_leg] {
        let (status, _, body) = answered(&defect, form).await;
        assert_eq!((status, &body["code"]), (500, &json!("internal_error")));
    }
}

#[tokio::test]
async fn a_hold_is_shown_as_its_last_event_left_it() {
    let form = Form::of(&hold(1), false);
    let shown = |amount: i64, captured: i64, status: &str, expires_at: Option<i64>| {
        let mut hold =
            json!({"hold_id": HOLD, "amount": amount, "captured": captured, "status": status});
        if let Some(seconds) = expires_at {
            hold["expires_at"] = json!(at(seconds).to_string());
        }
        hold
    };
    for (end, expected) in [
        (vec![held(50)], shown(50, 0, "open", None)),
        (vec![held_until(50, Some(9))], shown(50, 0, "open", Some(9))),
        (vec![held(50), captured(30, 20)], shown(50, 30, "captured", None)),
        (vec![held(50), released(50)], shown(50, 0, "released", None)),
        (vec![held(50), expired(50, 9)], shown(50, 0, "expired", Some(9))),
    ] {
        let history: Vec<_> = std::iter::once(opened_with(100)).chain(end).collect();
        let (status, _, body) = answered(&accepted(change(ACCOUNT, &history, 1), None), form).await;
        assert_eq!((status, &body["hold"]), (201, &expected));
        assert_eq!(body["version"], history.len());
    }
    // Without an event, or with another one, there is no hold to show.
    for events in [0, 1] {
        let outcome = accepted(change(ACCOUNT, &[opened_with(100)], events), None);
        assert_eq!(answered(&outcome, form).await.0, 500);
    }
}
