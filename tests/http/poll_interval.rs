//! The `NextPoll` in replies to proxies.

use std::sync::Arc;
use std::time::Duration;

use snowflake_broker::broker::{Mode, PollInterval};
use snowflake_broker::matching::Settings;
use snowflake_broker::metrics::exposition::Format;
use tokio::time::sleep;

use crate::support::front::Front;
use crate::support::messages::{client_poll, proxy_poll};
use crate::{front, start};

fn set(front: &Front, poll_interval: PollInterval) {
    let mut directory = (*front.broker.directory()).clone();
    directory.poll_interval = poll_interval;
    front.broker.control().set_directory(directory);
}

fn adaptive() -> PollInterval {
    PollInterval {
        mode: Mode::Adaptive,
        ..PollInterval::default()
    }
}

/// The `NextPoll` of this many idle polls, in milliseconds.
async fn told(front: &Arc<Front>, polls: usize, nat: &str) -> Vec<u64> {
    let mut requests = Vec::new();
    for poll in 0..polls {
        let body = proxy_poll(&format!("{nat} {poll}"), nat);
        requests.push(start(front, "/proxy", body).await);
    }
    let mut told = Vec::new();
    for request in requests {
        let reply = request.await.unwrap().json();
        told.push(reply["NextPoll"].as_u64().unwrap());
    }
    told
}

/// Returns true if the values cover a range of a tenth around the interval.
fn are_spread(told: &[u64], interval: u64) -> bool {
    let tenth = interval / 10;
    let (least, most) = (told.iter().min().unwrap(), told.iter().max().unwrap());
    (interval - tenth..interval - tenth / 2).contains(least)
        && (interval + tenth / 2..=interval + tenth).contains(most)
}

#[tokio::test(start_paused = true)]
async fn fixed_intervals_are_told_exactly_unless_jitter_is_set() {
    let front = front();
    assert_eq!(told(&front, 20, "open").await, [20_000; 20]);
    let jitter = PollInterval {
        jitter: Some(0.1),
        strict: Duration::from_secs(40),
        ..PollInterval::default()
    };
    set(&front, jitter);
    let open = told(&front, 50, "open").await;
    assert!(are_spread(&open, 20_000), "{open:?}");
    let strict = told(&front, 50, "restricted").await;
    assert!(are_spread(&strict, 40_000), "{strict:?}");
}

#[tokio::test(start_paused = true)]
async fn those_that_are_turned_away_are_spread_too() {
    let front = Arc::new(Front::new(Settings {
        max_parked_polls: 1,
        ..Settings::default()
    }));
    set(&front, adaptive());
    let refused = proxy_poll("a", "open").replace(r#"Pattern":""#, r#"Pattern":"^x$"#);
    let mut patterns = Vec::new();
    for _ in 0..50 {
        let reply = front.post("/proxy", refused.clone()).await.json();
        patterns.push(reply["NextPoll"].as_u64().unwrap());
    }
    assert!(are_spread(&patterns, 600_000), "{patterns:?}");
    let overloaded = told(&front, 50, "open").await.split_off(1);
    assert!(are_spread(&overloaded, 120_000), "{overloaded:?}");
}

#[tokio::test(start_paused = true)]
async fn a_denied_client_puts_the_pools_that_it_needed_on_the_floor() {
    let front = front();
    set(&front, adaptive());
    front.post("/client", client_poll("x", "restricted")).await;
    sleep(Duration::from_secs(1)).await;
    let open = told(&front, 50, "open").await;
    assert!(are_spread(&open, 10_000), "{open:?}");
    let strict = told(&front, 50, "restricted").await;
    assert!(are_spread(&strict, 20_000), "{strict:?}");
    for line in [
        r#"snowflake_broker_poll_interval_seconds{pool="open"} 10.0"#,
        r#"snowflake_broker_poll_interval_seconds{pool="strict"} 20.0"#,
    ] {
        let metrics = front.broker.control().expose_metrics(None, Format::Text);
        assert!(metrics.contains(line), "{line}");
    }
}

/// Fifty polls per second, and no clients.
#[tokio::test(start_paused = true)]
async fn a_surplus_is_told_to_poll_rarely_until_the_mode_is_fixed_again() {
    let front = front();
    set(&front, adaptive());
    for _ in 0..25 {
        told(&front, 500, "restricted").await;
    }
    let rarely = told(&front, 50, "restricted").await;
    assert!(rarely.iter().all(|told| *told > 60_000), "{rarely:?}");
    set(&front, PollInterval::default());
    assert_eq!(told(&front, 1, "restricted").await, [20_000]);
}

/// Served clients use up a pool just as denied clients do.
#[tokio::test(start_paused = true)]
async fn what_clients_take_is_demand() {
    let front = front();
    let nothing_in_reserve = PollInterval {
        min_parked_polls: 0,
        ..adaptive()
    };
    set(&front, nothing_in_reserve);
    for client in 0..600 {
        let sid = format!("busy {client}");
        let poll = start(&front, "/proxy", proxy_poll(&sid, "open")).await;
        let _client = start(&front, "/client", client_poll("x", "open")).await;
        poll.await.unwrap();
        sleep(Duration::from_millis(200)).await;
    }
    let open = told(&front, 50, "open").await;
    assert!(are_spread(&open, 10_000), "{open:?}");
}
