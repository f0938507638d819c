//! Tables that the append derives from events: `holds`, `reversals`, `transfers`.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use passbook_shared::difference::{Difference, DifferenceKind, Findings};
use passbook_shared::event::{AccountEvent, HoldStatus};
use passbook_shared::partition::{Partition, PartitionCount, partition_of};
use passbook_shared::timestamp::Timestamp;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::fold::{Fold, KeptHold};
use super::rows;

/// Comparison of the derived tables of one partition with the accounts' folds.
pub(super) struct DerivedTables<'a> {
    pub(super) connection: &'a mut PgConnection,
    pub(super) partition: Partition,
    pub(super) findings: &'a mut Findings,
}

impl DerivedTables<'_> {
    /// Compares the rows of the accounts from `from` to `to`, both inclusive.
    pub(super) async fn compare(
        &mut self,
        folds: &mut HashMap<Uuid, Fold>,
        from: Uuid,
        to: Uuid,
    ) -> Result<(), sqlx::Error> {
        self.holds(folds, from, to).await?;
        self.reversals(folds, from, to).await?;
        self.sent(folds).await
    }

    async fn holds(
        &mut self,
        folds: &mut HashMap<Uuid, Fold>,
        from: Uuid,
        to: Uuid,
    ) -> Result<(), sqlx::Error> {
        let mut rows = sqlx::query_as::<_, (Uuid, Uuid, Option<Timestamp>, Option<String>)>(
            "SELECT account_id, hold_id, expires_at, ended FROM passbook.holds
              WHERE partition = $1 AND account_id BETWEEN $2 AND $3",
        )
        .bind(self.partition)
        .bind(from)
        .bind(to)
        .fetch(&mut *self.connection);
        let differs = |account_id| {
            Difference::new(DifferenceKind::HoldDiffers, self.partition, Some(account_id), None)
        };
        while let Some((account_id, hold_id, expires_at, ended)) = rows.try_next().await? {
            let fold = folds.get_mut(&account_id);
            if fold.as_ref().is_some_and(|fold| fold.is_lost()) {
                continue;
            }
            // Removed, so that the holds without a row remain.
            let expected = fold.and_then(|fold| fold.holds.remove(&hold_id));
            let status = ended.as_deref().unwrap_or(HoldStatus::Open.as_str());
            if expected
                .is_none_or(|hold| hold.expires_at != expires_at || hold.status.as_str() != status)
            {
                let expected =
                    expected.map(|hold| hold_row(hold_id, hold.expires_at, hold.status.as_str()));
                let found = hold_row(hold_id, expires_at, status);
                let expected = expected.unwrap_or_default();
                self.findings.add(|| Difference { expected, found, ..differs(account_id) });
            }
        }
        for (account_id, fold) in folds.iter().filter(|(_, fold)| !fold.is_lost()) {
            for (hold_id, KeptHold { expires_at, status }) in &fold.holds {
                let expected = hold_row(*hold_id, *expires_at, status.as_str());
                self.findings.add(|| Difference { expected, ..differs(*account_id) });
            }
        }
        Ok(())
    }

    async fn reversals(
        &mut self,
        folds: &mut HashMap<Uuid, Fold>,
        from: Uuid,
        to: Uuid,
    ) -> Result<(), sqlx::Error> {
        let mut rows = sqlx::query_as::<_, (Uuid, i64, i64)>(
            "SELECT account_id, version, reversed_by FROM passbook.reversals
              WHERE partition = $1 AND account_id BETWEEN $2 AND $3",
        )
        .bind(self.partition)
        .bind(from)
        .bind(to)
        .fetch(&mut *self.connection);
        let differs = |account_id, version| {
            Difference::new(
                DifferenceKind::ReversalDiffers,
                self.partition,
                Some(account_id),
                Some(version),
            )
        };
        let row = |reversed_by: Option<i64>| {
            reversed_by.map_or(Value::Null, |by| json!({ "reversed_by": by }))
        };
        while let Some((account_id, version, reversed_by)) = rows.try_next().await? {
            let fold = folds.get_mut(&account_id);
            if fold.as_ref().is_some_and(|fold| fold.is_lost()) {
                continue;
            }
            // Removed, so that the reversals without a row remain.
            let expected = fold.and_then(|fold| fold.reversals.remove(&version));
            if expected != Some(reversed_by) {
                let (expected, found) = (row(expected), row(Some(reversed_by)));
                self.findings.add(|| Difference {
                    expected,
                    found,
                    ..differs(account_id, version)
                });
            }
        }
        for (account_id, fold) in folds.iter().filter(|(_, fold)| !fold.is_lost()) {
            for (version, reversed_by) in &fold.reversals {
                let expected = row(Some(*reversed_by));
                self.findings.add(|| Difference { expected, ..differs(*account_id, *version) });
            }
        }
        Ok(())
    }

    /// Checks that each transfer sent has its row.
    async fn sent(&mut self, folds: &HashMap<Uuid, Fold>) -> Result<(), sqlx::Error> {
        let sent = folds.iter().filter(|(_, fold)| !fold.is_lost());
        let sent: Vec<(Uuid, Uuid, i64)> = sent
            .flat_map(|(account_id, fold)| {
                fold.sent.iter().map(|sent| (sent.0, *account_id, sent.1))
            })
            .collect();
        if sent.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = sent.iter().map(|sent| sent.0).collect();
        let sql = "SELECT transfer_id, account_id, version FROM passbook.transfers WHERE
                   transfer_id = ANY ($1)";
        let kept: Vec<(Uuid, Uuid, i64)> =
            sqlx::query_as(sql).bind(ids).fetch_all(&mut *self.connection).await?;
        let kept: HashMap<Uuid, (Uuid, i64)> =
            kept.into_iter().map(|(id, account, at)| (id, (account, at))).collect();
        for (transfer_id, account_id, version) in sent {
            let found = kept.get(&transfer_id).copied();
            if found != Some((account_id, version)) {
                let difference = Difference::new(
                    DifferenceKind::TransferDiffers,
                    self.partition,
                    Some(account_id),
                    Some(version),
                );
                let expected = transfer_row(transfer_id, account_id, version);
                let found = found
                    .map_or(Value::Null, |(account, at)| transfer_row(transfer_id, account, at));
                self.findings.add(|| Difference { expected, found, ..difference });
            }
        }
        Ok(())
    }
}

