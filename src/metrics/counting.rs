//! The counters and their readers under one lock, so that each reader sees a consistent
//! state.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::by_country::{CountryLookup, Visitor};
use super::counters::{ClientPollEnd, Counters, UniqueProxy};
use super::distinct_ips::{DistinctIps, WindowKey};
use super::impact::Impact;
use super::ip_recordings::IpRecorder;
use super::published;
use super::recent::{RecentActivity, Samples, Totals};
use super::saved_state::SavedState;
use super::stats_log::StatsBlock;
use super::window::WindowCounts;
use crate::geoip::{CountryCode, GeoIp};
use crate::wire::nat::NatType;
use crate::wire::proxy::{ProxyType, ProxyTypes};

/// The counters, shared by all threads that count or read.
#[derive(Clone, Debug)]
pub(super) struct SharedCounting(Arc<Mutex<Counting>>);

/// The types of proxies in the metrics.
#[derive(Clone, Debug, Default)]
pub struct LabelledTypes {
    /// Those that are told apart.
    pub counted: ProxyTypes,
    /// Those with a line in the metrics log, besides the five that always have one.
    pub published: Vec<ProxyType>,
}

/// The counters, and the readers that work on differences of them.
#[derive(Debug)]
pub(super) struct Counting {
    pub(super) counters: Counters,
    pub(super) window: Window,
    pub(super) recorder: Option<IpRecorder>,
    pub(super) types: LabelledTypes,
    countries: CountryLookup,
    samples: Samples,
}

/// The time since `start`, which the next block of the metrics log will cover.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) start: SystemTime,
    ips: DistinctIps,
    /// The counters at the start of the window, or of this process if that is later.
    before: WindowCounts,
    /// The window's counts from before this process started.
    restored: WindowCounts,
}

impl SharedCounting {
    pub(super) fn new(start: SystemTime, key: WindowKey, types: LabelledTypes) -> Self {
        Self(Arc::new(Mutex::new(Counting {
            counters: Counters::new(&types.counted),
            window: Window::new(start, key),
            recorder: None,
            types,
            countries: CountryLookup::default(),
            samples: Samples::default(),
        })))
    }

