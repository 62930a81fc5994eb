//! Invariants of the counters: whatever proxies and clients do and wherever they leave,
//! every request is counted once, with the outcome that its sender saw.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use snowflake_broker::geoip::GeoIp;
use snowflake_broker::http;

use crate::exposed;
use crate::support::exposition::Exposition;
use crate::support::front::Front;
use crate::support::stats_log;
use crate::tally::Tally;
use crate::workload::{Act, acts, limits, run, settings};

const PROXY_POLLS: &str = "snowflake_broker_proxy_polls_total";
const CLIENT_POLLS: &str = "snowflake_broker_client_polls_total";
const REFUSALS: &str = "snowflake_broker_refusals_total";
const NATS: [&str; 6] = [
    "restricted",
    "unrestricted",
    "strict",
    "moderate",
    "open",
    "unknown",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn books_balance(acts in acts(), all_leave in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(check(&acts, all_leave))?;
    }
}

async fn check(acts: &[Act], all_leave: bool) -> Result<(), TestCaseError> {
    let (http, geoip) = (http::Settings::default(), GeoIp::default());
    let front = Front::limited(settings(), http, geoip, None, limits()).outspoken();
    let front = Arc::new(front);
    let tally = run(&front, acts, all_leave).await;
    let told = exposed(&front);
    proxy_polls(&told, &tally)?;
    client_polls(&told, &tally)?;
    answers(&told, &tally)?;
    limited(&told, &tally)?;
    published(&told)?;
    at_rest(&told)?;
    metrics_log(&front, &told)
}

fn proxy_polls(told: &Exposition, tally: &Tally) -> Result<(), TestCaseError> {
    let received = told.sum("snowflake_broker_proxy_polls_received_total", &[]);
    prop_assert_eq!(received, tally.count("proxy", "came"));
    prop_assert_eq!(received, told.sum(PROXY_POLLS, &[]));
    for outcome in ["matched", "idle", "refused"] {
        let count = told.sum(PROXY_POLLS, &[("outcome", outcome)]);
        prop_assert_eq!(count, tally.count("proxy", outcome), "{}", outcome);
    }
    let refused = told.sum(PROXY_POLLS, &[("outcome", "refused")]);
    let refusals = told.sum(REFUSALS, &[("request", "proxy_poll")]);
    prop_assert_eq!(refused, refusals);
    Ok(())
}

fn client_polls(told: &Exposition, tally: &Tally) -> Result<(), TestCaseError> {
    let mut matched = 0;
    for rendezvous in ["http", "ampcache"] {
        let by = ("rendezvous", rendezvous);
        let received = told.sum("snowflake_broker_client_polls_received_total", &[by]);
        prop_assert_eq!(received, tally.count(rendezvous, "came"));
        prop_assert_eq!(received, told.sum(CLIENT_POLLS, &[by]));
        for outcome in ["matched", "denied", "timed_out", "refused"] {
            let count = told.sum(CLIENT_POLLS, &[by, ("outcome", outcome)]);
            prop_assert_eq!(count, tally.count(rendezvous, outcome), "{}", outcome);
        }
        let answered = told.sum(CLIENT_POLLS, &[by, ("outcome", "matched")]);
        for latency in ["hand_off_to_answer", "request_to_answer"] {
            let count = format!("snowflake_broker_{latency}_seconds_count");
            prop_assert_eq!(answered, told.sum(&count, &[by]));
        }
        matched += answered;
    }
    let attempts = told.sum("snowflake_broker_attempts_per_answer_count", &[]);
    prop_assert_eq!(matched, attempts);
    let refused = told.sum(CLIENT_POLLS, &[("outcome", "refused")]);
    let refusals = told.sum(REFUSALS, &[("request", "client_poll")]);
    prop_assert_eq!(refused, refusals);
    Ok(())
}

fn answers(told: &Exposition, tally: &Tally) -> Result<(), TestCaseError> {
    let answers = |outcome| {
        told.sum(
            "snowflake_broker_proxy_answers_total",
            &[("outcome", outcome)],
        )
    };
    let all = told.sum("snowflake_broker_proxy_answers_total", &[]);
    prop_assert_eq!(all, tally.count("answer", "came"));
    prop_assert_eq!(answers("delivered"), tally.count("answer", "delivered"));
    prop_assert_eq!(answers("refused"), tally.count("answer", "refused"));
    let refusals = told.sum(REFUSALS, &[("request", "proxy_answer")]);
    prop_assert_eq!(answers("refused"), refusals);
    let second = told.sum("snowflake_broker_second_answers_total", &[]);
    prop_assert_eq!(answers("beaten") + answers("repeated"), second);
    // A client may leave while its answer is on the way.
    let matched = told.sum(CLIENT_POLLS, &[("outcome", "matched")]);
    let abandoned = told.sum(CLIENT_POLLS, &[("outcome", "abandoned")]);
    let delivered = answers("delivered");
    prop_assert!((matched..=matched + abandoned).contains(&delivered));
    let replies: u64 = ["proxy", "http", "ampcache", "answer"]
        .map(|kind| tally.count(kind, "replied"))
        .iter()
        .sum();
    let responses = told.sum("snowflake_broker_http_responses_total", &[]);
    prop_assert_eq!(responses, replies);
    Ok(())
}

