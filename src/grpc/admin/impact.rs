//! The broker's impact on clients.

use std::cmp::Reverse;
use std::time::Duration;

use crate::broker::{Broker, clock};
use crate::grpc::convert::{count, timestamp, total};
use crate::metrics::labels::{EpisodeResult, MatchOutcome};
use crate::metrics::rounded::Rounded;
use crate::metrics::{GroupResults, Impact, MatchGroup};
use crate::proto::admin::v1;

/// The impact in the window so far.
pub(super) fn impact(broker: &Broker) -> v1::Impact {
    let control = broker.control();
    let clients = control.waiting().clients;
    let impact = control.impact(clock::read());
    let episodes = &impact.episodes;
    let result = |result| total(episodes.with_result(result));
    let named = |name: fn(MatchGroup) -> Option<String>| results(&impact, name);
    v1::Impact {
        start_time: Some(timestamp(impact.start)),
        observe_time: Some(timestamp(impact.end)),
        recent_clients: count(clients.iter().map(|figures| figures.recent).sum()),
        unserved_clients: count(clients.iter().map(|figures| figures.unserved).sum()),
        most_clients: total(impact.most_clients),
        episodes_begun: total(episodes.begun()),
        episodes_served: result(EpisodeResult::Served),
        episodes_unserved: result(EpisodeResult::Unserved),
        episodes_unknown: result(EpisodeResult::Unknown),
        unserved_share: episodes.share_unserved().unwrap_or_default(),
        tries_p50: whole(episodes.tries().bound_of(0.5)),
        tries_p95: whole(episodes.tries().bound_of(0.95)),
        until_served_p50: seconds(episodes.seconds().quantile(0.5)),
        until_served_p95: seconds(episodes.seconds().quantile(0.95)),
        by_nat: named(|group| match group {
            MatchGroup::NatPair(client, proxy) => {
                Some(format!("{}, {}", client.as_str(), proxy.as_str()))
            }
            _ => None,
        }),
        by_rendezvous: named(|group| match group {
            MatchGroup::Rendezvous(way) => Some(way.to_string()),
            _ => None,
        }),
        by_type: named(|group| match group {
            MatchGroup::ProxyType(proxy_type) => Some(proxy_type.to_string()),
            _ => None,
        }),
        by_country: countries(&impact),
    }
}

fn results(impact: &Impact, name: fn(MatchGroup) -> Option<String>) -> Vec<v1::MatchResults> {
    let groups = impact.groups.iter();
    let named = groups.filter_map(|results| Some(message(name(results.group)?, results)));
    named.collect()
}

/// The countries with many addresses, with rounded counts.
fn countries(impact: &Impact) -> Vec<v1::MatchResults> {
    let shown = impact.groups.iter().filter(|results| results.is_crowd);
    let mut countries: Vec<_> = shown
        .filter_map(|results| match results.group {
            MatchGroup::Country(country) => Some(rounded(message(country.to_string(), results))),
            _ => None,
        })
        .collect();
    countries.sort_by_key(|results| {
        let matches = results.worked + results.failed + results.unknown + results.unanswered;
        (Reverse(matches), results.name.clone())
    });
    countries
}

fn message(name: String, results: &GroupResults) -> v1::MatchResults {
    let counts = &results.counts;
    v1::MatchResults {
        name,
        worked: total(counts.of(MatchOutcome::Worked)),
        failed: total(counts.of(MatchOutcome::Failed)),
        unknown: total(counts.of(MatchOutcome::Unknown)),
        unanswered: total(counts.of(MatchOutcome::Unanswered)),
        success_share: counts.share_that_worked().unwrap_or_default(),
    }
}

/// The same with rounded counts, and the share that follows from them.
#[expect(clippy::cast_precision_loss, reason = "no broker counts to 2^53")]
fn rounded(results: v1::MatchResults) -> v1::MatchResults {
    let round = |count: i64| total(Rounded::from(u64::try_from(count).unwrap_or(0)).get());
    let (worked, failed) = (round(results.worked), round(results.failed));
    let unanswered = round(results.unanswered);
    let known = worked + failed + unanswered;
    v1::MatchResults {
        name: results.name,
        worked,
        failed,
        unknown: round(results.unknown),
        unanswered,
        success_share: worked as f64 / known.max(1) as f64,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "it is the bound of a bucket"
)]
fn whole(bound: Option<f64>) -> i64 {
    bound.unwrap_or_default() as i64
}

fn seconds(quantile: Option<f64>) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(Duration::from_secs_f64(quantile?)).ok()
}
