//! The `NextPoll` in replies to proxies.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use serde_json::Value;
use snowflake_broker::broker::{CountedFrom, Mode, PollInterval, RefusalForm, RefusalsAs, clock};
use snowflake_broker::listener::RemoteAddress;
use snowflake_broker::matching::{Settings, SupplySettings};
use snowflake_broker::metrics::exposition::Format;
use tokio::time::sleep;

use crate::support::front::Front;
use crate::support::messages::{client_poll, proxy_answer, proxy_poll};
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

/// An idle poll of a proxy of this type.
async fn idle(front: &Front, proxy_type: &str) -> Value {
    let body = proxy_poll("a", "open").replace("standalone", proxy_type);
    front.post("/proxy", body).await.json()["NextPoll"].take()
}

fn minutes<'a>(types: &[(&'a str, u64)]) -> impl Iterator<Item = (&'a str, Duration)> {
    types
        .iter()
        .map(|&(name, minutes)| (name, Duration::from_mins(minutes)))
}

#[tokio::test(start_paused = true)]
async fn a_type_has_an_interval_of_its_own() {
    let front = front();
    let types = [("orbot-*", 5), ("bloco", 2)];
    let fixed = PollInterval {
        types: minutes(&types).collect(),
        ..PollInterval::default()
    };
    set(&front, fixed.clone());
    for (name, told) in [
        ("orbot-android", 300_000),
        ("bloco", 120_000),
        ("webext", 20_000),
        (&*"x".repeat(90_000), 20_000),
    ] {
        assert_eq!(idle(&front, name).await, told);
    }
    // A client's offer comes with the same interval.
    let body = proxy_poll("b", "open").replace("standalone", "orbot-ios");
    let poll = start(&front, "/proxy", body).await;
    let _client = start(&front, "/client", client_poll("x", "open")).await;
    assert_eq!(poll.await.unwrap().json()["NextPoll"], 300_000);
    front.post("/answer", proxy_answer("b", "hi")).await;
    // A client that is denied puts the pool on the floor of 10 s, which is half of its
    // configured interval.
    let adaptive = PollInterval {
        mode: Mode::Adaptive,
        jitter: Some(0.0),
        ..fixed
    };
    set(&front, adaptive);
    front.post("/client", client_poll("x", "restricted")).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(idle(&front, "orbot-android").await, 150_000);
    assert_eq!(idle(&front, "webext").await, 10_000);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_since_the_arrival_is_told_if_that_is_set() {
    let front = front();
    let from_arrival = |seconds| PollInterval {
        counted_from: CountedFrom::Arrival,
        open: Duration::from_secs(seconds),
        ..PollInterval::default()
    };
    set(&front, from_arrival(20));
    assert_eq!(told(&front, 2, "open").await, [10_000; 2]);
    let poll = start(&front, "/proxy", proxy_poll("a", "open")).await;
    sleep(Duration::from_secs(4)).await;
    let _client = start(&front, "/client", client_poll("x", "open")).await;
    let left = poll.await.unwrap().json()["NextPoll"].as_u64().unwrap();
    // Tokio's clock has milliseconds.
    assert!((15_990..=16_000).contains(&left), "{left}");
    front.post("/answer", proxy_answer("a", "hi")).await;
    // Nothing is left of it.
    set(&front, from_arrival(5));
    assert_eq!(told(&front, 1, "open").await, [1_000]);
}

/// The reply to a poll; all come from one address.
async fn poll_of_one_source(front: Arc<Front>, body: String) -> Value {
    let address = RemoteAddress(([5, 1, 0, 1], 1).into());
    let request = Request::post("/proxy").extension(address);
    let request = request.body(body.into()).unwrap();
    front.send(request).await.json()
}

/// What was refused, and the status and interval told.
async fn refusals(forms: RefusalsAs) -> [(String, u64); 2] {
    let front = front();
    set(
        &front,
        PollInterval {
            refusals_as: forms,
            ..PollInterval::default()
        },
    );
    front.broker.control().set_supply(SupplySettings {
        parked_per_source: 1,
        ..SupplySettings::default()
    });
    let poll = |body| poll_of_one_source(Arc::clone(&front), body);
    let picky = proxy_poll("a", "open").replace(r#"Pattern":""#, r#"Pattern":"^x$"#);
    let pattern = poll(picky).await;
    let _parked = tokio::spawn(poll(proxy_poll("b", "open")));
    sleep(Duration::from_millis(1)).await;
    let second = poll(proxy_poll("c", "open")).await;
    for reason in ["pattern", "source_parked"] {
        let labels = [&*format!("reason=\"{reason}\"")];
        assert_eq!(front.count("snowflake_broker_refusals_total", &labels), 1);
    }
    [pattern, second].map(|reply| {
        let status = reply["Status"].as_str().unwrap().to_owned();
        (status, reply["NextPoll"].as_u64().unwrap())
    })
}

#[tokio::test(start_paused = true)]
async fn each_refusal_is_told_in_the_form_that_is_set() {
    let told =
        |pattern: &str, share: &str| [(pattern.to_owned(), 600_000), (share.to_owned(), 120_000)];
    let pattern = "incorrect relay pattern";
    let by_default = refusals(RefusalsAs::default()).await;
    assert_eq!(by_default, told(pattern, "no match"));
    let all = |form| RefusalsAs {
        polled_too_soon: form,
        over_share: form,
        relay_pattern: form,
    };
    let statuses = refusals(all(RefusalForm::Status)).await;
    assert_eq!(statuses, told(pattern, "polled too soon"));
    let hidden = refusals(all(RefusalForm::NoMatch)).await;
    assert_eq!(hidden, told("no match", "no match"));
}

/// The polls that a proxy sends in an hour that is refused for its relay pattern, or else
/// because another poll of its address is parked. It obeys as the reference proxy does in
/// versions 2.14.0 and 2.14.1: only what it is told in `client match` and `no match`. After
/// any other status it keeps its interval.
async fn polls_in_an_hour(relay_pattern: &str, form: RefusalForm) -> u32 {
    let front = Arc::new(Front::new(Settings {
        proxy_timeout: Duration::from_hours(2),
        ..Settings::default()
    }));
    let forms = RefusalsAs {
        over_share: form,
        relay_pattern: form,
        ..RefusalsAs::default()
    };
    set(
        &front,
        PollInterval {
            refusals_as: forms,
            ..PollInterval::default()
        },
    );
    front.broker.control().set_supply(SupplySettings {
        parked_per_source: 1,
        ..SupplySettings::default()
    });
    let poll = |sid: &str, relay_pattern: &str| {
        let pattern = format!("Pattern\":\"{relay_pattern}\"");
        let body = proxy_poll(sid, "open").replace("Pattern\":\"\"", &pattern);
        poll_of_one_source(Arc::clone(&front), body)
    };
    let _parked = tokio::spawn(poll("parked", ""));
    sleep(Duration::from_millis(1)).await;
    let end = clock::now() + Duration::from_hours(1);
    let (mut polls, mut interval) = (0, Duration::from_secs(20));
    while clock::now() < end {
        let reply = poll("refused", relay_pattern).await;
        polls += 1;
        if ["client match", "no match"].contains(&reply["Status"].as_str().unwrap()) {
            interval = Duration::from_millis(reply["NextPoll"].as_u64().unwrap());
        }
        sleep(interval).await;
    }
    polls
}

#[tokio::test(start_paused = true)]
async fn a_released_proxy_obeys_only_what_is_told_as_no_match() {
    for (relay_pattern, form, expected) in [
        ("", RefusalForm::NoMatch, 30),
        ("", RefusalForm::Status, 180),
        ("^x$", RefusalForm::NoMatch, 6),
        ("^x$", RefusalForm::Status, 180),
    ] {
        let polls = polls_in_an_hour(relay_pattern, form).await;
        assert_eq!(polls, expected, "{relay_pattern:?} {form:?}");
    }
}
