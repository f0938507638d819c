//! Thousands of random requests through two instances on one log, compared with a reference that
//! forgets nothing. A failed round is shrunk to the shortest one that fails alike, and shown.

/// Values chosen by random numbers.
mod choice;
/// Pseudo-random numbers.
mod dice;
/// Outcomes as far as the requests determine them.
mod observed;
/// The reference.
mod reference;
/// Requests of a round.
mod round;
/// Simpler variants of a failed round.
mod shrinking;
/// Steps of a round.
mod steps;
/// Descriptions of a round.
mod story;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use command_service::outcome::{AccountChange, CommandResult, Outcome};
use futures_util::future::join_all;
use passbook_shared::event::AccountEvent;
use passbook_shared::position::Position;
use serde_json::value::RawValue;
use sqlx::Row;
use uuid::Uuid;

use self::observed::{Happened, Observed};
use self::reference::Reference;
use self::shrinking::{with_simpler_steps, without_steps};
use self::steps::{Step, Way, renamed, steps};
use self::story::{gist, readable, touched, written};
use crate::instance::Instance;
use crate::log::Log;

const FIRST_SEED: u64 = 1;

const ROUNDS: u64 = 100;

/// Number of kinds of failures that are shrunk and shown.
const SHOWN: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn random_requests_are_answered_as_by_the_reference() {
    let log = Log::start().await;
    let mut stage = Stage { instances: [log.instance(), log.instance()], log, played: 0 };
    let mut failures: BTreeMap<String, Failure> = BTreeMap::new();
    for seed in FIRST_SEED..FIRST_SEED + ROUNDS {
        let steps = steps(seed);
        if let Err(failure) = stage.play(&steps).await
            && failures.len() < SHOWN
            && !failures.contains_key(&failure.gist)
        {
            let shortest = stage.shorten(steps, failure).await;
            failures.insert(shortest.gist.clone(), shortest);
        }
    }
    let stories: Vec<String> =
        failures.iter().map(|(gist, failure)| format!("{gist}\n{}", failure.story)).collect();
    assert!(stories.is_empty(), "{}", stories.join("\n"));
    stage.log.assert_dense().await;
    join_all(stage.instances.map(Instance::end)).await;
    stage.log.end().await;
}

/// Log and instances on which rounds are played.
struct Stage {
    log: Log,
    instances: [Instance; 2],
    played: u64,
}

/// Difference between the service and the reference in a round.
struct Failure {
    /// Index of the step, or the number of steps if the log differs at the end.
    step: usize,
    /// Kind of the failure, without ids and numbers.
    gist: String,
    /// Requests and answers in readable form.
    story: String,
}

impl Stage {
    /// Plays a round, and compares every answer and the log with the reference.
    async fn play(&mut self, steps: &[Step]) -> Result<(), Failure> {
        self.played += 1;
        let (mut reference, mut story, mut accounts) =
            (Reference::default(), String::new(), Vec::new());
        let mut places = BTreeMap::new();
        for (n, step) in steps.iter().enumerate() {
            let step = renamed(step, self.played);
            let (requests, all_or_none) = (&step.requests, step.way.all_or_none());
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
            let mut wrong = None;
            for ((request, expected), observed) in requests.iter().zip(&expected).zip(&observed) {
                let _ = writeln!(story, "  {}", written(request));
                let _ = if expected == observed {
                    writeln!(story, "    {}", gist(observed))
                } else {
                    wrong.get_or_insert_with(|| {
                        format!("{:?}: {} instead of {}", step.way, gist(observed), gist(expected))
                    });
                    writeln!(story, "    SHOULD BE {expected:?}\n    BUT WAS   {observed:?}")
                };
            }
            if let Some(gist) = wrong {
                return Err(Failure { step: n, gist, story: readable(story, &accounts) });
            }
        }
        let agrees = self.agrees(&accounts, &reference, &places).await;
        agrees.map_err(|gist| Failure {
            step: steps.len(),
            story: readable(format!("{story}{gist}"), &accounts),
            gist,
        })
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

    /// Shrinks a round as long as it fails alike.
    async fn shorten(&mut self, mut steps: Vec<Step>, mut failure: Failure) -> Failure {
        steps.truncate(failure.step + 1);
        for changes in [without_steps, with_simpler_steps, without_steps] {
            let mut left = changes(&steps);
            // From the end, so that a removal does not move the steps that are tried next.
            while let Some(change) = left.pop() {
                let mut shorter = steps.clone();
                change(&mut shorter);
                if let Err(other) = self.play(&shorter).await
                    && other.gist == failure.gist
                {
                    (steps, failure) = (shorter, other);
                }
            }
        }
        failure
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
