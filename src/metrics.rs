//! Counters of the broker and the forms in which they are kept and published.
//!
//! [`Metrics`] is the entry point. A poll is counted when it arrives, by a record that is
//! later closed with the poll's outcome. A record that is dropped counts as abandoned, so
//! every poll has exactly one outcome whatever happens to its request.
//!
//! Polls and answers are counted in one exact set of counters, which is read in four
//! ways: as Prometheus families, as the rounded families of the reference broker, as the
//! window of the metrics log, and as the activity of the last minutes. The metrics log
//! and the reference broker's families include only clients that were matched, denied or
//! timed out.
//!
//! The [`Impact`] on clients is counted when the results of matches become known, and read
//! as Prometheus families, by operators, and as the line of a window in the impact log.

pub mod backlog;
mod by_country;
mod cluster;
mod counter_families;
mod counters;
mod counting;
mod crowd;
pub mod distinct_ips;
mod distribution;
mod episodes;
mod events;
pub mod exposition;
mod families;
mod gauges;
pub mod history;
mod history_recorder;
mod impact;
pub mod impact_log;
pub mod ip_recordings;
pub mod labels;
pub mod latencies;
mod merged;
mod nat_probes;
mod private_pools;
mod process;
mod published;
pub mod published_log;
pub mod recent;
mod records;
pub mod rounded;
pub mod saved_impact;
pub mod saved_state;
pub mod schedule;
mod settings;
pub mod stats_log;
mod timestamp;
pub mod window;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::geoip::GeoIp;
use crate::wire::nat::NatType;
use crate::wire::proxy::{ProxyPoll, ProxyType, ProxyTypes};

pub use counting::LabelledTypes;
pub use crowd::HourlyHash;
pub use distribution::Distribution;
pub use episodes::EpisodeCounts;
pub use gauges::{ClientFigures, GaugeSnapshot, MemoryFigures, PeerFigures};
pub use impact::{GroupResults, Impact, MatchEnd, MatchGroup, OutcomeCounts};
pub use private_pools::PrivatePoolFigures;
pub use process::ProcessFigures;
pub use records::{ClientPollRecord, ProxyPollRecord};
pub use settings::Settings;

use cluster::ClusterFamilies;
use counter_families::{OperatorFamilies, PublishedFamilies};
use counters::{AnswerEnd, ArrivalPattern};
use counting::{Counting, SharedCounting};
use distinct_ips::WindowKey;
use exposition::Format;
use families::{Families, Registries};
use history_recorder::HistoryRecorder;
use ip_recordings::Recording;
use labels::{AnswerFate, Refusal, Rendezvous};
use nat_probes::NatProbeFamilies;
use private_pools::PrivatePoolFamilies;
use process::ProcessMetrics;
use recent::RecentActivity;
use saved_impact::SavedImpact;
use saved_state::SavedState;
use stats_log::StatsBlock;

/// All counters and gauges of the broker.
#[derive(Debug)]
pub struct Metrics {
    start: SystemTime,
    registries: Registries,
    families: Families,
    cluster: ClusterFamilies,
    nat_probes: NatProbeFamilies,
    private_pools: PrivatePoolFamilies,
    process: ProcessMetrics,
    counting: SharedCounting,
    history: HistoryRecorder,
}

/// A window that has ended, for the logs.
#[derive(Clone, Debug)]
pub struct EndedWindow {
    /// The block of the metrics log.
    pub block: StatsBlock,
    /// The impact, for the impact log.
    pub impact: Impact,
}

impl Metrics {
    /// Starts all counters at 0, in a window that begins at `start`, with the default types
    /// of proxies. `key` must be random.
    pub fn new(start: SystemTime, key: WindowKey) -> Self {
        Self::labelled(start, key, LabelledTypes::default())
    }

    /// The same with these types of proxies.
    pub fn labelled(start: SystemTime, key: WindowKey, types: LabelledTypes) -> Self {
        let mut registries = Registries::default();
        let families = Families::register(&mut registries, types.counted.clone());
        let counting = SharedCounting::new(start, key, types);
        let Registries { all, published } = &mut registries;
        for registry in [&mut *all, published] {
            registry.register_collector(Box::new(PublishedFamilies {
                counting: counting.clone(),
                available_proxies: families.available_proxies.clone(),
            }));
        }
        all.register_collector(Box::new(OperatorFamilies(counting.clone())));
        Self {
            start,
            families,
            cluster: ClusterFamilies::register(all),
            nat_probes: NatProbeFamilies::register(all),
            private_pools: PrivatePoolFamilies::register(all),
            process: ProcessMetrics::register(all, start),
            registries,
            counting,
            history: HistoryRecorder::default(),
        }
    }

