//! Counting through the HTTP front: invariants, names, countries. The metrics [`log`] is
//! read from the real program, and [`ops`] drives a real Prometheus.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod books;
mod countries;
mod document;
mod log;
mod names;
mod ops;
#[expect(dead_code, reason = "no program needs all of it")]
#[path = "../support/mod.rs"]
mod support;
mod tally;
mod workload;

use snowflake_broker::metrics::exposition::Format;

use crate::support::exposition::Exposition;
use crate::support::front::Front;

fn exposed(front: &Front) -> Exposition {
    let text = front
        .broker
        .control()
        .expose_metrics(None, Format::OpenMetrics);
    Exposition::open_metrics(&text).unwrap()
}
