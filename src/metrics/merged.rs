//! A window of a cluster: what its nodes have counted, taken together.

use std::time::SystemTime;

use super::EndedWindow;
use super::counting::LabelledTypes;
use super::episodes::EpisodeCounts;
use super::impact::Impact;
use super::saved_state::SavedState;
use super::stats_log::StatsBlock;

/// The blocks of the window with these parts. Counts are added; an address that several
/// nodes have seen counts once.
pub(super) fn merged(
    parts: impl IntoIterator<Item = SavedState>,
    types: &LabelledTypes,
    start: SystemTime,
    end: SystemTime,
) -> EndedWindow {
    let whole = parts.into_iter().reduce(SavedState::merge);
    let impact = whole.as_ref().and_then(|whole| whole.impact.as_ref());
    let impact = match impact {
        Some(saved) => Impact {
            start: start.max(saved.impact(&types.counted).start),
            end,
            ..saved.impact(&types.counted)
        },
        None => Impact {
            start,
            end,
            most_clients: 0,
            episodes: EpisodeCounts::default(),
            groups: Vec::new(),
        },
    };
    let (counts, ips) = whole.map(|whole| (whole.counts, whole.ips)).unzip();
    EndedWindow {
        block: StatsBlock {
            end,
            length: end.duration_since(start).unwrap_or_default(),
            counts: counts.unwrap_or_default(),
            ips: ips
                .map(|ips| ips.counts(&types.counted))
                .unwrap_or_default(),
            types: types.published.clone(),
        },
        impact,
    }
}

impl SavedState {
    /// Both as one window.
    fn merge(self, other: Self) -> Self {
        Self {
            window_start: self.window_start.min(other.window_start),
            counts: self.counts.with(&other.counts, u64::saturating_add),
            ips: self.ips.merge(other.ips),
            impact: match (self.impact, other.impact) {
                (Some(ours), Some(theirs)) => Some(ours.merge(theirs)),
                (ours, theirs) => ours.or(theirs),
            },
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::metrics::distinct_ips::WindowKey;
    use crate::metrics::labels::{MatchOutcome, Rendezvous};
    use crate::metrics::{HourlyHash, MatchEnd, Metrics};
    use crate::wire::nat::{NatClass, NatType};
    use crate::wire::proxy::{ProxyPoll, ProxyTypes};

    const KEY: [u8; 16] = [1; 16];

    fn metrics() -> Metrics {
        Metrics::new(SystemTime::UNIX_EPOCH, WindowKey::from(KEY))
    }

    fn end() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_hours(24)
    }

    /// An idle poll of a proxy, a client, and the result of its match.
    fn count(metrics: &Metrics, number: u8) {
        let kind = ["standalone", "webext"][usize::from(number % 2)];
        let poll = format!(r#"{{"Sid":"a","Version":"1.3","Type":"{kind}"}}"#);
        let poll = ProxyPoll::decode(poll.as_bytes(), &ProxyTypes::default()).unwrap();
        metrics.begin_proxy_poll(&poll).idle();
        let address = IpAddr::from(Ipv4Addr::new(5, 9, 0, number));
        metrics.proxy_seen(address, &poll);
        let nat = NatType::ALL[usize::from(number) % NatType::ALL.len()];
        let client = metrics.begin_client_poll(Rendezvous::Http, None, nat);
        match number % 3 {
            0 => client.denied(),
            1 => client.timed_out(),
            _ => client.matched(1, Duration::ZERO, Duration::ZERO),
        }
        metrics.match_ended(MatchEnd {
            outcome: MatchOutcome::ALL[usize::from(number) % MatchOutcome::ALL.len()],
            client: NatClass::Strict,
            country: "RU".parse().unwrap(),
            address: Some(HourlyHash {
                hour: 1,
                hash: number.into(),
            }),
            proxy: None,
            rendezvous: Rendezvous::Http,
        });
    }

    fn encoded(window: &EndedWindow) -> (String, String) {
        (window.block.encode(), window.impact.encode())
    }

    #[test]
    fn a_window_without_parts_has_nothing_in_it() {
        let nothing = metrics().end_window(end(), WindowKey::from(KEY));
        let start = SystemTime::UNIX_EPOCH;
        assert_eq!(
            encoded(&metrics().merged([], start, end())),
            encoded(&nothing)
        );
    }

    #[test]
    fn what_is_taken_is_counted_no_more() {
        let metrics = metrics();
        count(&metrics, 7);
        let taken = metrics.take_window(end(), WindowKey::from(KEY));
        assert_eq!(taken.counts.idle, 1);
        assert_eq!(metrics.window_start(), end());
        assert_eq!(metrics.save().counts.idle, 0);
    }

    proptest! {
        /// Whichever node sees whom: the block is that of one broker that has seen all.
        #[test]
        fn nodes_count_together_as_one_broker(
            seen in prop::collection::vec((0..40u8, 0..3usize), 0..60),
        ) {
            let (one, nodes) = (metrics(), [metrics(), metrics(), metrics()]);
            for &(number, node) in &seen {
                count(&one, number);
                count(&nodes[node], number);
            }
            let key = || WindowKey::from(KEY);
            let parts = nodes.map(|node| node.take_window(end(), key()));
            let merged = one.merged(parts.clone(), SystemTime::UNIX_EPOCH, end());
            let whole = one.end_window(end(), key());
            prop_assert_eq!(encoded(&merged).0, encoded(&whole).0);
            prop_assert_eq!(merged.impact.episodes, whole.impact.episodes);
            let sum = |impact: &Impact| {
                let groups = impact.groups.iter();
                groups.map(|results| results.counts.of(MatchOutcome::Worked)).sum::<u64>()
            };
            prop_assert_eq!(sum(&merged.impact), sum(&whole.impact));
            // A crowd only if at one node there is one.
            let is_crowd = |impact: &Impact| impact.groups.iter().any(|group| group.is_crowd);
            prop_assert!(!is_crowd(&merged.impact) || is_crowd(&whole.impact));
        }
    }
}
