//! Search for the last common position, by comparing the views' history with the log row by row.
//! Event ids are not enough, because a forged record can copy an id.

use std::collections::HashMap;

use passbook_shared::cloud_event;
use passbook_shared::event::AccountEvent;
use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::upcast::DecodeError;
use sqlx::PgConnection;
use thiserror::Error;
use uuid::Uuid;

use crate::feed::{Feed, FeedError};
use crate::projection::{AccountState, Inapplicable, project};
use crate::store::accounts::status;
use crate::store::history::Row;
use crate::store::history::full_row::{self, FullRow};
use crate::store::{accounts, discarded, metadata, quarantine};

/// Failure to compare the views with the log.
#[derive(Debug, Error)]
pub(crate) enum CompareError {
    /// The views can't be read.
    #[error("the views' database: {0}")]
    Store(#[from] sqlx::Error),
    /// The log can't be read.
    #[error(transparent)]
    Feed(#[from] FeedError),
}

/// Returns the last position of a partition, at most `upper`, up to which the views equal the log.
///
/// After a fork all events differ, so a binary search finds the fork in about log2(`upper`)
/// look-ups. Forged records can lie between genuine ones, but close together. The page of the log
/// before the result is therefore compared in full, then the page before it, until a page has no
/// difference.
///
/// # Errors
/// Postgres or the command-service is unreachable.
pub(crate) async fn last_common(
    feed: &Feed,
    connection: &mut PgConnection,
    partition: Partition,
    upper: i64,
) -> Result<i64, CompareError> {
    let (mut low, mut high) = (0, upper);
    // Usually the views equal the log up to `upper`.
    let mut middle = upper;
    while low < high {
        let agrees = match feed.event_at(partition, middle).await? {
            Some(event) => first_difference(connection, partition, &[event]).await?.is_none(),
            // The log ends before this position.
            None => false,
        };
        if agrees {
            low = middle;
        } else {
            high = middle - 1;
        }
        middle = low + (high - low + 1) / 2;
    }
    while low > 0
        && let Some(different) = difference_before(feed, connection, partition, low).await?
    {
        low = different - 1;
    }
    Ok(low)
}

/// Returns the first difference in the page of the log that ends at a position.
async fn difference_before(
    feed: &Feed,
    connection: &mut PgConnection,
    partition: Partition,
    position: i64,
) -> Result<Option<i64>, CompareError> {
    difference_between(feed, connection, partition, position - i64::from(Feed::PAGE), position)
        .await
}

/// Returns the first position from `after + 1` to `up_to` at which the views differ from the log.
///
/// # Errors
/// Postgres or the command-service is unreachable.
pub(crate) async fn difference_between(
    feed: &Feed,
    connection: &mut PgConnection,
    partition: Partition,
    after: i64,
    up_to: i64,
) -> Result<Option<i64>, CompareError> {
    // The page before a small position begins below 0.
    let mut after = after.max(0);
    while after < up_to {
        let mut events = feed.events(partition, after).await?.events;
        events.retain(|event| event.position.number <= up_to);
        let Some(last) = events.last().map(|event| event.position.number) else { break };
        if let Some(different) = first_difference(connection, partition, &events).await? {
            return Ok(Some(different));
        }
        after = last;
    }
    Ok(None)
}

/// Returns the position of the first of these events of the log that the views lack or that differs
/// there.
pub(crate) async fn first_difference(
    connection: &mut PgConnection,
    partition: Partition,
    events: &[RecordedEvent],
) -> sqlx::Result<Option<i64>> {
    let accounts: Vec<Uuid> = events.iter().map(|event| event.account_id).collect();
    let versions: Vec<i64> = events.iter().map(|event| event.version).collect();
    // The row before gives the state to project from.
    let versions_before: Vec<i64> = versions.iter().map(|version| version - 1).collect();
    let decoded: Vec<_> = events.iter().map(RecordedEvent::decode).collect();

    let (mut before, mut agrees) = (HashMap::new(), vec![false; events.len()]);
    full_row::each_of(connection, &accounts, &versions_before, |place, row| {
        before.extend(state(row).map(|state| (place, state)));
    })
    .await?;
    full_row::each_of(connection, &accounts, &versions, |place, row| {
        agrees[place] = is_row_of(&events[place], &decoded[place], before.get(&place), row);
    })
    .await?;
    openings(connection, events, &decoded, &mut agrees).await?;
    quarantined(connection, partition, events, &mut agrees).await?;
    Ok(events
        .iter()
        .zip(agrees)
        .find(|(_, agrees)| !agrees)
        .map(|(event, _)| event.position.number))
}

fn state(row: &FullRow<'_>) -> Option<AccountState> {
    Some(AccountState {
        version: row.version,
        status: status(row.status).ok()?,
        balance: row.balance,
        held: row.held,
        overdraft_limit: row.overdraft_limit,
        transaction_count: row.transaction_count,
    })
}

fn is_row_of(
    event: &RecordedEvent,
    decoded: &Result<AccountEvent, DecodeError>,
    before: Option<&AccountState>,
    found: &FullRow<'_>,
) -> bool {
    // An undecodable event has no row; the quarantine is compared afterwards.
    let Ok(decoded) = decoded else { return false };
    let RecordedEvent { account_id, recorded_at, .. } = *event;
    let (position, event_type) = (event.position.number, decoded.event_type());
    match project(before, event.version, decoded) {
        Ok(entry) => {
            // A full row has no columns about the delivery, so these values are not compared.
            let (kafka_offset, published_at) = (None, None);
            let row = Row {
                account_id,
                position,
                recorded_at,
                event_type,
                entry,
                kafka_offset,
                published_at,
            };
            FullRow::from(&row) == *found
        }
        // The previous event was discarded, so there is no row to project from.
        Err(Inapplicable::Version { .. }) => {
            (found.position, found.recorded_at, found.event_type)
                == (position, recorded_at, event_type)
        }
        Err(_) => false,
    }
}

/// Compares the opening's owner, currency, metadata and tenant, which are not in the history.
async fn openings(
    connection: &mut PgConnection,
    events: &[RecordedEvent],
    decoded: &[Result<AccountEvent, DecodeError>],
    agrees: &mut [bool],
) -> sqlx::Result<()> {
    let mut opened = HashMap::new();
    for (place, (event, decoded)) in events.iter().zip(decoded).enumerate() {
        if let (true, Ok(AccountEvent::AccountOpened(account))) = (agrees[place], decoded) {
            opened.insert(event.account_id, (place, account));
        }
    }
    if opened.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = opened.keys().copied().collect();
    accounts::full_row::each_with(connection, &ids, |found| {
        if let Some((place, account)) = opened.get(&found.account_id) {
            agrees[*place] = found.opening_owner.unwrap_or(found.owner) == &*account.owner
                && found.currency == account.currency.code()
                && found.metadata == metadata::value(Some(&account.metadata))
                && found.tenant == account.tenant.as_deref();
        }
    })
    .await
}

/// Marks events as equal if the quarantine has an event with the same id at the position, or if the
/// event at the position was discarded.
async fn quarantined(
    connection: &mut PgConnection,
    partition: Partition,
    events: &[RecordedEvent],
    agrees: &mut [bool],
) -> sqlx::Result<()> {
    // Usually nothing is missing, and the queries are saved.
    if agrees.iter().all(|agrees| *agrees) {
        return Ok(());
    }
    let missing = events.iter().zip(&*agrees).filter(|(_, agrees)| !**agrees);
    let (accounts, positions): (Vec<_>, Vec<_>) =
        missing.map(|(event, _)| (event.account_id, event.position.number)).unzip();
    let documents =
        quarantine::documents(&mut *connection, partition, &accounts, &positions).await?;
    let discarded = discarded::positions(connection, partition).await?;
    for (event, agrees) in events.iter().zip(agrees).filter(|(_, agrees)| !**agrees) {
        let position = event.position.number;
        let document = documents
            .get(&position)
            .and_then(|(_, _, document)| cloud_event::decode(document).ok());
        *agrees = document.is_some_and(|document| document.event.event_id == event.event_id)
            || discarded.contains(&position);
    }
    Ok(())
}