/// Everyone over a limit was told so.
fn limited(told: &Exposition, tally: &Tally) -> Result<(), TestCaseError> {
    for (request, reason, kinds) in [
        ("proxy_poll", "too_soon", &["proxy"][..]),
        ("client_poll", "limit", &["http", "ampcache"]),
        ("proxy_answer", "limit", &["answer"]),
    ] {
        let heard = kinds.iter().map(|kind| tally.count(kind, "over limit"));
        let counted = told.sum(REFUSALS, &[("request", request), ("reason", reason)]);
        prop_assert_eq!(counted, heard.sum::<u64>(), "{}", request);
    }
    Ok(())
}

/// The reference broker's families show the same counts, each rounded up.
fn published(told: &Exposition) -> Result<(), TestCaseError> {
    let round = |count: u64| count.next_multiple_of(8);
    for sample in &told.families["snowflake_rounded_proxy_poll"].samples {
        let label = |name: &str| &*sample.labels[name];
        let labels = [
            ("type", label("type")),
            ("nat", label("nat")),
            ("outcome", label("status")),
        ];
        let shown = told.sum(&sample.name, &sample.labels().collect::<Vec<_>>());
        prop_assert_eq!(shown, round(told.sum(PROXY_POLLS, &labels)));
    }
    for sample in &told.families["snowflake_rounded_client_poll"].samples {
        let label = |name: &str| &*sample.labels[name];
        let outcome = match label("status") {
            "timeout" => "timed_out",
            status => status,
        };
        let rendezvous = ("rendezvous", label("rendezvous_method"));
        let labels = [rendezvous, ("nat", label("nat")), ("outcome", outcome)];
        let shown = told.sum(&sample.name, &sample.labels().collect::<Vec<_>>());
        prop_assert_eq!(shown, round(told.sum(CLIENT_POLLS, &labels)));
    }
    Ok(())
}

fn at_rest(told: &Exposition) -> Result<(), TestCaseError> {
    for gauge in [
        "snowflake_available_proxies",
        "snowflake_broker_parked_polls",
        "snowflake_broker_queued_clients",
        "snowflake_broker_matched_clients",
        "snowflake_broker_open_connections",
    ] {
        prop_assert_eq!(told.sum(gauge, &[]), 0, "{}", gauge);
    }
    Ok(())
}

/// The block of the metrics log shows the same counts.
fn metrics_log(front: &Front, told: &Exposition) -> Result<(), TestCaseError> {
    let end = UNIX_EPOCH + Duration::from_hours(24);
    let block = front.broker.metrics().block(end).encode();
    let blocks = stats_log::parse(&block).map_err(TestCaseError::fail)?;
    let [block] = &blocks[..] else {
        return Err(TestCaseError::fail("exactly one block is expected"));
    };
    prop_assert_eq!(
        (&*block.end, block.seconds),
        ("1970-01-02 00:00:00", 86_400)
    );
    let round = |count: u64| count.next_multiple_of(8);
    for rendezvous in ["http", "ampcache", "sqs"] {
        let ended = |outcome| {
            let labels = [("rendezvous", rendezvous), ("outcome", outcome)];
            told.sum(CLIENT_POLLS, &labels)
        };
        let clients = ["matched", "denied", "timed_out"].map(ended).iter().sum();
        let keyword = format!("client-{rendezvous}-count");
        prop_assert_eq!(block.count(&keyword), round(clients));
        let countries = block.list(&format!("client-{rendezvous}-ips"));
        let sum: u64 = countries.iter().map(|(_, count)| count).sum();
        prop_assert_eq!(sum, round(clients));
    }
    let idle = told.sum(PROXY_POLLS, &[("outcome", "idle")]);
    prop_assert_eq!(block.count("snowflake-idle-count"), round(idle));
    let clients = |outcome| told.sum(CLIENT_POLLS, &[("outcome", outcome)]);
    for (keyword, count) in [
        ("client-denied-count", clients("denied")),
        ("client-snowflake-match-count", clients("matched")),
        ("client-snowflake-timeout-count", clients("timed_out")),
        (
            "snowflake-proxy-rejected-for-relay-url-count",
            told.sum(REFUSALS, &[("reason", "pattern")]),
        ),
    ] {
        prop_assert_eq!(block.count(keyword), round(count), "{}", keyword);
    }
    for nat in NATS {
        let keyword = match nat {
            "restricted" | "unrestricted" => format!("client-{nat}-denied-count"),
            nat => format!("client-nat-{nat}-denied-count"),
        };
        let denied = told.sum(CLIENT_POLLS, &[("outcome", "denied"), ("nat", nat)]);
        prop_assert_eq!(block.count(&keyword), round(denied), "{}", keyword);
    }
    Ok(())
}
