//! Counting through the HTTP front: invariants, names, countries.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod books;
mod countries;
#[path = "../support/exposition.rs"]
mod exposition;
#[path = "../support/front.rs"]
mod front;
#[path = "../support/messages.rs"]
mod messages;
mod names;
#[path = "../http/requests.rs"]
mod requests;
#[path = "../support/serve.rs"]
mod serve;
#[path = "../support/stats_log.rs"]
mod stats_log;
mod tally;
mod workload;

use exposition::Exposition;
use front::Front;
use snowflake_broker::metrics::exposition::Format;

fn exposed(front: &Front) -> Exposition {
    let text = front
        .broker
        .control()
        .expose_metrics(None, Format::OpenMetrics);
    Exposition::open_metrics(&text).unwrap()
}
