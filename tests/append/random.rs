//! Thousands of random requests through two instances on one log, compared with a reference that
//! forgets nothing. A failed round is shrunk to a short one that fails, and shown.

/// Values chosen by random numbers.
mod choice;
/// Outcomes as far as the requests determine them.
mod observed;
/// The reference.
mod reference;
/// Requests of a round.
mod round;
/// Steps of a round.
mod steps;
/// Descriptions of a round.
mod story;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use command_service::outcome::{AccountChange, CommandResult, Outcome};
use futures_util::future::join_all;
use passbook_shared::event::AccountEvent;
use passbook_shared::position::Position;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use serde_json::value::RawValue;
use sqlx::Row;
use tokio::runtime::Runtime;
use uuid::Uuid;

use self::observed::{Happened, Observed};
use self::reference::Reference;
use self::round::Round;
use self::steps::{Step, Way, steps};
use self::story::{gist, readable, touched, written};
use crate::instance::Instance;
use crate::log::Log;

const ROUNDS: u32 = 100;

/// Maximum number of rounds that are played to find the shortest one that fails.
const SHRINKS: u32 = 500;

#[test]
fn random_requests_are_answered_as_by_the_reference() {
    let runtime = Runtime::new().unwrap();
    let stage = runtime.block_on(Stage::start());
    let config = Config {
        cases: ROUNDS,
        max_shrink_iters: SHRINKS,
        failure_persistence: None,
        ..Config::default()
    };
    // The same rounds each time.
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let played = TestRunner::new_with_rng(config, random)
        .run(&steps(), |steps| runtime.block_on(stage.play(&steps)).map_err(TestCaseError::fail));
    if let Err(TestError::Fail(story, _)) = played {
        panic!("{story}");
    }
    played.unwrap();
    runtime.block_on(stage.end());
}

/// Log and instances on which rounds are played.
struct Stage {
    log: Log,
    instances: [Instance; 2],
    played: AtomicU64,
}

impl Stage {
    async fn start() -> Self {
        let log = Log::start().await;
        Self { instances: [log.instance(), log.instance()], log, played: AtomicU64::new(0) }
    }

    /// Plays a round, and compares every answer and the log with the reference. Fails with the
    /// requests and answers in readable form.
    async fn play(&self, steps: &[Step]) -> Result<(), String> {
        // The log has the accounts and transfers of earlier rounds.
        let mut round = Round::new(self.played.fetch_add(1, Ordering::Relaxed));
        let (mut reference, mut story, mut accounts) =
            (Reference::default(), String::new(), Vec::new());
        let mut places = BTreeMap::new();
        for step in steps {
            let requests = round.requests(step.way, &step.wishes, &reference);
            let (requests, all_or_none) = (&requests, step.way.all_or_none());
            accounts.extend(requests.iter().flat_map(touched));
            let expected = reference.answer(requests, all_or_none);
            let expected: Vec<Observed> = expected.into_iter().map(Observed::timeless).collect();
            let lanes = &self.instances[step.instance].lanes;
            let results = match step.way {
                Way::Alone | Way::DryRun => vec![lanes.submit(requests[0].clone()).await],
                Way::AllOrNone | Way::DryRuns | Way::DryRunsAllOrNone => {
                    lanes.submit_together(requests.clone(), all_or_none).await
                }
            };
            places.extend(
                results
                    .iter()
                    .zip(requests)
                    .filter(|(_, request)| !request.dry_run)
                    .flat_map(|(result, _)| legs(result)),
            );
            let observed: Vec<Observed> = results.iter().map(Observed::by_service).collect();
            let _ = writeln!(story, "{:?} of instance {}:", step.way, step.instance);
            for ((request, expected), observed) in requests.iter().zip(&expected).zip(&observed) {
                let _ = writeln!(story, "  {}", written(request));
                let _ = if expected == observed {
                    writeln!(story, "    {}", gist(observed))
                } else {
                    writeln!(story, "    SHOULD BE {expected:?}\n    BUT WAS   {observed:?}")
                };
            }
            if expected != observed {
                return Err(readable(story, &accounts));
            }
        }
        let agrees = self.agrees(&accounts, &reference, &places).await;
        agrees.map_err(|reason| readable(format!("{story}{reason}"), &accounts))
    }

    /// Compares the log's events and keys with the reference, and their positions with the answers.
    async fn agrees(
        &self,
        accounts: &[Uuid],
        reference: &Reference,
        places: &BTreeMap<(Uuid, i64), Position>,
    ) -> Result<(), String> {
        let rows = sqlx::query(
            "SELECT account_id, version, partition, position, type, schema_version, data::text,
                    command_id
               FROM passbook.events WHERE account_id = ANY ($1) ORDER BY account_id, version",
        )
        .bind(accounts)
        .fetch_all(&self.log.pool)
        .await
        .unwrap();
        let mut events: BTreeMap<Uuid, Vec<Happened>> = BTreeMap::new();
        for row in rows {
            let (account_id, version): (Uuid, i64) = (row.get(0), row.get(1));
            let data = RawValue::from_string(row.get(6)).unwrap();
            let event = AccountEvent::decode(row.get(4), row.get(5), &data).unwrap();
            let happened = Happened { version, event, command_id: row.get(7) }.timeless();
            events.entry(account_id).or_default().push(happened);
            let place = Position { partition: row.get(2), number: row.get(3) };
            if places.get(&(account_id, version)).is_some_and(|answered| *answered != place) {
                return Err("an event is not at the answered position".to_owned());
            }
        }
        let happened = reference.events.iter().filter(|events| !events.1.is_empty());
        let happened = happened
            .map(|(id, events)| (*id, events.iter().cloned().map(Happened::timeless).collect()));
        if !happened.eq(events) {
            return Err("the log has other events".to_owned());
        }
        let sql = "SELECT account_id, idempotency_key, fingerprint FROM passbook.commands
                    WHERE account_id = ANY ($1)";
        let keys: Vec<(Uuid, String, i64)> =
            sqlx::query_as(sql).bind(accounts).fetch_all(&self.log.pool).await.unwrap();
        let (keys, expected) = (keys.into_iter().collect::<BTreeSet<_>>(), reference.keys());
        if keys != expected {
            let (missing, extra) =
                (expected.difference(&keys).count(), keys.difference(&expected).count());
            return Err(format!(
                "other keys are kept: missing {}, extra {}",
                missing > 0,
                extra > 0
            ));
        }
        Ok(())
    }

    async fn end(self) {
        self.log.assert_dense().await;
        join_all(self.instances.map(Instance::end)).await;
        self.log.end().await;
    }
}

/// Returns the answered positions of events.
fn legs(result: &CommandResult) -> Vec<((Uuid, i64), Position)> {
    let place = |leg: &AccountChange| ((leg.account_id, leg.version), leg.position);
    match result {
        Ok(Outcome::Accepted { own, to, .. }) => {
            std::iter::once(own).chain(to).map(place).collect()
        }
        Ok(Outcome::Refused { .. }) | Err(_) => Vec::new(),
    }
}
