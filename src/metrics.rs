//! What the broker counts, and the forms in which it is kept and published.
//!
//! [`Metrics`] is all of it. A poll is counted when it comes, by a record that
//! is ended with its outcome; a record that is dropped counts as abandoned, so
//! that the books balance whatever happens to the request. What is published, the
//! metrics log and the families of the reference broker, knows of clients only
//! those that were matched, denied or timed out.

pub mod backlog;
mod by_country;
mod connections;
pub mod distinct_ips;
pub mod exposition;
mod families;
pub mod ip_recordings;
pub mod labels;
mod memory;
pub mod peers;
mod process;
pub mod published_log;
mod queues;
pub mod recent;
mod records;
pub mod rounded;
pub mod saved_state;
pub mod schedule;
mod settings;
pub mod stats_log;
mod timestamp;
mod waiting;
pub mod window;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use prometheus_client::encoding::prometheus_protobuf;

use crate::wire::nat::NatType;
use crate::wire::proxy::{ProxyPoll, ProxyType};

pub use memory::MemoryFigures;
pub use process::ProcessFigures;
pub use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::MetricFamily;
pub use records::{ClientPollRecord, ProxyPollRecord};
pub use settings::Settings;
pub use waiting::Waiting;

use by_country::Countries;
use distinct_ips::{DistinctIps, WindowKey};
use exposition::Format;
use families::{
    AnswerEnd, By, Families, OrderEnd, Proxy, PublishedProxyAnswer, Refused, Registries, Reply,
};
use ip_recordings::{IpRecorder, Recording};
use labels::{
    AnswerFate, Endpoint, OrderOutcome, PublishedAnswer, Refusal, Rendezvous, Request, StatusCode,
};
use process::ProcessMetrics;
use recent::{Activity, Recent};
use saved_state::SavedState;
use stats_log::StatsBlock;
use window::WindowCounts;

/// All that is counted.
#[derive(Debug)]
pub struct Metrics {
    start: SystemTime,
    registries: Registries,
    families: Families,
    process: ProcessMetrics,
    window: Mutex<Window>,
    recent: Mutex<Recent>,
}

/// What the metrics log will say of the time since `start`.
#[derive(Debug)]
struct Window {
    start: SystemTime,
    counts: WindowCounts,
    ips: DistinctIps,
    countries: Countries,
    recorder: Option<IpRecorder>,
}

impl Metrics {
    /// Everything at 0, in a window that begins at `start`. `key` is random.
    pub fn new(start: SystemTime, key: WindowKey) -> Self {
        let mut registries = Registries::default();
        Self {
            start,
            families: Families::register(&mut registries),
            process: ProcessMetrics::register(&mut registries.all, start),
            registries,
            window: Mutex::new(Window {
                start,
                counts: WindowCounts::default(),
                ips: DistinctIps::new(key, DistinctIps::DEFAULT_LIMIT),
                countries: Countries::default(),
                recorder: None,
            }),
            recent: Mutex::default(),
        }
    }

    /// Also keeps sketches for [`Self::end_recording`] from now on.
    pub fn start_recording(&self) {
        self.window().recorder.get_or_insert_default();
    }

