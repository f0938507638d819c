use serde_json::json;

use super::*;
use crate::fault::tests::logged;

/// Pretends that all checks have had their state for a time.
fn age(health: &Health, by: Duration) {
    for part in health.parts.lock().values_mut() {
        part.starting = part.starting.and_then(|since| since.checked_sub(by));
        part.reasons = Occurrences::begin(Instant::now().checked_sub(by).unwrap());
    }
}

#[test]
fn a_service_is_ready_once_it_has_checks_and_none_is_failing() {
    let health = Health::new("command");
    assert!(!health.is_ready(), "nothing is known yet");
    health.ok("store");
    assert!(health.is_ready());
    health.degraded("relay", "Kafka is away");
    assert!(health.is_ready(), "a degraded part does not affect requests");
    health.failing("lanes", "Postgres is away");
    assert!(!health.is_ready());
    health.failing("store", "Postgres is away");
    health.ok("lanes");
    assert!(!health.is_ready(), "one of two recovered");
    health.ok("store");
    assert!(health.is_ready());
}

#[test]
fn a_service_that_stops_is_not_ready_and_has_no_fault() {
    let draining = CancellationToken::new();
    let health = Health::new("command").until(draining.clone());
    let logged = logged(|| {
        health.ok("store");
        assert!(health.is_ready());
        assert_eq!(health.checks().len(), 1);
        draining.cancel();
        assert!(!health.is_ready());
        let check = &health.checks()[SHUTDOWN];
        assert_eq!((check.state, check.reason.as_deref()), (CheckState::Failing, Some(STOPPING)));
    });
    assert!(!logged.iter().any(|line| line.contains("failing")), "{logged:?}");
}

#[test]
fn checks_are_returned_by_name_with_their_reasons() {
    let health = Health::new("command");
    health.failing("b", "first");
    health.failing("b", "second");
    health.degraded("a", "slow");
    health.degraded("c", "slow");
    health.ok("c");
    let checks = serde_json::to_value(health.clone().checks()).unwrap();
    assert_eq!(
        checks,
        json!({
            "a": {"state": "degraded", "reason": "slow"},
            "b": {"state": "failing", "reason": "second"},
            "c": {"state": "ok"},
        })
    );
}

#[test]
fn clones_share_their_checks_and_services_do_not() {
    let health = Health::new("command");
    let clone = health.clone();
    clone.failing("store", "away");
    assert!(!health.is_ready() && health.checks() == clone.checks());
    let other = Health::new("projection");
    other.ok("store");
    assert!(other.is_ready() && !health.is_ready());
}

#[test]
fn a_check_that_was_never_ok_is_starting_and_later_a_fault() {
    let health = Health::new("command");
    assert_eq!(
        logged(|| health.failing("store", "connecting")),
        ["INFO starting check=\"store\" reason=\"connecting\""]
    );
    age(&health, START);
    assert_eq!(
        logged(|| health.failing("store", "connecting")),
        ["ERROR failing check=\"store\" reason=\"connecting\""],
        "the time to start is over"
    );
    assert_eq!(logged(|| health.failing("store", "connecting")), [""; 0]);
    assert_eq!(logged(|| health.ok("store")), ["INFO ok check=\"store\""]);
    assert_eq!(logged(|| health.ok("store")), [""; 0]);
    assert_eq!(
        logged(|| health.failing("store", "connecting")),
        ["ERROR failing check=\"store\" reason=\"connecting\""],
        "it was ok before"
    );
    assert_eq!(
        logged(|| health.degraded("store", "slow")),
        ["WARN degraded check=\"store\" reason=\"slow\""]
    );
}

#[test]
fn a_changing_reason_is_logged_at_growing_intervals() {
    let health = Health::new("command");
    health.ok("relay");
    let behind = |events: u32| health.degraded("relay", format!("{events} events behind"));
    assert_eq!(logged(|| behind(1)).len(), 1);
    assert_eq!(logged(|| (2..100).for_each(behind)), [""; 0]);
    assert_eq!(health.checks()["relay"].reason.as_deref(), Some("99 events behind"));
    age(&health, Duration::from_secs(10));
    assert_eq!(
        logged(|| behind(100)),
        ["WARN degraded check=\"relay\" reason=\"100 events behind\""]
    );
    assert_eq!(logged(|| behind(101)), [""; 0]);
}

#[test]
fn a_gauge_has_a_number_for_each_state() {
    let gauges = [CheckState::Ok, CheckState::Degraded, CheckState::Failing].map(CheckState::gauge);
    assert_eq!(gauges, [0.0, 1.0, 2.0]);
}