    /// The types of proxies that are told apart.
    pub fn proxy_types(&self) -> &ProxyTypes {
        &self.families.proxy_types
    }

    /// Starts keeping sketches of proxy addresses for [`Self::end_recording`].
    pub fn start_recording(&self) {
        self.counting.lock().recorder.get_or_insert_default();
    }

    /// Counts a proxy's poll on arrival.
    pub fn begin_proxy_poll(&self, poll: &ProxyPoll) -> ProxyPollRecord<'_> {
        let pattern = match poll.accepted_relay_pattern {
            Some(_) => ArrivalPattern::With,
            None => ArrivalPattern::Without,
        };
        ProxyPollRecord::begin(&self.counting, poll.proxy_type, poll.nat, pattern)
    }

    /// Counts a request to `/proxy` that is not accepted as a poll.
    pub fn bad_proxy_poll(&self, reason: Refusal) {
        let (r#type, nat) = (ProxyType::UNKNOWN, NatType::Unknown);
        let record = ProxyPollRecord::begin(&self.counting, r#type, nat, ArrivalPattern::NotRead);
        record.refuse(reason);
    }

    /// Counts the address of a proxy whose relay pattern allows it to serve.
    pub fn proxy_seen(&self, address: IpAddr, poll: &ProxyPoll) {
        let mut counting = self.counting.lock();
        counting.proxy_seen(address, poll.proxy_type, poll.nat);
    }

    /// Counts a client's poll on arrival, with the client's address if it is known.
    pub fn begin_client_poll(
        &self,
        rendezvous: Rendezvous,
        address: Option<IpAddr>,
        nat: NatType,
    ) -> ClientPollRecord<'_> {
        ClientPollRecord::begin(&self.counting, rendezvous, address, nat)
    }

    /// Counts a client's request that is not accepted as a poll.
    pub fn bad_client_poll(&self, rendezvous: Rendezvous, reason: Refusal) {
        self.begin_client_poll(rendezvous, None, NatType::Unknown)
            .refuse(reason);
    }

    /// Counts a request to `/answer` that is not accepted as an answer.
    pub fn bad_proxy_answer(&self, reason: Refusal) {
        self.answered(AnswerEnd {
            r#type: ProxyType::UNKNOWN,
            outcome: AnswerFate::Refused,
            refusal: Some(reason),
        });
    }

    /// Counts a proxy's answer.
    pub fn proxy_answered(&self, proxy_type: ProxyType, outcome: AnswerFate) {
        self.answered(AnswerEnd {
            r#type: proxy_type,
            outcome,
            refusal: None,
        });
    }

    /// Counts a match whose outcome is known.
    pub fn match_ended(&self, end: MatchEnd) {
        self.counting.lock().counters.impact.match_ended(end);
    }

    /// Counts episodes of clients. `clients` is the number of different clients in the last
    /// two minutes.
    pub fn count_episodes(&self, episodes: &EpisodeCounts, clients: usize) {
        let mut counting = self.counting.lock();
        let impact = &mut counting.counters.impact;
        impact.episodes(episodes, clients as u64);
    }

    /// Holds proxies and clients back until [`Self::know_countries`] or
    /// [`Self::stop_awaiting_countries`] is called.
    pub fn await_countries(&self) {
        self.counting.lock().await_countries();
    }

    /// Uses these country databases from now on, and counts the proxies and clients held
    /// back. Does nothing if they are already in use.
    pub fn know_countries(&self, geoip: Arc<GeoIp>) {
        let databases = i64::from(geoip.has_ipv4()) + i64::from(geoip.has_ipv6());
        if self.counting.lock().know_countries(geoip) {
            self.families.country_databases.set(databases);
        }
    }

    /// Counts the proxies and clients held back with the databases in use now, and counts
    /// later ones at once.
    pub fn stop_awaiting_countries(&self) {
        self.counting.lock().stop_awaiting_countries();
    }

    /// Takes a sample of the counters for [`Self::activity`]. To be called every
    /// [`recent::SAMPLE_INTERVAL`].
    pub fn sample(&self, now: Instant) {
        self.counting.lock().sample(now);
    }

    /// Returns the polls that arrived and ended in the last `span`, at most an hour.
    pub fn activity(&self, now: Instant, span: Duration) -> RecentActivity {
        self.counting.lock().activity(now, span)
    }

    /// The time at which counting began.
    pub fn start(&self) -> SystemTime {
        self.start
    }

    /// Returns all families as text. Process figures are shown if they are given.
    pub fn expose(
        &self,
        gauges: &GaugeSnapshot,
        process: Option<ProcessFigures>,
        format: Format,
    ) -> String {
        self.refresh(gauges, process);
        format.convert(exposition::encode(&self.registries.all))
    }

    /// Returns the reference broker's families as text; anyone may read them.
    pub fn expose_published(&self, gauges: &GaugeSnapshot, format: Format) -> String {
        self.refresh(gauges, None);
        format.convert(exposition::encode(&self.registries.published))
    }

    /// Returns all series without a country label, as OpenMetrics text. Countries are for
    /// the operator's own Prometheus only, so they are never exported to other systems.
    /// Process figures are treated as in [`Self::expose`].
    pub fn export(&self, gauges: &GaugeSnapshot, process: Option<ProcessFigures>) -> String {
        exposition::without_countries(&self.expose(gauges, process, Format::OpenMetrics))
    }

    /// The state to save so that the window continues after a restart.
    pub fn save(&self) -> SavedState {
        self.saved(&self.counting.lock())
    }

    fn saved(&self, counting: &Counting) -> SavedState {
        let now = counting.window.start;
        SavedState {
            impact: SavedImpact::of(&counting.impact(self.start, now)),
            ..counting.save()
        }
    }

    /// Continues a saved window under a new key. To be called before anything is counted.
    pub fn restore(&self, saved: SavedState, key: WindowKey) {
        self.counting.lock().restore(saved, key);
    }

    /// The beginning of the window.
    pub fn window_start(&self) -> SystemTime {
        self.counting.lock().window.start
    }

    /// The time left of a window of this length; zero if it is over. If the clock was set
    /// back to before the window's start, the window starts now.
    pub fn window_remaining(&self, length: Duration, now: SystemTime) -> Duration {
        let mut counting = self.counting.lock();
        schedule::remaining(&mut counting.window.start, length, now)
    }

    /// Moves the window's start after the clock was set.
    pub fn clock_was_set(&self, step: schedule::Step) {
        let mut counting = self.counting.lock();
        counting.window.start = step.apply(counting.window.start);
    }

    /// The block of the window so far, as if the window ended now.
    pub fn block(&self, now: SystemTime) -> StatsBlock {
        self.counting.lock().block(now)
    }

    /// The impact in the window so far.
    pub fn impact(&self, now: SystemTime) -> Impact {
        self.counting.lock().impact(self.start, now)
    }

    /// Ends the window and begins the next one under a new random key.
    pub fn end_window(&self, now: SystemTime, key: WindowKey) -> EndedWindow {
        let mut counting = self.counting.lock();
        EndedWindow {
            impact: counting.impact(self.start, now),
            block: counting.end_window(now, key),
        }
    }

    /// Ends the window and begins the next one under a new random key. Returns what was
    /// counted, to be merged with what other nodes have counted; see [`Self::merged`].
    pub fn take_window(&self, now: SystemTime, key: WindowKey) -> SavedState {
        let mut counting = self.counting.lock();
        let taken = self.saved(&counting);
        counting.end_window(now, key);
        taken
    }

    /// The blocks of a window of which these are the parts, one of each node.
    pub fn merged(
        &self,
        parts: impl IntoIterator<Item = SavedState>,
        start: SystemTime,
        end: SystemTime,
    ) -> EndedWindow {
        // Not under the lock, because estimates take some milliseconds.
        let types = self.counting.lock().types.clone();
        merged::merged(parts, &types, start, end)
    }

    /// Ends the period of the sketches and begins the next one.
    pub fn end_recording(
        &self,
        start: SystemTime,
        end: SystemTime,
    ) -> Vec<(ProxyType, NatType, Recording)> {
        let mut counting = self.counting.lock();
        let recorder = counting.recorder.as_mut();
        recorder.map_or_else(Vec::new, |recorder| {
            recorder.end_period(start, end).collect()
        })
    }

    fn answered(&self, end: AnswerEnd) {
        self.counting.lock().counters.answers.add(end);
    }

    /// Updates the gauges.
    fn refresh(&self, gauges: &GaugeSnapshot, process: Option<ProcessFigures>) {
        self.families.show(gauges);
        self.private_pools.show(&gauges.private_pools);
        if let Some(figures) = process {
            self.process.set(figures);
        }
    }
}
