//! The counts of the broker, and the forms in which they are kept and published.
//!
//! [`Metrics`] is all of it. A poll is counted when it comes, by a record that
//! is ended with its outcome; a record that is dropped counts as abandoned, so
//! that the books balance whatever happens to the request. Polls and answers are
//! counted in one exact set, which is read in four ways: as Prometheus' families, as the
//! rounded ones of the reference broker, as the window of the metrics log, and as the
//! last minutes. The metrics log and the reference broker's families know of clients
//! only those that were matched, denied or timed out.

pub mod backlog;
mod by_country;
mod counter_families;
mod counters;
mod counting;
pub mod distinct_ips;
mod events;
pub mod exposition;
mod families;
mod gauges;
pub mod ip_recordings;
pub mod labels;
pub mod latencies;
mod process;
mod published;
pub mod published_log;
pub mod recent;
mod records;
pub mod rounded;
pub mod saved_state;
pub mod schedule;
mod settings;
pub mod stats_log;
mod timestamp;
pub mod window;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use prometheus_client::encoding::prometheus_protobuf;

use crate::geoip::GeoIp;
use crate::wire::nat::NatType;
use crate::wire::proxy::{ProxyPoll, ProxyType};

pub use gauges::{GaugeSnapshot, MemoryFigures, PeerFigures};
pub use process::ProcessFigures;
pub use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::MetricFamily;
pub use records::{ClientPollRecord, ProxyPollRecord};
pub use settings::Settings;

use counter_families::{OperatorFamilies, PublishedFamilies};
use counters::{AnswerEnd, ArrivalPattern};
use counting::SharedCounting;
use distinct_ips::WindowKey;
use exposition::Format;
use families::{Families, Registries};
use ip_recordings::Recording;
use labels::{AnswerFate, Refusal, Rendezvous};
use process::ProcessMetrics;
use recent::RecentActivity;
use saved_state::SavedState;
use stats_log::StatsBlock;

/// All that is counted.
#[derive(Debug)]
pub struct Metrics {
    start: SystemTime,
    registries: Registries,
    families: Families,
    process: ProcessMetrics,
    counting: SharedCounting,
}

