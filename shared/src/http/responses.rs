//! Bodies of responses: compression, and the memory budget that large bodies share.

use axum::body::HttpBody;
use axum::response::{IntoResponse, Response};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

use super::budget::Share;
use super::limits::{self, Bounds};

/// Maximum size of a body that needs no share of the budget, in bytes.
const FREE: usize = 64 * 1024;
/// Maximum size of a body that is not compressed, in bytes.
const SMALL: u64 = 1024;

/// Compresses bodies larger than [`SMALL`] with gzip if `Accept-Encoding` asks for it, except event
/// streams, which must not be buffered.
pub(super) fn compression() -> CompressionLayer<impl Predicate> {
    CompressionLayer::new().compress_when(SizeAbove::new(SMALL).and(NotForContentType::SSE))
}

/// Takes a share of the budget for a large body. Without one, the response to a GET is replaced by
/// 503. Handlers that change data take their share before the change.
pub(super) fn share(mut response: Response, bounds: &Bounds, is_get: bool) -> Response {
    let bytes = response.body().size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let Some(bytes) = bytes.filter(|bytes| *bytes > FREE) else { return response };
    if response.extensions().get::<Share>().is_none() {
        match bounds.answers.take(bytes) {
            Some(share) => drop(response.extensions_mut().insert(share)),
            None if is_get => return limits::too_many_answers().into_response(),
            // The change is done, so its answer must not become an error.
            None => {}
        }
    }
    response
}
