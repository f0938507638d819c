//! Comparison of one partition of the views, in one snapshot, with the log up to the snapshot's
//! position.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::TryStreamExt;
use passbook_shared::difference::{Difference, DifferenceKind, Findings};
use passbook_shared::partition::{Partition, partition_of};
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::store_error::within;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::error::VerifyError;
use super::fold::{Fold, Step};
use super::progress::Progress;
use super::{VerifyDeps, compare};
use crate::checkpoint::Checkpoint;
use crate::store::checkpoints;
use crate::store::history::full_row::FullRow;
use crate::store::source::Source;
use crate::store::{accounts, discarded, generations, history, quarantine};

/// Number of events compared at once: the page size of the feed.
const PAGE: usize = 5_000;
/// Number of accounts whose surplus history is queried at once.
const SOME_ACCOUNTS: usize = 1_000;
/// Time limit of a query. A dead connection may report no error.
const QUERY_TIMEOUT: Duration = Duration::from_secs(120);

struct PartitionVerifier {
    log: Source,
    partition: Partition,
    snapshot: PgConnection,
    fold: Fold,
    progress: Progress,
    /// Number of quarantined events found that belong in the quarantine.
    quarantined: i64,
}

/// Compares a partition. `orphans` are its accounts that have a history but no row in `accounts`.
pub(super) async fn verify(
    deps: VerifyDeps,
    log: Source,
    partition: Partition,
    orphans: Vec<Uuid>,
    progress: Progress,
) -> Result<(), VerifyError> {
    let mut snapshot = in_time(generations::snapshot_live(&deps.options())).await?;
    // A partition without a checkpoint should have no rows.
    let none = Checkpoint {
        partition,
        position: 0,
        epoch: 0,
        kafka_offset: None,
        event_id: None,
        recorded_at: None,
    };
    let checkpoint = in_time(checkpoints::find(&mut snapshot, partition)).await?.unwrap_or(none);
    progress.looks_at(partition, checkpoint.position);
    let aside = in_time(quarantine::first_positions(&mut snapshot, partition)).await?;
    let fold =
        Fold::new(partition, aside, in_time(discarded::positions(&mut snapshot, partition)).await?);
    let mut verifier =
        PartitionVerifier { log, partition, snapshot, fold, progress, quarantined: 0 };

    let mut after = 0;
    while after < checkpoint.position {
        let page = deps.feed.as_is(partition, after, PAGE).await?;
        if page.source != log {
            return Err(VerifyError::LogChanged);
        }
        let Some(last) = page.events.last() else { break };
        after = last.position.number;
        let mut events = page.events;
        // The log may be ahead of the snapshot.
        events.retain(|event| event.position.number <= checkpoint.position);
        verifier.events(&events).await?;
    }
    let mut findings = Findings::default();
    compare::checkpoint(&checkpoint, verifier.fold.last, &mut findings);
    verifier.rest(orphans, findings).await
}

impl PartitionVerifier {
    /// Compares the history of the next events.
    async fn events(&mut self, events: &[RecordedEvent]) -> Result<(), VerifyError> {
        let mut findings = Findings::default();
        // The expected rows borrow from the decoded events.
        let decoded: Vec<_> = events.iter().map(RecordedEvent::decode).collect();
        let (mut rows, mut aside) = (Vec::new(), Vec::new());
        for (event, decoded) in events.iter().zip(&decoded) {
            match self.fold.take(event, decoded, &mut findings) {
                Step::Row(row) => rows.push(FullRow::from(&row)),
                Step::Aside => aside.push(event),
                Step::Discarded | Step::Lost => {}
            }
        }
        // Postgres finds the rows faster in the order of the table's key.
        rows.sort_unstable_by_key(|row| (row.account_id, row.version));
        let (accounts, versions): (Vec<_>, Vec<_>) =
            rows.iter().map(|row| (row.account_id, row.version)).unzip();
        let mut found = vec![false; rows.len()];
        let each =
            history::full_row::each_of(&mut self.snapshot, &accounts, &versions, |place, row| {
                found[place] = true;
                compare::entry(self.partition, &rows[place], Some(row), &mut findings);
            });
        in_time(each).await?;
        for (row, _) in rows.iter().zip(found).filter(|(_, found)| !found) {
            compare::entry(self.partition, row, None, &mut findings);
        }
        self.aside(&aside, &mut findings).await?;
        self.progress.folded(events.len(), findings);
        Ok(())
    }

    /// Compares the quarantine with the events that should be in it.
    async fn aside(
        &mut self,
        events: &[&RecordedEvent],
        findings: &mut Findings,
    ) -> Result<(), VerifyError> {
        if events.is_empty() {
            return Ok(());
        }
        let places = events.iter().map(|event| (event.account_id, event.position.number));
        let (accounts, positions): (Vec<_>, Vec<_>) = places.unzip();
        let documents =
            quarantine::documents(&mut self.snapshot, self.partition, &accounts, &positions);
        let documents = in_time(documents).await?;
        for event in events {
            let document = documents.get(&event.position.number);
            self.quarantined += i64::from(document.is_some());
            compare::quarantined(event, document, findings);
        }
        Ok(())
    }

    /// Compares the accounts with the fold, and finds surplus rows.
    async fn rest(mut self, orphans: Vec<Uuid>, mut findings: Findings) -> Result<(), VerifyError> {
        let (partition, folded) = (self.partition, &self.fold.accounts);
        let mut seen = HashSet::new();
        let each = accounts::full_row::each_of(&mut self.snapshot, partition, |found| {
            seen.insert(found.account_id);
            compare::account(partition, folded.get(&found.account_id), found, &mut findings);
        });
        in_time(each).await?;
        for (account_id, folded) in
            folded.iter().filter(|(account_id, _)| !seen.contains(*account_id))
        {
            compare::account_missing(partition, *account_id, folded, &mut findings);
        }
        // An account stored in the wrong partition has its history in the right one.
        seen.retain(|account_id| partition_of(*account_id, self.log.partitions) == partition);
        seen.extend(orphans);
        seen.extend(folded.keys());
        let ends: Vec<_> = seen
            .iter()
            .map(|id| (*id, folded.get(id).map_or(0, |folded| folded.history())))
            .collect();
        for some in ends.chunks(SOME_ACCOUNTS) {
            let (accounts, versions): (Vec<_>, Vec<_>) = some.iter().copied().unzip();
            let mut beyond = history::full_row::beyond(&mut self.snapshot, &accounts, &versions);
            while let Some((account_id, version, position)) = in_time(beyond.try_next()).await? {
                findings.add(|| compare::entry_too_many(partition, account_id, version, position));
            }
        }
        let (quarantined, events) =
            in_time(quarantine::counts(&mut self.snapshot, partition)).await?;
        // Missing events were reported one by one; surplus ones can only be counted.
        if events > self.quarantined {
            findings.add(|| Difference {
                expected: json!({ "events": self.quarantined }),
                found: json!({ "events": events }),
                ..Difference::new(DifferenceKind::QuarantineTooMany, partition, None, None)
            });
        }
        self.progress.done_with(folded.len(), quarantined, findings);
        Ok(())
    }
}

async fn in_time<T>(query: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    within(QUERY_TIMEOUT, query).await
}
