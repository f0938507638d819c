//! `GET /admin/replays/{replay_id}/stream`: status of a replay as Server-Sent Events until it ends.

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, stream};
use passbook_shared::http::extract::Path;
use passbook_shared::http::gate::Caller;
use passbook_shared::http::problem::Problem;
use tokio::time::sleep;
use uuid::Uuid;

use super::{AppState, OneProblems, ReplayView, find};

const EVERY: Duration = Duration::from_millis(500);

/// Server-Sent Event of the stream.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only documents the stream, which is text")]
struct ReplayEvent {
    /// Always `replay`.
    #[schema(examples("replay"))]
    event: String,
    /// A `Replay`, as JSON.
    #[schema(
        content_media_type = "application/json",
        examples("{\"state\":\"running\",\"events_done\":3050}")
    )]
    data: String,
}

/// Follow a replay
///
/// Sends Server-Sent Events named `replay`, each with a whole replay as JSON. The last one has a
/// final state. The stream ends earlier if the key is revoked or the token expires.
#[utoipa::path(get, operation_id = "stream_replay", path = "/admin/replays/{replay_id}/stream",
    tag = "operations",
    security(("api_key" = ["ops:read"])),
    params(("replay_id" = Uuid, Path)),
    responses(
        (status = 200, description = "The status, repeatedly",
            body = ReplayEvent, content_type = "text/event-stream"),
        OneProblems,
    ))]
pub(in crate::http) async fn stream(
    state: AppState,
    Extension(caller): Extension<Caller>,
    Path(id): Path<Uuid>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    // The first look precedes the stream, so an unknown id still gets 404.
    let first = find(&state, id).await?;
    let events = stream::unfold(Some((state, caller, Some(first))), move |next| async move {
        let (state, caller, replay) = next?;
        let replay = match replay {
            Some(replay) => replay,
            None => {
                sleep(EVERY).await;
                if !caller.is_still_permitted("stream_replay") {
                    return None;
                }
                // Postgres may be unreachable. The stream ends, and the client reconnects.
                find(&state, id).await.ok()?
            }
        };
        let event = Event::default().event("replay").json_data(&replay).ok()?;
        Some((Ok(event), has_not_ended(&replay).then_some((state, caller, None))))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

fn has_not_ended(replay: &ReplayView) -> bool {
    replay.ended_at.is_none()
}
