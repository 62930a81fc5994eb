//! One hostile address against the real program, one test for each kind of abuse. During
//! and after the attack, a client and a proxy from elsewhere are brokered each second.
//! Every attack is bounded in count and time, and is directed at a broker that the test
//! itself starts, in the test's own network, which no packet leaves.
//!
//! `cargo test --test hostile -- --nocapture` prints a table of the results.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod above_the_mark;
mod administration;
mod broker;
mod connections;
mod documents;
mod faults;
mod federation;
mod frames;
mod full_house;
mod healthy;
mod http2;
mod http2_heads;
mod json;
mod malformed;
mod memory;
mod memory_shares;
mod network;
mod pool;
mod quota;
mod report;
mod requests_in_requests;
mod shapes;
mod sizes;
mod slow;
mod smuggling;
mod stranger;
#[expect(dead_code, reason = "no program needs all of it")]
#[path = "../support/mod.rs"]
mod support;
mod unread;

use std::time::Duration;

/// Length of an attack that does not end by itself.
const ATTACK: Duration = Duration::from_secs(3);

/// Longer than anything here takes; reached only by what hangs.
const FOREVER: Duration = Duration::from_mins(1);

/// Makes a test and a table row of each attack.
macro_rules! shapes {
    ($($name:ident: $shape:path,)*) => {
        /// The names of all attacks.
        const SHAPES: &[&str] = &[$(stringify!($name)),*];

        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                report::row(stringify!($name), $shape).await;
            }
        )*
    };
}

shapes! {
    slow_heads: slow::heads,
    slow_bodies: slow::bodies,
    half_open_handshakes: slow::handshakes,
    short_connections: connections::short,
    held_connections: connections::held,
    held_connections_of_one_64: connections::held_from_one_64,
    few_descriptors: connections::few_descriptors,
    http2_resets: http2::resets,
    http2_continuations: http2::continuations,
    http2_settings: http2::settings,
    http2_pings: http2::pings,
    http2_pongs: http2::pongs,
    http2_errors: http2::errors,
    http2_tiny_data: http2::tiny_data,
    http2_empty_data: http2::empty_data,
    http2_idle_frames: http2::idle_frames,
    smuggled_requests: smuggling::in_http1,
    smuggled_requests_http2: smuggling::in_http2,
    pipelining: smuggling::pipelining,
    sizes: sizes::at_the_limit,
    endless_bodies: sizes::endless,
    json: json::worst_cases,
    storms_of_reloads: faults::reloads,
    full_disk: faults::full_disk,
    clock_steps: faults::clock_steps,
    stopped: faults::stopped,
    unread_http2: unread::http2,
    unread_http1: unread::http1,
    scrapes: unread::scrapes,
    proxies_by_amp: quota::by_amp,
    proxies_by_x_forwarded_for: quota::by_x_forwarded_for,
    proxies_by_other_headers: quota::by_other_headers,
    proxies_by_leaving: quota::by_leaving,
    http2_heads: http2_heads::indexed_fields,
    unfinished_bodies: memory_shares::bodies,
    unfinished_heads: memory_shares::heads,
    full_house: full_house::of_connections,
    full_descriptors: full_house::of_descriptors,
    above_the_mark: above_the_mark::requests,
    administration: administration::strangers,
    federation: federation::strangers,
    malformed_polls: malformed::polls,
}

/// Waits until the condition holds.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(FOREVER, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never: {what}"));
}
