//! Streams events of the log in slices. Each slice is read when the client has taken the previous
//! one, so a slow client costs one slice of memory.

#[cfg(test)]
mod tests;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use passbook_shared::http::gate::Holder;
use passbook_shared::http::problem::Problem;
use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use uuid::Uuid;

use super::AppState;
use super::turns::Turns;
use crate::log::read::Page;

/// Maximum number of events in a slice.
const SLICE: usize = 200;

/// Sequence of events that is numbered without gaps.
#[derive(Debug, Clone, Copy)]
pub(super) enum EventRange {
    /// Events of a partition, by position.
    Partition(Partition),
    /// Events of an account, by version.
    Account(Uuid),
}

impl EventRange {
    fn turns(self, state: &AppState) -> &Turns {
        match self {
            Self::Partition(_) => &state.feed_turns,
            Self::Account(_) => &state.read_turns,
        }
    }
}

/// Page of which the first part was sent.
#[derive(Debug)]
struct PageWriter {
    state: AppState,
    holder: Holder,
    range: EventRange,
    after: i64,
    left: usize,
}

/// Streams at most `limit` events after a number, as an `EventPage`.
///
/// # Errors
/// 404 `account_not_found`. 503 if the log cannot be read or has too many readers. An error after
/// the first slice closes the connection instead.
pub(super) async fn page(
    state: AppState,
    holder: Holder,
    range: EventRange,
    after: i64,
    limit: usize,
) -> Result<Response, Problem> {
    let first = range.turns(&state).wait_for(&holder, slice(&state, range, after, limit)).await??;
    let mut writer = PageWriter { state, holder, range, after, left: limit };
    let mut bytes = b"{\"data\":[".to_vec();
    // A page of one slice has a known length and needs no stream.
    if writer.write(&mut bytes, &first)? {
        return Ok(json(bytes.into()));
    }
    let begun = (Some(Bytes::from(bytes)), Some(writer));
    let pieces = stream::try_unfold(begun, |(ready, writer)| async move {
        match (ready, writer) {
            (Some(bytes), writer) => Ok(Some((bytes, (None, writer)))),
            (None, Some(mut writer)) => {
                let (bytes, is_last) = writer
                    .next_piece()
                    .await
                    .map_err(|problem| std::io::Error::other(problem.detail))?;
                Ok(Some((bytes, (None, (!is_last).then_some(writer)))))
            }
            (None, None) => std::io::Result::Ok(None),
        }
    });
    Ok(json(Body::from_stream(pieces)))
}

fn json(body: Body) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

async fn slice(
    state: &AppState,
    range: EventRange,
    after: i64,
    left: usize,
) -> Result<Page, Problem> {
    let limit = left.min(SLICE);
    match range {
        EventRange::Partition(partition) => Ok(state.log.feed(partition, after, limit).await?),
        EventRange::Account(account_id) => {
            let page = state.log.account_events(account_id, after, limit).await?;
            page.ok_or_else(|| Problem::account_not_found(account_id))
        }
    }
}

impl PageWriter {
    /// Returns the next piece, and whether it is the last.
    async fn next_piece(&mut self) -> Result<(Bytes, bool), Problem> {
        let Self { state, holder, range, after, left } = self;
        // Without a deadline: the status is sent, so the client could not learn of an overload.
        let page = range.turns(state).take(holder, slice(state, *range, *after, *left)).await?;
        let mut bytes = Vec::new();
        let is_last = self.write(&mut bytes, &page)?;
        Ok((bytes.into(), is_last))
    }

    /// Writes a slice, and the end of the page after the last slice. Returns whether it was the
    /// last.
    fn write(&mut self, bytes: &mut Vec<u8>, page: &Page) -> Result<bool, Problem> {
        for event in &page.events {
            // Every event but the first of the page is preceded by a comma, across slices, too.
            if bytes.last() != Some(&b'[') {
                bytes.push(b',');
            }
            serde_json::to_writer(&mut *bytes, event).map_err(|error| {
                tracing::error!(%error, "an event cannot be serialized");
                Problem::internal()
            })?;
            self.after = self.number(event);
            self.left -= 1;
        }
        let is_last = self.left == 0 || !page.has_more;
        if is_last {
            bytes.extend_from_slice(if page.has_more {
                b"],\"has_more\":true}"
            } else {
                b"],\"has_more\":false}"
            });
        }
        Ok(is_last)
    }

    fn number(&self, event: &RecordedEvent) -> i64 {
        match self.range {
            EventRange::Partition(_) => event.position.number,
            EventRange::Account(_) => event.version,
        }
    }
}
