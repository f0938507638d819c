use passbook_shared::cloud_event;
use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::store_description::Fork;
use serde_json::json;

use super::*;
use crate::domain::tests::specification::at;
use crate::http::examples;
use crate::http::restore::{GivenUp, RestorePreview};
use crate::restore::desk::tests::survey;
use crate::restore::survey::{Survey, SurveyError, SurveyedFork};

fn request(body: Value) -> Result<AcceptRequest, serde_json::Error> {
    serde_json::from_value(body)
}

#[test]
fn a_request_names_the_forks_that_were_shown() {
    let fork = json!({"partition": 3, "log_position": 10, "topic_position": 12});
    let parsed = request(json!({"forks": [fork]})).unwrap();
    assert_eq!((parsed.forks.len(), parsed.force, parsed.above_epoch), (1, false, None));
    let parsed = request(json!({"forks": [], "force": true, "above_epoch": 7})).unwrap();
    assert_eq!((parsed.forks.len(), parsed.force, parsed.above_epoch), (0, true, Some(7)));
    for wrong in [
        json!({}),
        json!({"forks": [{"partition": 3}]}),
        json!({"forks": [], "forced": true}),
        json!({"forks": [{"partition": 3, "log_position": 1, "topic_position": 2, "kept": 0}]}),
    ] {
        assert!(request(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn each_reason_for_no_acceptance_is_a_problem_of_its_own() {
    let changed = AcceptError::Changed(preview());
    let topic = AcceptError::Survey(SurveyError::Topic("Kafka is away".to_owned()));
    let store = AcceptError::Survey(SurveyError::Store(sqlx::Error::PoolTimedOut));
    for (error, status, code, retry_after) in [
        (changed, 409, "restore_changed", None),
        (AcceptError::NothingToAccept, 409, "nothing_to_accept", None),
        (AcceptError::NoEpochLeft, 409, "no_epoch_left", None),
        (AcceptError::EpochTooFar { latest: 4 }, 400, "malformed_request", None),
        (topic, 503, "topic_unavailable", Some(5)),
        (store, 503, "overloaded", Some(1)),
    ] {
        let problem = not_accepted(&error);
        let found = (problem.status, problem.code.as_str(), problem.retry_after);
        assert_eq!(found, (status, code, retry_after), "{error}");
    }
    let too_far = not_accepted(&AcceptError::EpochTooFar { latest: 4 });
    assert!(too_far.detail.contains("must be at most 1004"), "{}", too_far.detail);
    let changed = not_accepted(&AcceptError::Changed(preview()));
    let forks = json!([{"partition": 3, "log_position": 10, "topic_position": 12}]);
    assert_eq!(changed.facts["forks"], forks);
}

fn preview() -> Survey {
    let reason = "the topic is ahead".to_owned();
    let fork = Fork { partition: Partition::new(3), log_position: 10, topic_position: 12, reason };
    let (_, record) = examples::records().nth(1).unwrap();
    let mut event = recorded(&record);
    event.recorded_at = at(0);
    survey(2, vec![SurveyedFork { fork, kept: 9, events: vec![event], has_more: true }])
}

fn recorded(record: &Value) -> RecordedEvent {
    cloud_event::decode(record.to_string().as_bytes()).unwrap().event
}

#[test]
fn a_preview_shows_what_is_given_up() {
    let shown = serde_json::to_value(RestorePreview::from(preview())).unwrap();
    assert_eq!(shown["epoch"], 2);
    let fork = &shown["forks"][0];
    for (field, value) in [
        ("partition", json!(3)),
        ("log_position", json!(10)),
        ("topic_position", json!(12)),
        ("kept", json!(9)),
        ("reason", json!("the topic is ahead")),
        ("has_more", json!(true)),
    ] {
        assert_eq!(fork[field], value, "{field}");
    }
    assert_eq!(fork["events"][0]["amount"], 25_000);
    assert_eq!(fork["events"][0]["type"], "MoneyDeposited");
    assert_eq!(fork["events"][0]["recorded_at"], at(0).to_string());
}

#[test]
fn an_event_is_shown_with_the_money_that_it_moves() {
    for (_, record) in examples::records() {
        let amount = record["data"].get("amount").or(record["data"].get("initial_deposit"));
        let shown = serde_json::to_value(GivenUp::from(&recorded(&record))).unwrap();
        assert_eq!(shown.get("amount"), amount, "{record}");
        assert_eq!(shown["type"], record["type"]);
    }
}
