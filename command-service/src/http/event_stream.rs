//! Events of the log as an answer: read in slices, each when the client has taken the one before it. So a client that
//! does not read costs a slice, whatever it has asked for.

use std::net::IpAddr;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use passbook_shared::http::problem::Problem;
use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use uuid::Uuid;

use super::AppState;
use super::turns::Turns;
use crate::log::read::Page;

/// Maximum number of events in a slice.
const SLICE: usize = 200;

/// Events that are numbered without gaps.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of {
    /// Of a partition, by position.
    Partition(Partition),
    /// Of an account, by version.
    Account(Uuid),
}

impl Of {
    fn turns(self, state: &AppState) -> &Turns {
        match self {
            Self::Partition(_) => &state.feed_turns,
            Self::Account(_) => &state.read_turns,
        }
    }
}

/// A page that is being written.
#[derive(Debug)]
struct Writing {
    state: AppState,
    client: IpAddr,
    of: Of,
    after: i64,
    left: usize,
}

/// At most `limit` events after a number, as an `EventPage` for a client.
///
/// # Errors
/// 404 `account_not_found`; 503 if the log can't be read, or too many read it. Once the answer has begun, its connection is
/// cut off instead.
pub(super) async fn page(
    state: AppState,
    client: IpAddr,
    of: Of,
    after: i64,
    limit: usize,
) -> Result<Response, Problem> {
    let first = of.turns(&state).wait_for(client, slice(&state, of, after, limit)).await??;
    let mut writing = Writing { state, client, of, after, left: limit };
    let mut bytes = b"{\"data\":[".to_vec();
    if writing.write(&mut bytes, &first)? {
        return Ok(json(bytes.into()));
    }
    let begun = (Some(Bytes::from(bytes)), Some(writing));
    let pieces = stream::try_unfold(begun, |(ready, writing)| async move {
        match (ready, writing) {
            (Some(bytes), writing) => Ok(Some((bytes, (None, writing)))),
            (None, Some(mut writing)) => {
                let (bytes, is_last) = writing
                    .go_on()
                    .await
                    .map_err(|problem| std::io::Error::other(problem.detail))?;
                Ok(Some((bytes, (None, (!is_last).then_some(writing)))))
            }
            (None, None) => std::io::Result::Ok(None),
        }
    });
    Ok(json(Body::from_stream(pieces)))
}

fn json(body: Body) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

async fn slice(state: &AppState, of: Of, after: i64, left: usize) -> Result<Page, Problem> {
    let limit = left.min(SLICE);
    match of {
        Of::Partition(partition) => Ok(state.log.feed(partition, after, limit).await?),
        Of::Account(account_id) => {
            let page = state.log.account_events(account_id, after, limit).await?;
            page.ok_or_else(|| Problem::account_not_found(account_id))
        }
    }
}

impl Writing {
    /// The next piece, and whether it is the last.
    async fn go_on(&mut self) -> Result<(Bytes, bool), Problem> {
        let Self { state, client, of, after, left } = self;
        let page = of.turns(state).take(*client, slice(state, *of, *after, *left)).await?;
        let mut bytes = Vec::new();
        let is_last = self.write(&mut bytes, &page)?;
        Ok((bytes.into(), is_last))
    }

    /// Writes a slice, and the end if it is the last. Returns whether it is.
    fn write(&mut self, bytes: &mut Vec<u8>, page: &Page) -> Result<bool, Problem> {
        for event in &page.events {
            // Behind another, in this slice or the one before it.
            if bytes.last() != Some(&b'[') {
                bytes.push(b',');
            }
            serde_json::to_writer(&mut *bytes, event).map_err(|error| {
                tracing::error!(%error, "an event can't be written");
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
        match self.of {
            Of::Partition(_) => event.position.number,
            Of::Account(_) => event.version,
        }
    }
}