    /// The lock, even if a holder panicked: the counters are consistent at any time.
    pub(super) fn lock(&self) -> MutexGuard<'_, Counting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counting {
    /// Counts the address of a proxy whose relay pattern allows it to serve.
    pub(super) fn proxy_seen(&mut self, address: IpAddr, r#type: ProxyType, nat: NatType) {
        if let Some(recorder) = &mut self.recorder {
            recorder.record(address, r#type, nat);
        }
        self.locate(Visitor::Proxy(address, r#type, nat));
    }

    /// Counts a client's poll that has ended, and its country if the outcome is
    /// published.
    pub(super) fn client_ended(&mut self, address: Option<IpAddr>, end: ClientPollEnd) {
        self.counters.client_polls.add(end);
        if published::client_poll(end.outcome).is_none() {
            return;
        }
        match address {
            Some(address) => self.locate(Visitor::Client(address, end)),
            None => self.count_country(end, CountryCode::UNKNOWN),
        }
    }

    /// Starts holding visitors until the country databases are there.
    pub(super) fn await_countries(&mut self) {
        self.countries.wait();
    }

    /// Counts the visitors held, with the databases in use now.
    pub(super) fn stop_awaiting_countries(&mut self) {
        for visitor in self.countries.stop_waiting() {
            self.count(visitor);
        }
    }

    /// Uses these country databases from now on. Returns false if they were already in
    /// use.
    pub(super) fn know_countries(&mut self, geoip: Arc<GeoIp>) -> bool {
        let is_new = self.countries.learn(geoip);
        if is_new {
            self.stop_awaiting_countries();
        }
        is_new
    }

    pub(super) fn sample(&mut self, now: Instant) {
        self.samples.push(now, Totals::of(&self.counters));
    }

    pub(super) fn activity(&self, now: Instant, span: Duration) -> RecentActivity {
        self.samples
            .activity(now, span, &Totals::of(&self.counters))
    }

    /// The block of the window so far, as if the window ended now.
    pub(super) fn block(&self, now: SystemTime) -> StatsBlock {
        StatsBlock {
            types: self.types.published.clone(),
            ..self.window.block(&self.counters, now)
        }
    }

    /// The impact in the window so far.
    pub(super) fn impact(&self, process_start: SystemTime, now: SystemTime) -> Impact {
        let impact = &self.counters.impact;
        impact.window(self.window.start, process_start, now)
    }

    /// Ends the window and begins the next one.
    pub(super) fn end_window(&mut self, now: SystemTime, key: WindowKey) -> StatsBlock {
        let block = self.block(now);
        self.counters.impact.end_window();
        self.window = Window {
            before: WindowCounts::of(&self.counters),
            ..Window::new(now, key)
        };
        block
    }

    pub(super) fn save(&self) -> SavedState {
        SavedState {
            window_start: self.window.start,
            counts: self.window.counts(&self.counters),
            ips: self.window.ips.save(),
            unwritten: Vec::new(),
            impact: None,
            unwritten_impact: Vec::new(),
            share: None,
        }
    }

    pub(super) fn restore(&mut self, saved: SavedState, key: WindowKey) {
        if let Some(impact) = &saved.impact {
            let impact = impact.impact(&self.types.counted);
            self.counters.impact.restore(&impact);
        }
        self.window = Window {
            start: saved.window_start,
            ips: DistinctIps::restore(
                key,
                DistinctIps::DEFAULT_LIMIT,
                saved.ips,
                &self.types.counted,
            ),
            before: WindowCounts::of(&self.counters),
            restored: saved.counts,
        };
    }

    fn locate(&mut self, visitor: Visitor) {
        if let Some(visitor) = self.countries.hold(visitor) {
            self.count(visitor);
        }
    }

    fn count(&mut self, visitor: Visitor) {
        match visitor {
            Visitor::Proxy(address, r#type, nat) => {
                let country = self.countries.lookup(address);
                if self.window.ips.record(address, country, r#type, nat) {
                    let proxy = UniqueProxy {
                        r#type,
                        nat,
                        country,
                    };
                    self.counters.unique_proxies.add(proxy);
                }
            }
            Visitor::Client(address, end) => {
                self.count_country(end, self.countries.lookup(address));
            }
        }
    }

    fn count_country(&mut self, end: ClientPollEnd, country: CountryCode) {
        let located = ClientPollEnd {
            country: Some(country),
            ..end
        };
        self.counters.client_polls.move_one(&end, located);
    }
}

impl Window {
    fn new(start: SystemTime, key: WindowKey) -> Self {
        Self {
            start,
            ips: DistinctIps::new(key, DistinctIps::DEFAULT_LIMIT),
            before: WindowCounts::default(),
            restored: WindowCounts::default(),
        }
    }

    fn block(&self, counters: &Counters, now: SystemTime) -> StatsBlock {
        StatsBlock {
            end: now,
            // If the clock was set back, the length is zero rather than negative.
            length: now.duration_since(self.start).unwrap_or_default(),
            types: Vec::new(),
            counts: self.counts(counters),
            ips: self.ips.counts(),
        }
    }

    fn counts(&self, counters: &Counters) -> WindowCounts {
        let since = WindowCounts::of(counters).with(&self.before, u64::saturating_sub);
        since.with(&self.restored, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metrics::Metrics;
    use crate::metrics::labels::{Refusal, Rendezvous};
    use crate::wire::proxy::{ProxyPoll, ProxyTypes};

    /// A state written by a release whose counters were not yet one set: three polls of a
    /// proxy with a relay pattern, one poll of another proxy without, and a client that
    /// was denied.
    const EARLIER: &str = r#"{"version":1,"window":{"window_start":"2026-11-28T23:22:42.289901305Z","counts":{"idle":4,"with_relay_pattern":3,"without_relay_pattern":1,"rejected_relay_pattern":0,"denied":{"strict":1},"matched":0,"timed_out":0,"client_polls":{"http":{"??":1}}},"ips":{"total":{"count":1,"sketch":"s17.9:G8IT"},"by_country":{"??":{"count":1,"sketch":"s17.9:G8IT"}},"by_type":{"standalone":{"count":1,"sketch":"s17.9:G8IT"},"webext":{"count":1,"sketch":"s17.9:G8IT"}},"by_nat":{"restricted":{"count":1,"sketch":"s17.9:G8IT"},"unrestricted":{"count":1,"sketch":"s17.9:G8IT"}}}}}"#;

    fn key() -> WindowKey {
        WindowKey::from([1; 16])
    }

    fn metrics() -> Metrics {
        Metrics::new(SystemTime::UNIX_EPOCH, key())
    }

    fn counts(metrics: &Metrics) -> WindowCounts {
        metrics.block(SystemTime::UNIX_EPOCH).counts
    }

    fn poll() -> ProxyPoll {
        ProxyPoll::decode(br#"{"Sid":"a","Version":"1.3"}"#, &ProxyTypes::default()).unwrap()
    }

    fn count(metrics: &Metrics, event: u8) {
        let nat = NatType::ALL[usize::from(event) % NatType::ALL.len()];
        let rendezvous = Rendezvous::ALL[usize::from(event) % Rendezvous::ALL.len()];
        let client = || metrics.begin_client_poll(rendezvous, None, nat);
        match event % 8 {
            0 => metrics.begin_proxy_poll(&poll()).idle(),
            1 => metrics.begin_proxy_poll(&poll()).matched(),
            2 => metrics.begin_proxy_poll(&poll()).refuse(Refusal::Pattern),
            3 => metrics.bad_proxy_poll(Refusal::BadRequest),
            4 => client().denied(),
            5 => client().timed_out(),
            6 => client().matched(1, Duration::ZERO, Duration::ZERO),
            _ => drop(client()),
        }
    }

    #[test]
    fn the_state_of_an_earlier_release_goes_on() {
        let metrics = metrics();
        let saved = SavedState::decode(EARLIER.as_bytes()).unwrap();
        let restored = saved.counts.clone();
        metrics.restore(saved, key());
        assert_eq!(metrics.save().encode(), EARLIER);
        metrics.begin_proxy_poll(&poll()).idle();
        metrics
            .begin_client_poll(Rendezvous::Http, None, NatType::Strict)
            .denied();
        let expected = WindowCounts {
            idle: 5,
            without_relay_pattern: 2,
            denied: [(NatType::Strict, 2)].into(),
            client_polls: [(Rendezvous::Http, [(CountryCode::UNKNOWN, 2)].into())].into(),
            ..restored
        };
        assert_eq!(counts(&metrics), expected);
        metrics.end_window(SystemTime::UNIX_EPOCH, key());
        assert_eq!(counts(&metrics), WindowCounts::default());
    }

    /// Its addresses still count in all.
    #[test]
    fn a_type_that_is_no_longer_told_apart_is_dropped_from_the_window() {
        let types = LabelledTypes {
            counted: ProxyTypes::new(["webext", "my-app"]),
            published: Vec::new(),
        };
        let metrics = Metrics::labelled(SystemTime::UNIX_EPOCH, key(), types);
        metrics.restore(SavedState::decode(EARLIER.as_bytes()).unwrap(), key());
        let ips = metrics.block(SystemTime::UNIX_EPOCH).ips;
        assert_eq!(
            (ips.total, ips.by_type),
            (1, [(ProxyType::WEBEXT, 1)].into())
        );
    }

    proptest! {
        /// Holds however often windows end and the process restarts.
        #[test]
        fn the_windows_together_have_every_event_once(
            events in prop::collection::vec((any::<u8>(), 0..10u8), 0..60),
        ) {
            let (in_one, mut in_many) = (metrics(), metrics());
            let mut sum = WindowCounts::default();
            for (event, then) in events {
                count(&in_one, event);
                count(&in_many, event);
                if then == 0 {
                    let block = in_many.end_window(SystemTime::UNIX_EPOCH, key()).block;
                    sum = sum.with(&block.counts, u64::saturating_add);
                }
                if then == 1 {
                    let saved = in_many.save();
                    in_many = metrics();
                    in_many.restore(saved, key());
                }
            }
            let sum = sum.with(&counts(&in_many), u64::saturating_add);
            prop_assert_eq!(sum, counts(&in_one));
        }
    }
}
