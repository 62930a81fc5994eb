//! How much is too much, or too little.

use std::time::Duration;

use super::{MOST, Rules};
use crate::broker::limits::{FACTOR_MAX, RATE_MAX, UNCONFIRMED_FACTOR_MIN};
use crate::listener::accounts::SHARES;

/// No span is longer: far from where adding it to a point in time overflows.
const YEAR: Duration = Duration::from_hours(365 * 24);
/// More of our own proxies in front of us than this is a mistake that lets
/// clients choose their address.
const MOST_HOPS: usize = 16;
/// A hundred idle polls for each with a client is a surplus beyond all sense.
const MOST_IDLE_SHARE: f64 = 100.0;
/// More is no jitter but another interval.
const MOST_JITTER: f64 = 0.5;
/// Nobody waits longer for an answer: neither CDNs nor clients, nor proxies for an
/// offer.
const LONGEST_PATIENCE: Duration = Duration::from_secs(30);
/// Proxies that were told to come late cannot be called when clients come.
const LONGEST_CEILING: Duration = Duration::from_hours(1);

pub(super) fn check(rules: &mut Rules<'_>) {
    spans(rules);
    counts(rules);
    rates(rules);
    room(rules);
    ratios(rules);
    steering(rules);
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
        ("listener.write_timeout", c.listener.write_timeout),
        ("http.body_read_timeout", c.http.body_read_timeout),
        ("poll_interval.open", c.poll_interval.open),
        ("poll_interval.moderate", c.poll_interval.moderate),
        ("poll_interval.strict", c.poll_interval.strict),
        ("poll_interval.refused", c.poll_interval.refused),
        ("poll_interval.overloaded", c.poll_interval.overloaded),
        ("poll_interval.floor", c.poll_interval.floor),
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
        ("matching.drain_grace", c.matching.drain_grace),
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
        (
            "listener.max_connections",
            c.listener.max_connections,
            0,
            MOST,
        ),
        (
            "listener.max_connections_per_peer",
            c.listener.max_connections_per_peer,
            0,
            MOST,
        ),
        (
            "listener.http2_max_resets",
            c.listener.http2_max_resets,
            1,
            MOST,
        ),
        (
            "listener.http2_max_errors",
            c.listener.http2_max_errors,
            1,
            MOST,
        ),
        ("limits.max_addresses", c.limits.max_addresses, 1, MOST),
        ("http.max_body_bytes", c.http.max_body_bytes, 1, MOST),
        ("http.trusted_hops", c.http.trusted_hops, 0, MOST_HOPS),
        (
            "matching.client_queue_max",
            c.matching.client_queue_max,
            0,
            MOST,
        ),
        (
            "poll_interval.min_parked_polls",
            c.poll_interval.min_parked_polls,
            0,
            MOST,
        ),
        ("sqs.concurrency", c.sqs.concurrency, 1, MOST),
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

/// Of what one address, or one connection, may.
fn rates(rules: &mut Rules<'_>) {
    let (limits, listener) = (&rules.config.limits, &rules.config.listener);
    let of_one = |least| least..=RATE_MAX;
    let bounds = [
        (
            "listener.http2_max_streams",
            listener.http2_max_streams,
            of_one(1),
        ),
        (
            "listener.http2_max_streams_trusted",
            listener.http2_max_streams_trusted,
            of_one(1),
        ),
        (
            "limits.proxy_polls_per_minute",
            limits.proxy_polls_per_minute,
            of_one(0),
        ),
        (
            "limits.proxy_poll_burst",
            limits.proxy_poll_burst,
            of_one(1),
        ),
        (
            "limits.client_polls_per_minute",
            limits.client_polls_per_minute,
            of_one(0),
        ),
        (
            "limits.client_poll_burst",
            limits.client_poll_burst,
            of_one(1),
        ),
        (
            "limits.answers_per_minute",
            limits.answers_per_minute,
            of_one(0),
        ),
        ("limits.answer_burst", limits.answer_burst, of_one(1)),
        (
            "limits.intermediary_factor",
            limits.intermediary_factor,
            1..=FACTOR_MAX,
        ),
        (
            "limits.unconfirmed_factor",
            limits.unconfirmed_factor,
            UNCONFIRMED_FACTOR_MIN..=FACTOR_MAX,
        ),
    ];
    for (key, count, bounds) in bounds {
        if !bounds.contains(&count) {
            let (least, most) = (bounds.start(), bounds.end());
            rules.refuse(&[key], format!("has to be from {least} to {most}"));
        }
    }
}

/// No body could ever be read from the share of one address.
fn room(rules: &mut Rules<'_>) {
    let (http, listener) = (&rules.config.http, &rules.config.listener);
    let [share, ..] = SHARES;
    let least = http.max_body_bytes.saturating_mul(2 * share);
    if http.max_bytes_in_flight < least {
        rules.refuse(
            &["http.max_bytes_in_flight", "http.max_body_bytes"],
            format!(
                "has to be at least {least}: one address has a {share}th of it, and a body of \
                 http.max_body_bytes has to fit in with its head"
            ),
        );
    }
    let is_under = |mark| mark < http.max_bytes_in_flight / share;
    if listener.memory_high_water.is_some_and(is_under) {
        rules.refuse(
            &["listener.memory_high_water", "http.max_bytes_in_flight"],
            format!("has to be at least a {share}th of http.max_bytes_in_flight"),
        );
    }
}

fn ratios(rules: &mut Rules<'_>) {
    let c = rules.config;
    let bounds = [
        ("otel.trace_ratio", Some(c.otel.trace_ratio), 1.0),
        (
            "poll_interval.target_idle_share",
            Some(c.poll_interval.target_idle_share),
            MOST_IDLE_SHARE,
        ),
        ("poll_interval.jitter", c.poll_interval.jitter, MOST_JITTER),
    ];
    for (key, ratio, most) in bounds {
        if ratio.is_some_and(|ratio| !(0.0..=most).contains(&ratio)) {
            rules.refuse(&[key], format!("has to be from 0 to {most}"));
        }
    }
}

fn steering(rules: &mut Rules<'_>) {
    let p = &rules.config.poll_interval;
    if p.ceiling < p.floor {
        rules.refuse(
            &["poll_interval.ceiling", "poll_interval.floor"],
            "has to be at least poll_interval.floor",
        );
    }
    if p.ceiling > LONGEST_CEILING {
        rules.refuse(
            &["poll_interval.ceiling"],
            "is more than an hour: so long it would take until proxies are back",
        );
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
    if m.client_timeout > LONGEST_PATIENCE {
        rules.warn(
            &["matching.client_timeout"],
            "is more than 30 s: CDNs give up after 5 to 6 s, and proxies would go on \
             answering clients that have left",
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
