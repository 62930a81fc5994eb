//! What all who drive the engine need.

use std::time::{Duration, Instant};

use snowflake_broker::wire::session_description::SessionDescription;

/// A time with a past: nothing happens more than this before it.
const PAST: Duration = Duration::from_secs(1_000);

#[expect(
    clippy::disallowed_methods,
    reason = "an instant can be had in no other way; only differences to it matter"
)]
pub(crate) fn some_instant() -> Instant {
    Instant::now() + PAST
}

/// An offer or an answer.
pub(crate) fn description(kind: &str, sdp: &str) -> SessionDescription {
    let text = format!(r#"{{"type":"{kind}","sdp":"{sdp}"}}"#);
    SessionDescription::parse(&text).expect("has type and sdp")
}