impl Metrics {
    /// Everything at 0, in a window that begins at `start`. `key` is random.
    pub fn new(start: SystemTime, key: WindowKey) -> Self {
        let counting = SharedCounting::new(start, key);
        let mut registries = Registries::default();
        let families = Families::register(&mut registries);
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
            process: ProcessMetrics::register(all, start),
            registries,
            counting,
        }
    }

    /// Also keeps sketches for [`Self::end_recording`] from now on.
    pub fn start_recording(&self) {
        self.counting.lock().recorder.get_or_insert_default();
    }

    /// A proxy polls.
    pub fn begin_proxy_poll(&self, poll: &ProxyPoll) -> ProxyPollRecord<'_> {
        let pattern = match poll.accepted_relay_pattern {
            Some(_) => ArrivalPattern::With,
            None => ArrivalPattern::Without,
        };
        ProxyPollRecord::begin(&self.counting, poll.proxy_type, poll.nat, pattern)
    }

    /// Something came to `/proxy` that is not taken for a poll.
    pub fn bad_proxy_poll(&self, reason: Refusal) {
        let (r#type, nat) = (ProxyType::Unknown, NatType::Unknown);
        let record = ProxyPollRecord::begin(&self.counting, r#type, nat, ArrivalPattern::NotRead);
        record.refuse(reason);
    }

    /// A proxy that may serve polls from this address.
    pub fn proxy_seen(&self, address: IpAddr, poll: &ProxyPoll) {
        let mut counting = self.counting.lock();
        counting.proxy_seen(address, poll.proxy_type, poll.nat);
    }

    /// A client polls, from this address if it is known.
    pub fn begin_client_poll(
        &self,
        rendezvous: Rendezvous,
        address: Option<IpAddr>,
        nat: NatType,
    ) -> ClientPollRecord<'_> {
        ClientPollRecord::begin(&self.counting, rendezvous, address, nat)
    }

    /// Something came to where clients poll that is not taken for a poll.
    pub fn bad_client_poll(&self, rendezvous: Rendezvous, reason: Refusal) {
        self.begin_client_poll(rendezvous, None, NatType::Unknown)
            .refuse(reason);
    }

    /// Something came to `/answer` that is not taken for an answer.
    pub fn bad_proxy_answer(&self, reason: Refusal) {
        self.answered(AnswerEnd {
            r#type: ProxyType::Unknown,
            outcome: AnswerFate::Refused,
            refusal: Some(reason),
        });
    }

    /// A proxy answers.
    pub fn proxy_answered(&self, proxy_type: ProxyType, outcome: AnswerFate) {
        self.answered(AnswerEnd {
            r#type: proxy_type,
            outcome,
            refusal: None,
        });
    }

    /// Keeps those who come from now on until [`Self::know_countries`], or
    /// [`Self::stop_awaiting_countries`].
    pub fn await_countries(&self) {
        self.counting.lock().await_countries();
    }

    /// This is known of countries from now on, and of those who are kept, unless it is
    /// what was known already.
    pub fn know_countries(&self, geoip: Arc<GeoIp>) {
        let databases = i64::from(geoip.has_ipv4()) + i64::from(geoip.has_ipv6());
        if self.counting.lock().know_countries(geoip) {
            self.families.country_databases.set(databases);
        }
    }

    /// Counts those who are kept by what is known of countries now, and whoever comes
    /// from now on at once.
    pub fn stop_awaiting_countries(&self) {
        self.counting.lock().stop_awaiting_countries();
    }

    /// Remembers what was counted until `now`, for [`Self::activity`]; to be
    /// called every [`recent::SAMPLE_INTERVAL`].
    pub fn sample(&self, now: Instant) {
        self.counting.lock().sample(now);
    }

    /// Polls that came and ended in the last `span`, at most an hour.
    pub fn activity(&self, now: Instant, span: Duration) -> RecentActivity {
        self.counting.lock().activity(now, span)
    }

    /// The time when counting began.
    pub fn start(&self) -> SystemTime {
        self.start
    }

    /// Every family as text. The figures of the process, if there are any, are
    /// those of this moment.
    pub fn expose(
        &self,
        gauges: &GaugeSnapshot,
        process: Option<ProcessFigures>,
        format: Format,
    ) -> String {
        self.refresh(gauges, process);
        format.convert(exposition::encode(&self.registries.all))
    }

    /// The families of the reference broker as text: what anybody may read.
    pub fn expose_published(&self, gauges: &GaugeSnapshot, format: Format) -> String {
        self.refresh(gauges, None);
        format.convert(exposition::encode(&self.registries.published))
    }

    /// Every family that tells no country, as data: what goes further than the
    /// operator's own Prometheus is for nobody to learn countries from. The
    /// figures of the process are as with [`Self::expose`].
    pub fn export(
        &self,
        gauges: &GaugeSnapshot,
        process: Option<ProcessFigures>,
    ) -> Result<Vec<MetricFamily>, fmt::Error> {
        self.refresh(gauges, process);
        let mut families = prometheus_protobuf::encode(&self.registries.all)?;
        families.retain(|family| !exposition::tells_countries(family));
        Ok(families)
    }

    /// The state that has to be saved for the window to go on after a restart.
    pub fn save(&self) -> SavedState {
        self.counting.lock().save()
    }

    /// Goes on with a saved window, under a new key. To be called before
    /// anything is counted.
    pub fn restore(&self, saved: SavedState, key: WindowKey) {
        self.counting.lock().restore(saved, key);
    }

    /// The beginning of the window.
    pub fn window_start(&self) -> SystemTime {
        self.counting.lock().window.start
    }

    /// The rest of a window of this length; zero when it is over. A clock that was set
    /// back to before its start makes it start now.
    pub fn window_remaining(&self, length: Duration, now: SystemTime) -> Duration {
        let mut counting = self.counting.lock();
        schedule::remaining(&mut counting.window.start, length, now)
    }

    /// The clock was set: the window began at another time, by the clock.
    pub fn clock_was_set(&self, step: schedule::Step) {
        let mut counting = self.counting.lock();
        counting.window.start = step.apply(counting.window.start);
    }

    /// The window as it is now, as if it ended.
    pub fn block(&self, now: SystemTime) -> StatsBlock {
        self.counting.lock().block(now)
    }

    /// Ends the window and begins the next, under a new random key.
    pub fn end_window(&self, now: SystemTime, key: WindowKey) -> StatsBlock {
        self.counting.lock().end_window(now, key)
    }

    /// Ends the period of the sketches and begins the next.
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

    /// Brings what is not counted up to date.
    fn refresh(&self, gauges: &GaugeSnapshot, process: Option<ProcessFigures>) {
        self.families.show(gauges);
        if let Some(figures) = process {
            self.process.set(figures);
        }
    }
}
