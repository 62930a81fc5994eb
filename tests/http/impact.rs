//! What clients live through, as the broker counts it.

use std::sync::Arc;
use std::time::Duration;

use snowflake_broker::broker::clock;
use snowflake_broker::geoip::GeoIp;
use snowflake_broker::http::Settings;
use snowflake_broker::matching;
use snowflake_broker::metrics::exposition::Format;
use tokio::time::sleep;

use crate::front;
use crate::outcomes::{DEFAULT_BRIDGE, PAUSE, RETURN, begin, offer, serve, wait_in_vain};
use crate::support::front::Front;

fn exposed(front: &Front) -> String {
    front.broker.control().expose_metrics(None, Format::Text)
}

#[track_caller]
fn shows(front: &Front, lines: &[&str]) {
    let exposed = exposed(front);
    for line in lines {
        assert!(
            exposed.lines().any(|shown| shown == *line),
            "{line}\n{exposed}"
        );
    }
}

/// A client that nobody serves.
async fn ask_in_vain(front: &Arc<Front>, client: u8, number: u64) {
    let request = begin(front, "/client", client, offer(number, DEFAULT_BRIDGE)).await;
    request.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn tries_and_time_count_until_a_match_works() {
    let front = front();
    let start = clock::now();
    ask_in_vain(&front, 10, 1).await;
    shows(
        &front,
        &[
            "snowflake_broker_recent_clients{client=\"strict\"} 1",
            "snowflake_broker_unserved_clients{client=\"strict\"} 1",
            "snowflake_broker_episodes_begun_total 1",
        ],
    );
    sleep(RETURN).await;
    wait_in_vain(&front, 10, 1, 2).await;
    sleep(RETURN).await;
    // This match fails.
    serve(&front, 10, 2, 3).await;
    shows(
        &front,
        &["snowflake_broker_unserved_clients{client=\"strict\"} 0"],
    );
    sleep(RETURN).await;
    serve(&front, 10, 2, 4).await;
    let waited = clock::now() - start;
    assert!((60..75).contains(&waited.as_secs()), "{waited:?}");
    sleep(PAUSE).await;
    shows(
        &front,
        &[
            "snowflake_broker_episodes_total{result=\"served\"} 1",
            "snowflake_broker_episodes_total{result=\"unserved\"} 0",
            "snowflake_broker_episodes_total{result=\"unknown\"} 0",
            "snowflake_broker_tries_until_served_bucket{le=\"3.0\"} 0",
            "snowflake_broker_tries_until_served_bucket{le=\"5.0\"} 1",
            "snowflake_broker_tries_until_served_sum 4.0",
            "snowflake_broker_until_served_seconds_bucket{le=\"60.0\"} 0",
            "snowflake_broker_until_served_seconds_bucket{le=\"120.0\"} 1",
            "snowflake_broker_recent_clients{client=\"strict\"} 0",
        ],
    );
    let impact = front.broker.control().impact(clock::read());
    let line = impact.encode();
    assert!(
        !line.contains("episodes"),
        "one client is not told of: {line}"
    );
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_for_two_minutes_is_unserved() {
    let front = front();
    for number in 0..8 {
        ask_in_vain(&front, 10, number).await;
        sleep(RETURN).await;
    }
    shows(
        &front,
        &[
            "snowflake_broker_episodes_begun_total 1",
            "snowflake_broker_episodes_total{result=\"unserved\"} 1",
            "snowflake_broker_tries_until_served_count 0",
        ],
    );
}

/// A country is told from 8 addresses on, rounded, and only to the operator's Prometheus.
#[tokio::test(start_paused = true)]
async fn countries_of_few_are_not_told() {
    let mut geoip = GeoIp::default();
    geoip.load_ipv4(b"83951616,84017151,FR\n").unwrap();
    let settings = matching::Settings::default();
    let front = Arc::new(Front::with(settings, Settings::default(), geoip));
    let family = "snowflake_broker_rounded_match_outcomes_by_country_total";
    for client in 0..8_u8 {
        assert!(!exposed(&front).contains("outcomes_by_country_total{"));
        let number = u64::from(client);
        wait_in_vain(&front, 100 + client, client, 2 * number).await;
        sleep(Duration::from_mins(1)).await;
        // The same client again is no other address.
        wait_in_vain(&front, 100, client + 50, 1_000 + number).await;
    }
    let unanswered = format!("{family}{{cc=\"FR\",outcome=\"unanswered\"}} 16");
    shows(&front, &[&unanswered]);
    let exported = front.broker.control().export_metrics(None);
    assert!(!exported.contains("\"FR\""), "{exported}");
    let published = front.broker.control();
    let published = published.expose_published_metrics(Format::Text);
    assert!(!published.contains("by_country"), "{published}");
    let line = front.broker.control().impact(clock::read()).encode();
    let france =
        "\"by_country\":{\"FR\":{\"worked\":0,\"failed\":0,\"unknown\":0,\"unanswered\":16}}";
    assert!(line.contains(france), "{line}");
}
