//! Search for events by type and time, across partitions, oldest first.
//!
//! Each partition is ordered by time, so the search is a merge. A page reads a bounded stretch of
//! each partition and ends at the earliest end of a stretch, whatever it has found. A rare type in
//! a long log costs many short pages instead of one long query.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::timestamp::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{LogReader, Page, one_more, page};
use crate::log::in_time;
use crate::log::rows::event_columns;

/// Maximum number of events that one page examines, over all partitions.
const LOOKED_AT: i64 = 120_000;

/// Criteria of a search.
#[derive(Debug)]
pub struct Search<'a> {
    /// Type of the events.
    pub event_type: Option<&'a str>,
    /// Time of recording, inclusive lower bound.
    pub from: Option<Timestamp>,
    /// Time of recording, exclusive upper bound.
    pub to: Option<Timestamp>,
    /// End of the previous page.
    pub after: Option<Cursor>,
    /// Maximum number of events.
    pub limit: usize,
}

/// Page of a search.
#[derive(Debug)]
pub struct SearchPage {
    /// Events, oldest first; may be empty although more follow.
    pub events: Vec<RecordedEvent>,
    /// Start of the next page, if there may be more events.
    pub next: Option<Cursor>,
}

/// Place in the order of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    at: Timestamp,
    position: Position,
}

impl Cursor {
    /// Regular expression of an opaque cursor.
    pub const PATTERN: &'static str = "^[0-9]{1,17}-[0-9]{1,4}-[0-9]{1,18}-[0-9a-f]{16}$";
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.at.as_micros(), self.position)
    }
}

/// Error of parsing a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidCursor;

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_digits = |part: &&str| part.bytes().all(|b| b.is_ascii_digit());
        text.split_once('-')
            .filter(|(micros, _)| (1..=17).contains(&micros.len()) && is_digits(micros))
            .and_then(|(micros, position)| {
                let at = Timestamp::from_micros(micros.parse().ok()?)?;
                Some(Self { at, position: position.parse().ok()? })
            })
            .ok_or(InvalidCursor)
    }
}

/// Stretch of a partition that one page examines.
#[derive(Debug)]
struct Stretch {
    partition: Partition,
    after: i64,
    last: i64,
    /// Last place of the stretch, if the partition continues after it.
    end: Option<Cursor>,
}

impl LogReader {
    /// Returns a page of a search. The result for a past `to` never changes.
    pub async fn search(&self, search: &Search<'_>) -> Result<SearchPage, sqlx::Error> {
        if let Some(to) = search.to {
            // Before the stretches are read: afterwards, no event before `to` can be added.
            self.advance_watermarks(to).await?;
        }
        let stretches = in_time(self.stretches(search)).await?;
        let end = stretches.iter().filter_map(|stretch| stretch.end).min();
        let page = in_time(self.merge(search, &stretches, end)).await?;
        // A full page ends at its last event, any other at the end of the shortest stretch.
        let last_shown = page.events.last().filter(|_| page.has_more);
        let next = last_shown
            .map(|event| Cursor { at: event.recorded_at, position: event.position })
            .or(end);
        Ok(SearchPage { events: page.events, next })
    }

    async fn stretches(&self, search: &Search<'_>) -> Result<Vec<Stretch>, sqlx::Error> {
        let partitions: Vec<Partition> = self.store().partitions.all().collect();
        let (floors, moments): (Vec<i64>, Vec<_>) =
            partitions.iter().map(|p| start(search, *p)).unzip();
        // Partitions share the budget, so that a page costs the same whatever their number.
        let share = (LOOKED_AT / i64::from(self.store().partitions.get())).max(1);
        // Without a type every event matches, so a stretch needs no more than the page.
        let length =
            if search.event_type.is_some() { share } else { share.min(one_more(search.limit)) };
        let rows = sqlx::query(
            "WITH bounds AS MATERIALIZED (
                -- `greatest` ignores NULL: no moment, no bound.
                SELECT p.partition, greatest(p.floor, passbook.last_position_before(p.partition,
                p.moment)) AS after,
                       passbook.last_position_before(p.partition, coalesce($4, 'infinity')) AS upto
                  FROM unnest($1, $2, $3) AS p (partition, floor, moment))
             SELECT b.partition, b.after, least(b.upto, b.after + $5), e.recorded_at
               FROM bounds AS b
               LEFT JOIN passbook.events AS e
                 ON e.partition = b.partition AND e.position = b.after + $5 AND b.upto > b.after
                 + $5
              WHERE b.upto > b.after",
        )
        .bind(&partitions)
        .bind(floors)
        .bind(moments)
        .bind(search.to)
        .bind(length)
        .fetch_all(&self.pool)
        .await?;
        let stretch = |row: &PgRow| {
            let (partition, after, last) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let end = row.try_get::<Option<Timestamp>, _>(3)?;
            let end = end.map(|at| Cursor { at, position: Position { partition, number: last } });
            Ok(Stretch { partition, after, last, end })
        };
        rows.iter().map(stretch).collect()
    }

    async fn merge(
        &self,
        search: &Search<'_>,
        stretches: &[Stretch],
        end: Option<Cursor>,
    ) -> Result<Page, sqlx::Error> {
        let rows = sqlx::query(concat!(
            "SELECT ",
            event_columns!(),
            " FROM unnest($1, $2, $3) AS s (partition, after, last)
              CROSS JOIN LATERAL (
                    SELECT e.* FROM passbook.events AS e
                     WHERE e.partition = s.partition AND e.position > s.after AND e.position <=
                     s.last
                       AND ($4::text IS NULL OR e.type = $4)
                     ORDER BY e.position LIMIT $5) AS e
              WHERE $6::timestamptz IS NULL OR (e.recorded_at, e.partition, e.position) <= ($6,
              $7, $8)
              ORDER BY e.recorded_at, e.partition, e.position LIMIT $5"
        ))
        .bind(stretches.iter().map(|s| s.partition).collect::<Vec<_>>())
        .bind(stretches.iter().map(|s| s.after).collect::<Vec<_>>())
        .bind(stretches.iter().map(|s| s.last).collect::<Vec<_>>())
        .bind(search.event_type)
        .bind(one_more(search.limit))
        .bind(end.map(|end| end.at))
        .bind(end.map(|end| end.position.partition))
        .bind(end.map(|end| end.position.number))
        .fetch(&self.pool);
        page(rows, search.limit).await
    }
}

/// Returns the start of a page in a partition: after this position, and not before this time.
fn start(search: &Search<'_>, partition: Partition) -> (i64, Option<Timestamp>) {
    let Some(Cursor { at, position }) = search.after else { return (0, search.from) };
    // Events of one moment are ordered by partition.
    match partition.cmp(&position.partition) {
        Ordering::Less => (0, search.from.max(Timestamp::from_micros(at.as_micros() + 1))),
        Ordering::Equal => (position.number, search.from),
        Ordering::Greater => (0, search.from.max(Some(at))),
    }
}
