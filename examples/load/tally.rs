//! The outcomes of all requests, and the latency of clients.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;

/// The outcome of one request, as its sender sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The client got the undamaged answer to its own offer.
    ClientMatched,
    /// The client got another answer.
    ClientCrossed,
    ClientTimedOut,
    ClientDenied,
    /// The client got any other error.
    ClientRefused,
    /// The client got no response or an invalid one.
    ClientFailed,
    /// The proxy got an undamaged offer.
    PollMatched,
    /// The proxy got an offer that no client sent.
    PollDamaged,
    PollIdle,
    PollRefused,
    PollFailed,
    AnswerDelivered,
    AnswerClientGone,
    AnswerRefused,
    AnswerFailed,
    /// The proxy is one that never answers.
    AnswerWithheld,
}

impl Outcome {
    const ALL: [Self; 16] = [
        Self::ClientMatched,
        Self::ClientCrossed,
        Self::ClientTimedOut,
        Self::ClientDenied,
        Self::ClientRefused,
        Self::ClientFailed,
        Self::PollMatched,
        Self::PollDamaged,
        Self::PollIdle,
        Self::PollRefused,
        Self::PollFailed,
        Self::AnswerDelivered,
        Self::AnswerClientGone,
        Self::AnswerRefused,
        Self::AnswerFailed,
        Self::AnswerWithheld,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::ClientMatched => "client_matched",
            Self::ClientCrossed => "client_crossed",
            Self::ClientTimedOut => "client_timed_out",
            Self::ClientDenied => "client_denied",
            Self::ClientRefused => "client_refused",
            Self::ClientFailed => "client_failed",
            Self::PollMatched => "poll_matched",
            Self::PollDamaged => "poll_damaged",
            Self::PollIdle => "poll_idle",
            Self::PollRefused => "poll_refused",
            Self::PollFailed => "poll_failed",
            Self::AnswerDelivered => "answer_delivered",
            Self::AnswerClientGone => "answer_client_gone",
            Self::AnswerRefused => "answer_refused",
            Self::AnswerFailed => "answer_failed",
            Self::AnswerWithheld => "answer_withheld",
        }
    }
}

/// Counts of one run, from its first request on.
#[derive(Debug)]
pub(crate) struct Tally {
    counts: [AtomicU64; Outcome::ALL.len()],
    /// Polls without a response yet.
    polling: AtomicUsize,
    /// Answers without a response yet.
    answering: AtomicUsize,
    /// Latency in microseconds.
    latency: Mutex<Histogram<u64>>,
    /// Latency since the last sample, in microseconds.
    latency_of_sample: Mutex<Histogram<u64>>,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts(pub(crate) [u64; Outcome::ALL.len()]);

impl Tally {
    pub(crate) fn new() -> Result<Self> {
        let latency = Histogram::new_with_bounds(1, 600_000_000, 3)?;
        Ok(Self {
            counts: Default::default(),
            polling: AtomicUsize::new(0),
            answering: AtomicUsize::new(0),
            latency_of_sample: Mutex::new(latency.clone()),
            latency: Mutex::new(latency),
        })
    }

    pub(crate) fn count(&self, outcome: Outcome) {
        self.counts[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts(std::array::from_fn(|outcome| {
            self.counts[outcome].load(Ordering::Relaxed)
        }))
    }

    /// Records the latency of a client that started, or was due, at `since`.
    pub(crate) fn record_latency(&self, since: Instant) {
        let micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.latency().saturating_record(micros);
        lock(&self.latency_of_sample).saturating_record(micros);
    }

    pub(crate) fn latency(&self) -> MutexGuard<'_, Histogram<u64>> {
        lock(&self.latency)
    }

    /// Takes the latency recorded since the last call.
    pub(crate) fn take_latency_of_sample(&self) -> Histogram<u64> {
        let mut latency = lock(&self.latency_of_sample);
        let taken = latency.clone();
        latency.reset();
        taken
    }

    /// The current value of a quantile of the latency.
    pub(crate) fn latency_at(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.latency().value_at_quantile(quantile))
    }

    pub(crate) fn polling(&self) -> usize {
        self.polling.load(Ordering::Relaxed)
    }

    pub(crate) fn answering(&self) -> usize {
        self.answering.load(Ordering::Relaxed)
    }

    /// Counts a poll as in progress until the result is dropped.
    pub(crate) fn begin_poll(&self) -> UnderWay<'_> {
        UnderWay::begin(&self.polling)
    }

    /// Counts an answer as in progress until the result is dropped.
    pub(crate) fn begin_answer(&self) -> UnderWay<'_> {
        UnderWay::begin(&self.answering)
    }
}

/// The lock, even if a holder panicked: the histogram is consistent at any time.
fn lock(latency: &Mutex<Histogram<u64>>) -> MutexGuard<'_, Histogram<u64>> {
    latency.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request without a response.
#[derive(Debug)]
pub(crate) struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn begin(requests: &'a AtomicUsize) -> Self {
        requests.fetch_add(1, Ordering::Relaxed);
        Self(requests)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counts {
    pub(crate) fn of(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize]
    }

    /// All requests that were sent.
    pub(crate) fn requests(&self) -> u64 {
        self.0.iter().sum::<u64>() - self.of(Outcome::AnswerWithheld)
    }

    pub(crate) fn by_name(&self) -> BTreeMap<String, u64> {
        let named = |outcome: Outcome| (outcome.name().to_owned(), self.of(outcome));
        Outcome::ALL.into_iter().map(named).collect()
    }
}
