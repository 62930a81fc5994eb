//! The counts of the current metrics-log block.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::time::SystemTime;

use crate::grpc::convert::{timestamp, total};
use crate::metrics::Metrics;
use crate::proto::admin::v1;

/// The block as if it ended now.
pub(super) fn stats(metrics: &Metrics, now: SystemTime) -> v1::Stats {
    let block = metrics.block(now);
    let text = block.encode();
    let (counts, ips) = (block.counts, block.ips);
    let client_polls = counts
        .client_polls
        .iter()
        .map(|(by, polls)| (by, polls.values().sum()));
    v1::Stats {
        start_time: Some(timestamp(metrics.window_start())),
        observe_time: Some(timestamp(now)),
        text,
        unique_ips: total(ips.total),
        unique_ips_by_type: by_word(&ips.by_type),
        unique_ips_by_nat: by_word(&ips.by_nat),
        idle_proxy_polls: total(counts.idle),
        proxy_polls_with_relay_pattern: total(counts.with_relay_pattern),
        proxy_polls_without_relay_pattern: total(counts.without_relay_pattern),
        proxy_polls_with_rejected_pattern: total(counts.rejected_relay_pattern),
        matched_clients: total(counts.matched),
        timed_out_clients: total(counts.timed_out),
        denied_clients_by_nat: by_word(&counts.denied),
        client_polls_by_rendezvous: by_word(&client_polls.collect()),
    }
}

fn by_word<L: Display>(counts: &BTreeMap<L, u64>) -> HashMap<String, i64> {
    let counts = counts.iter();
    counts
        .map(|(label, count)| (label.to_string(), total(*count)))
        .collect()
}
