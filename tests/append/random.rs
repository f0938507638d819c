//! Thousands of random requests through two instances on one log, one after the other, against a service that does the
//! same in memory and forgets nothing. A round that goes wrong is made as short as it can be, and shown.

mod reference;
mod steps;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use command_service::domain::{Command, Refusal};
use command_service::outcome::{AccountChange, CommandResult, Outcome};
use command_service::request::CommandRequest;
use futures_util::future::join_all;
use passbook_shared::event::AccountEvent;
use passbook_shared::position::Position;
use serde_json::value::RawValue;
use sqlx::Row;
use uuid::Uuid;

use self::reference::Reference;
use self::steps::{Step, Way, renamed, steps};
use self::told::{Happened, Told};
use crate::ground::{Instance, Log};

const FIRST_SEED: u64 = 1;
const ROUNDS: u64 = 100;
/// How many ways of going wrong are made short and shown, each once.
const SHOWN: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_is_answered_as_by_a_service_that_forgets_nothing() {
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

/// Where rounds are played.
struct Stage {
    log: Log,
    instances: [Instance; 2],
    played: u64,
}

/// A round in which the service was not as it should be.
struct Failure {
    /// At which step it was seen, or after the last one.
    step: usize,
    /// What is wrong, without ids and numbers.
    gist: String,
    /// What was asked and answered, for people.
    story: String,
}

impl Stage {
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
            let expected: Vec<Told> = expected.into_iter().map(Told::timeless).collect();
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
                    .filter(|asked| !asked.1.dry_run)
                    .flat_map(|r| legs(r.0)),
            );
            let told: Vec<Told> = results.iter().map(Told::by_service).collect();
            let _ = writeln!(story, "{:?} of instance {}:", step.way, step.instance);
            let mut wrong = None;
            for ((request, expected), told) in requests.iter().zip(&expected).zip(&told) {
                let _ = writeln!(story, "  {}", written(request));
                let _ = if expected == told {
                    writeln!(story, "    {}", gist(told))
                } else {
                    wrong.get_or_insert_with(|| {
                        format!("{:?}: {} instead of {}", step.way, gist(told), gist(expected))
                    });
                    writeln!(story, "    SHOULD BE {expected:?}\n    BUT WAS   {told:?}")
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

    /// Whether the log has the events and keys that it should, and whether the events are where answers said.
    async fn agrees(
        &self,
        accounts: &[Uuid],
        reference: &Reference,
        places: &BTreeMap<(Uuid, i64), Position>,
    ) -> Result<(), String> {
        let rows = sqlx::query(
            "SELECT account_id, version, partition, position, type, schema_version, data::text, command_id
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
            if places.get(&(account_id, version)).is_some_and(|said| *said != place) {
                return Err("an event is not where an answer said".to_owned());
            }
        }
        let happened = reference.events.iter().filter(|events| !events.1.is_empty());
        let happened = happened
            .map(|(id, events)| (*id, events.iter().cloned().map(Happened::timeless).collect()));
        if !happened.eq(events) {
            return Err("the log has other events".to_owned());
        }
        let sql = "SELECT account_id, idempotency_key, fingerprint FROM passbook.commands WHERE account_id = ANY ($1)";
        let keys: Vec<(Uuid, String, i64)> =
            sqlx::query_as(sql).bind(accounts).fetch_all(&self.log.pool).await.unwrap();
        let (keys, expected) = (keys.into_iter().collect::<BTreeSet<_>>(), reference.keys());
        if keys != expected {
            let (lost, made_up) =
                (expected.difference(&keys).count(), keys.difference(&expected).count());
            return Err(format!(
                "keys are kept otherwise: lost {}, made up {}",
                lost > 0,
                made_up > 0
            ));
        }
        Ok(())
    }

    /// Leaves out what can be left out so that the same goes wrong.
    async fn shorten(&mut self, mut steps: Vec<Step>, mut failure: Failure) -> Failure {
        steps.truncate(failure.step + 1);
        for changes in [without_steps, with_simpler_steps, without_steps] {
            let mut left = changes(&steps);
            // From the end on, so that what is left out does not move what comes to be tried.
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

type Change = Box<dyn Fn(&mut Vec<Step>) + Send>;

fn without_steps(steps: &[Step]) -> Vec<Change> {
    let without = |n: usize| -> Change { Box::new(move |steps| drop(steps.remove(n))) };
    (0..steps.len()).map(without).collect()
}

/// Each with one request less, or one thing less about a request.
fn with_simpler_steps(steps: &[Step]) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for (n, step) in steps.iter().enumerate() {
        changes.push(Box::new(move |steps| steps[n].instance = 0));
        for m in 0..step.requests.len() {
            // By then it may have been left out.
            let about = |change: fn(&mut CommandRequest)| -> Change {
                Box::new(move |steps| steps[n].requests.get_mut(m).map_or((), change))
            };
            changes.push(about(|request| request.context.idempotency_key = None));
            changes.push(about(|request| request.expected_versions = None));
        }
        for m in 0..step.requests.len() {
            changes.push(Box::new(move |steps| {
                if steps[n].requests.len() > 1 {
                    steps[n].requests.remove(m);
                }
            }));
        }
    }
    changes
}

/// Its account, and who is to receive.
fn touched(request: &CommandRequest) -> impl Iterator<Item = Uuid> {
    let to =
        if let Command::Transfer(transfer) = &request.command { Some(transfer.to) } else { None };
    std::iter::once(request.account_id).chain(to)
}

/// Accounts by the order in which they were asked.
fn readable(story: String, accounts: &[Uuid]) -> String {
    let mut seen = BTreeSet::new();
    let named = accounts.iter().filter(|account| seen.insert(**account)).enumerate();
    named.fold(story, |story, (n, account)| story.replace(&account.to_string(), &format!("a{n}")))
}

/// What was said of where events are.
fn legs(result: &CommandResult) -> Vec<((Uuid, i64), Position)> {
    let place = |leg: &AccountChange| ((leg.account_id, leg.version), leg.position);
    match result.as_ref().map(|answer| &answer.outcome) {
        Ok(Outcome::Accepted(accepted)) => {
            std::iter::once(&accepted.own).chain(&accepted.to).map(place).collect()
        }
        Ok(Outcome::Refused(_)) | Err(_) => Vec::new(),
    }
}

/// What is told, in a few words: which refusal it is matters little, but for those that the log alone knows of.
fn gist(told: &Told) -> String {
    let again = |replayed: bool| if replayed { " again" } else { "" };
    match told {
        Told::Done { replayed, .. } => format!("done{}", again(*replayed)),
        Told::Refused { replayed, refusal: Refusal::TransferExists } => {
            format!("TransferExists{}", again(*replayed))
        }
        Told::Refused { replayed, refusal: Refusal::HoldExists } => {
            format!("HoldExists{}", again(*replayed))
        }
        Told::Refused { replayed, .. } => format!("refused{}", again(*replayed)),
        Told::Error(error) => format!("{error:?}"),
    }
}

fn written(request: &CommandRequest) -> String {
    let CommandRequest { account_id, command, expected_versions, context, .. } = request;
    let key = context.idempotency_key.as_deref().unwrap_or("none");
    format!("{account_id} key {key} expects {expected_versions:?}: {command:?}")
}
