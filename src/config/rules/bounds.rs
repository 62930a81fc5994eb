//! How much is too much, or too little.

use std::time::Duration;

use super::Rules;

/// No span is longer: far from where adding it to a point in time overflows.
const YEAR: Duration = Duration::from_hours(365 * 24);
/// No table is larger: far from where memory ends and within what TOML can say.
const MOST: usize = 100_000_000;
/// More of our own proxies in front of us than this is a mistake that lets
/// clients choose their address.
const MOST_HOPS: usize = 16;

pub(super) fn check(rules: &mut Rules<'_>) {
    spans(rules);
    counts(rules);
    ratios(rules);
    patience(rules);
}

fn spans(rules: &mut Rules<'_>) {
    let c = rules.config;
    let positive = [
        (
            "listener.tls_handshake_timeout",
            c.listener.tls_handshake_timeout,
        ),
        (
            "listener.header_read_timeout",
            c.listener.header_read_timeout,
        ),
        ("listener.idle_timeout", c.listener.idle_timeout),
        ("http.body_read_timeout", c.http.body_read_timeout),
        ("poll_interval.open", c.poll_interval.open),
        ("poll_interval.moderate", c.poll_interval.moderate),
        ("poll_interval.strict", c.poll_interval.strict),
        ("poll_interval.refused", c.poll_interval.refused),
        ("poll_interval.overloaded", c.poll_interval.overloaded),
        ("matching.client_timeout", c.matching.client_timeout),
        ("matching.proxy_timeout", c.matching.proxy_timeout),
        ("matching.rematch_after", c.matching.rematch_after),
        ("metrics.metrics_interval", c.metrics.metrics_interval),
        ("metrics.save_interval", c.metrics.save_interval),
        ("metrics.ip_count_interval", c.metrics.ip_count_interval),
        ("otel.timeout", c.otel.timeout),
        ("otel.metrics_interval", c.otel.metrics_interval),
    ];
    let maybe_zero = [
        ("matching.client_queue_wait", c.matching.client_queue_wait),
        ("matching.min_answer_time", c.matching.min_answer_time),
        ("tls.watch_interval", c.tls.watch_interval),
    ];
    for (key, span) in positive {
        if span.is_zero() {
            rules.refuse(&[key], "has to be longer than 0");
        }
    }
    for (key, span) in positive.into_iter().chain(maybe_zero) {
        if span > YEAR {
            rules.refuse(&[key], "is more than a year");
        }
    }
}

fn counts(rules: &mut Rules<'_>) {
    let c = rules.config;
    let bounds = [
        ("http.max_body_bytes", c.http.max_body_bytes, 1, MOST),
        ("http.trusted_hops", c.http.trusted_hops, 0, MOST_HOPS),
        (
            "matching.client_queue_max",
            c.matching.client_queue_max,
            0,
            MOST,
        ),
        ("matching.max_attempts", c.matching.max_attempts, 1, MOST),
        (
            "matching.max_parked_polls",
            c.matching.max_parked_polls,
            1,
            MOST,
        ),
        (
            "matching.max_matched_clients",
            c.matching.max_matched_clients,
            1,
            MOST,
        ),
    ];
    for (key, count, least, most) in bounds {
        if !(least..=most).contains(&count) {
            rules.refuse(&[key], format!("has to be from {least} to {most}"));
        }
    }
}

fn ratios(rules: &mut Rules<'_>) {
    if !(0.0..=1.0).contains(&rules.config.otel.trace_ratio) {
        rules.refuse(&["otel.trace_ratio"], "has to be from 0 to 1");
    }
}

/// The times of one client have to fit into each other.
fn patience(rules: &mut Rules<'_>) {
    let m = &rules.config.matching;
    if m.client_timeout.is_zero() {
        return;
    }
    if m.client_timeout <= m.min_answer_time {
        rules.refuse(
            &["matching.client_timeout", "matching.min_answer_time"],
            "has to be longer than matching.min_answer_time: no proxy could answer in time",
        );
    }
    if m.max_attempts > 1 && m.rematch_after >= m.client_timeout {
        rules.warn(
            &[
                "matching.rematch_after",
                "matching.client_timeout",
                "matching.max_attempts",
            ],
            "is not shorter than matching.client_timeout: there will be no second chance",
        );
    }
}