/// Checks that each transfer row between two ids has its event. Returns the last id if more rows
/// may follow.
pub(super) async fn transfers(
    connection: &mut PgConnection,
    partitions: PartitionCount,
    (from, to): (Uuid, Uuid),
    limit: usize,
    findings: &mut Findings,
) -> Result<Option<Uuid>, sqlx::Error> {
    let kept: Vec<(Uuid, Uuid, i64)> = sqlx::query_as(
        "SELECT transfer_id, account_id, version FROM passbook.transfers
          WHERE transfer_id BETWEEN $1 AND $2 ORDER BY transfer_id LIMIT $3",
    )
    .bind(from)
    .bind(to)
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(&mut *connection)
    .await?;
    let wanted: Vec<_> =
        kept.iter().map(|kept| (partition_of(kept.1, partitions), kept.1, kept.2)).collect();
    let events = rows::events(&mut *connection, &wanted).await?;
    for (transfer_id, account_id, version) in &kept {
        let is_sent = match events.get(&(*account_id, *version)) {
            Some(Ok(AccountEvent::MoneySent(leg))) => leg.transfer_id == *transfer_id,
            Some(Ok(_)) | None => false,
            // An undecodable event proves no difference; the fold of its account counts it.
            Some(Err(_)) => true,
        };
        if !is_sent {
            let partition = partition_of(*account_id, partitions);
            findings.add(|| Difference {
                found: transfer_row(*transfer_id, *account_id, *version),
                ..Difference::new(
                    DifferenceKind::TransferDiffers,
                    partition,
                    Some(*account_id),
                    Some(*version),
                )
            });
        }
    }
    Ok(kept.last().map(|kept| kept.0).filter(|_| kept.len() == limit))
}

fn transfer_row(transfer_id: Uuid, account_id: Uuid, version: i64) -> Value {
    json!({ "transfer_id": transfer_id, "account_id": account_id, "version": version })
}

fn hold_row(hold_id: Uuid, expires_at: Option<Timestamp>, status: &str) -> Value {
    json!({ "hold_id": hold_id, "expires_at": expires_at, "status": status })
}
