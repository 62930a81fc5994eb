//! `/amp/client/...`: clients ask for a proxy through an AMP cache.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::Uri;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::broker::{Caller, clock};
use crate::metrics::labels::Rendezvous;
use crate::wire::client::encode_error;
use crate::wire::{amp_armor, amp_path};

use super::{Front, client};

/// A poll in the path of the URL; always 200, for caches keep no errors.
pub(super) async fn poll(State(front): State<Arc<Front>>, uri: Uri) -> Response {
    let caller = Caller {
        arrived: clock::now(),
        // The peer is the cache.
        address: None,
    };
    let path = uri.path().strip_prefix("/amp/client/").unwrap_or_default();
    let response = match amp_path::decode(path) {
        Ok(poll) => client::response(&front.broker, caller, Rendezvous::Ampcache, &poll).await,
        Err(invalid) => {
            client::refuse(&front.broker, caller, Rendezvous::Ampcache, &invalid);
            encode_error(&invalid.to_string())
        }
    };
    // A cache asks anew for what is older, and each poll has a path of its own.
    let headers = [(CONTENT_TYPE, "text/html"), (CACHE_CONTROL, "max-age=15")];
    (headers, amp_armor::encode(&response)).into_response()
}
