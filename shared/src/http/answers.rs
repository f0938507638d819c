//! Bodies of answers: large ones take a share of the memory for all, and are compressed for whoever
//! asks for that.

use axum::body::HttpBody;
use axum::response::{IntoResponse, Response};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

use super::budget::Share;
use super::limits::{self, Bounds};

/// Bytes of an answer that need no share of the budget.
const FREE: usize = 64 * 1024;
/// Bytes below which compression gains nothing.
const SMALL: u64 = 1024;

/// Compresses with gzip what is larger than [`SMALL`] and no stream of events, where
/// `Accept-Encoding` asks for it.
pub(super) fn compression() -> CompressionLayer<impl Predicate> {
    CompressionLayer::new().compress_when(SizeAbove::new(SMALL).and(NotForContentType::SSE))
}

/// Takes the share of the budget that a large answer needs. One that was not asked to change
/// anything is refused if there is none left; a handler that changes something takes its share
/// beforehand.
pub(super) fn share(mut response: Response, bounds: &Bounds, is_get: bool) -> Response {
    let bytes = response.body().size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let Some(bytes) = bytes.filter(|bytes| *bytes > FREE) else { return response };
    if response.extensions().get::<Share>().is_none() {
        match bounds.answers.take(bytes) {
            Some(share) => drop(response.extensions_mut().insert(share)),
            None if is_get => return limits::too_many_answers().into_response(),
            None => {}
        }
    }
    response
}