    /// A proxy polls.
    pub fn begin_proxy_poll(&self, poll: &ProxyPoll) -> ProxyPollRecord<'_> {
        let proxy = Proxy {
            nat: poll.nat,
            r#type: poll.proxy_type,
        };
        let mut window = self.window();
        if poll.accepted_relay_pattern.is_some() {
            window.counts.with_relay_pattern += 1;
            self.families.polls_with_pattern.get_or_create(&proxy).inc();
        } else {
            window.counts.without_relay_pattern += 1;
            let family = &self.families.polls_without_pattern;
            family.get_or_create(&proxy).inc();
        }
        drop(window);
        ProxyPollRecord::begin(self, proxy)
    }

    /// Something came to `/proxy` that is not taken for a poll.
    pub fn bad_proxy_poll(&self, reason: Refusal) {
        let unknown = Proxy {
            nat: NatType::Unknown,
            r#type: ProxyType::Unknown,
        };
        ProxyPollRecord::begin(self, unknown).refuse(reason);
    }

    /// A client polls, from this address if it is known.
    pub fn begin_client_poll(
        &self,
        rendezvous: Rendezvous,
        address: Option<IpAddr>,
        nat: NatType,
    ) -> ClientPollRecord<'_> {
        self.recent().totals.client_polls += 1;
        let received = &self.families.client_polls_received;
        received.get_or_create(&By { rendezvous }).inc();
        ClientPollRecord::begin(self, rendezvous, address, nat)
    }

    /// Something came to where clients poll that is not taken for a poll.
    pub fn bad_client_poll(&self, rendezvous: Rendezvous, reason: Refusal) {
        self.begin_client_poll(rendezvous, None, NatType::Unknown)
            .refuse(reason);
    }

    /// Something came to `/answer` that is not taken for an answer.
    pub fn bad_proxy_answer(&self, reason: Refusal) {
        self.proxy_answered(ProxyType::Unknown, AnswerFate::Refused);
        self.refused(Request::ProxyAnswer, reason);
    }

    /// A proxy answers.
    pub fn proxy_answered(&self, proxy_type: ProxyType, outcome: AnswerFate) {
        let r#type = proxy_type;
        let families = &self.families;
        let labels = AnswerEnd { r#type, outcome };
        families.answers.get_or_create(&labels).inc();
        if matches!(outcome, AnswerFate::Beaten | AnswerFate::Repeated) {
            families.second_answers.inc();
        }
        let status = match outcome {
            AnswerFate::Refused => return,
            AnswerFate::Delivered => PublishedAnswer::Success,
            _ => PublishedAnswer::Timeout,
        };
        let labels = PublishedProxyAnswer { r#type, status };
        families.published_answers.get_or_create(&labels).inc();
    }

    /// A client found no proxy and waits for one.
    pub fn client_queued(&self) {
        self.families.clients_queued.inc();
    }

    /// An offer goes to a further proxy.
    pub fn rematched(&self) {
        self.families.rematches.inc();
    }

    /// A hand-off did not reach its proxy.
    pub fn hand_off_failed(&self) {
        self.families.hand_offs_failed.inc();
    }

    /// An HTTP response is sent.
    pub fn replied(&self, endpoint: Endpoint, code: StatusCode) {
        let labels = Reply { endpoint, code };
        self.families.replies.get_or_create(&labels).inc();
    }

    /// A certificate is served that is valid until then.
    pub fn certificate_loaded(&self, valid_until: SystemTime) {
        let since_epoch = valid_until.duration_since(SystemTime::UNIX_EPOCH);
        let seconds = since_epoch.unwrap_or_default().as_secs();
        let expiry = self.families.certificate_expiry.get_or_create(&[]);
        expiry.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// An order of a certificate has ended.
    pub fn order_ended(&self, outcome: OrderOutcome) {
        let orders = &self.families.certificate_orders;
        orders.get_or_create(&OrderEnd { outcome }).inc();
    }

    /// Remembers what was counted until `now`, for [`Self::activity`]; to be
    /// called every [`recent::SAMPLE_INTERVAL`].
    pub fn sample(&self, now: Instant) {
        self.recent().sample(now);
    }

    /// What came and ended in the last `span`, at most an hour.
    pub fn activity(&self, now: Instant, span: Duration) -> Activity {
        self.recent().activity(now, span)
    }

    /// When counting began.
    pub fn start(&self) -> SystemTime {
        self.start
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> i64 {
        self.families.open_connections.get()
    }

    /// Until when the certificate is valid; `None` without one.
    pub fn certificate_expiry(&self) -> Option<SystemTime> {
        let expiry = self.families.certificate_expiry.get(&[])?.get();
        let since_epoch = Duration::from_secs(u64::try_from(expiry).ok()?);
        SystemTime::UNIX_EPOCH.checked_add(since_epoch)
    }

    /// Every family as text. The figures of the process, if there are any, are
    /// those of this moment.
    pub fn expose(
        &self,
        waiting: &Waiting,
        process: Option<ProcessFigures>,
        format: Format,
    ) -> String {
        self.refresh(waiting, process);
        format.convert(exposition::encode(&self.registries.all))
    }

    /// The families of the reference broker as text: what anybody may read.
    pub fn expose_published(&self, waiting: &Waiting, format: Format) -> String {
        self.refresh(waiting, None);
        format.convert(exposition::encode(&self.registries.published))
    }

    /// Every family that tells no country, as data: what goes further than the
    /// operator's own Prometheus is for nobody to learn countries from. The
    /// figures of the process are as with [`Self::expose`].
    pub fn export(
        &self,
        waiting: &Waiting,
        process: Option<ProcessFigures>,
    ) -> Result<Vec<MetricFamily>, fmt::Error> {
        self.refresh(waiting, process);
        let mut families = prometheus_protobuf::encode(&self.registries.all)?;
        families.retain(|family| !exposition::tells_countries(family));
        Ok(families)
    }

    /// What has to be saved for the window to go on after a restart.
    pub fn save(&self) -> SavedState {
        let window = self.window();
        SavedState {
            window_start: window.start,
            counts: window.counts.clone(),
            ips: window.ips.save(),
            unwritten: Vec::new(),
        }
    }

    /// Goes on with a saved window, under a new key. To be called before
    /// anything is counted.
    pub fn restore(&self, saved: SavedState, key: WindowKey) {
        let mut window = self.window();
        window.start = saved.window_start;
        window.counts = saved.counts;
        window.ips = DistinctIps::restore(key, DistinctIps::DEFAULT_LIMIT, saved.ips);
    }

    /// When the window began.
    pub fn window_start(&self) -> SystemTime {
        self.window().start
    }

    /// How much is left of a window of this length; zero when it is over. A
    /// clock that was set back to before its start makes it start now.
    pub fn window_remaining(&self, length: Duration, now: SystemTime) -> Duration {
        schedule::remaining(&mut self.window().start, length, now)
    }

    /// The clock was set: the window began at another time, by the clock.
    pub fn clock_was_set(&self, step: schedule::Step) {
        let mut window = self.window();
        window.start = step.apply(window.start);
    }

    /// The window as it is now, as if it ended.
    pub fn block(&self, now: SystemTime) -> StatsBlock {
        self.window().block(now)
    }

    /// Ends the window and begins the next, under a new random key.
    pub fn end_window(&self, now: SystemTime, key: WindowKey) -> StatsBlock {
        let mut window = self.window();
        let block = window.block(now);
        window.start = now;
        window.counts = WindowCounts::default();
        window.ips = DistinctIps::new(key, DistinctIps::DEFAULT_LIMIT);
        block
    }

    /// Ends the period of the sketches and begins the next.
    pub fn end_recording(
        &self,
        start: SystemTime,
        end: SystemTime,
    ) -> Vec<(ProxyType, NatType, Recording)> {
        let mut window = self.window();
        let recorder = window.recorder.as_mut();
        recorder.map_or_else(Vec::new, |recorder| {
            recorder.end_period(start, end).collect()
        })
    }

    /// Brings what is not counted up to date.
    fn refresh(&self, waiting: &Waiting, process: Option<ProcessFigures>) {
        self.families.show(waiting);
        if let Some(figures) = process {
            self.process.set(figures);
        }
    }

    fn refused(&self, request: Request, reason: Refusal) {
        let labels = Refused { request, reason };
        self.families.refusals.get_or_create(&labels).inc();
    }

    /// Counts are whole at any time, even if a holder of the lock panicked.
    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    fn block(&self, now: SystemTime) -> StatsBlock {
        StatsBlock {
            end: now,
            // A clock that was set back makes no window shorter than nothing.
            length: now.duration_since(self.start).unwrap_or_default(),
            counts: self.counts.clone(),
            ips: self.ips.counts(),
        }
    }
}
