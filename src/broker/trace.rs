//! One tree of spans for each sampled rendezvous:
//!
//! ```text
//! client poll            from the arrival of the request to its reply
//! ├── borrow             while peers are asked
//! ├── queue              while no proxy has the client's offer
//! └── hand-off           from the hand-off of the offer to the reply
//!     └── answer         from the proxy's answer to the reply
//! proxy poll             a trace of its own, linked with the hand-off
//! ```
//!
//! The engine knows nothing of traces: the broker notes times in a [`Timeline`] beside it
//! and builds the tree when the request ends, however it ends. Sampling is decided when a
//! request arrives; nothing is noted for the others.
//!
//! A peer's client has a `loan` span instead of a `client poll`, in the peer's trace if
//! its request names one.
//!
//! A span gives durations, and outcomes by classes that thousands of users share. It
//! never identifies anyone: it has no address, session description, `Sid`, bridge or
//! country.

mod timeline;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use opentelemetry::global::{BoxedSpan, BoxedTracer};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;

use crate::metrics::labels::{ClientOutcome, Rendezvous};
use crate::wire::nat::{NatClass, NatType};

use super::clock;
use super::loan::LoanRequest;

pub(super) use timeline::{Polled, Timeline, Timelines};

use timeline::TracedHandOff;

const NAT: &str = "snowflake.nat";
const POOL: &str = "snowflake.pool";
const RENDEZVOUS: &str = "snowflake.rendezvous";
const OUTCOME: &str = "snowflake.outcome";
const ATTEMPT: &str = "snowflake.attempt";
/// The only field of W3C Trace Context that brokers pass on.
const TRACEPARENT: &str = "traceparent";

/// The trace of a client's request in progress, if it is sampled. If it is dropped
/// without an outcome, the request counts as abandoned.
#[derive(Debug)]
#[must_use = "dropped, the request ends as abandoned"]
pub(super) struct ClientTrace<'a>(Option<Box<TraceRecording<'a>>>);

#[derive(Debug)]
struct TraceRecording<'a> {
    tracer: &'a BoxedTracer,
    /// The context of the request's span.
    root: Context,
    nat: NatType,
    rendezvous: Option<Rendezvous>,
    timeline: Arc<Mutex<Timeline>>,
    outcome: ClientOutcome,
    clock: SpanClock,
}

impl<'a> ClientTrace<'a> {
    /// Starts the trace of a client's request.
    pub(super) fn begin(
        tracer: Option<&'a BoxedTracer>,
        arrived: Instant,
        rendezvous: Rendezvous,
        nat: NatType,
    ) -> Self {
        let Some(tracer) = tracer else {
            return Self(None);
        };
        let parent = Context::new();
        let name = "client poll";
        Self::under(&parent, tracer, name, arrived, Some(rendezvous), nat)
    }

    /// Starts the trace of a peer's request for its client.
    pub(super) fn lent(tracer: Option<&'a BoxedTracer>, request: &LoanRequest) -> Self {
        let Some(tracer) = tracer else {
            return Self(None);
        };
        let parent = request
            .traceparent
            .as_deref()
            .map_or_else(Context::new, remote_context);
        let (arrived, rendezvous) = (request.arrived, request.rendezvous);
        Self::under(&parent, tracer, "loan", arrived, rendezvous, request.nat)
    }

    fn under(
        parent: &Context,
        tracer: &'a BoxedTracer,
        name: &'static str,
        arrived: Instant,
        rendezvous: Option<Rendezvous>,
        nat: NatType,
    ) -> Self {
        let clock = SpanClock::now();
        let builder = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Server)
            .with_start_time(clock.at(arrived));
        let span = tracer.build_with_context(builder, parent);
        if !span.is_recording() {
            return Self(None);
        }
        Self(Some(Box::new(TraceRecording {
            tracer,
            root: Context::new().with_span(span),
            nat,
            rendezvous,
            timeline: Arc::default(),
            outcome: ClientOutcome::Abandoned,
            clock,
        })))
    }

    /// The timeline in which to note times, if the request is sampled.
    pub(super) fn timeline(&self) -> Option<Arc<Mutex<Timeline>>> {
        let recording = self.0.as_ref()?;
        Some(Arc::clone(&recording.timeline))
    }

    /// The trace context for a peer that is asked; `None` if the request is not sampled.
    pub(super) fn traceparent(&self) -> Option<String> {
        let recording = self.0.as_ref()?;
        let mut fields = HashMap::new();
        TraceContextPropagator::new().inject_context(&recording.root, &mut fields);
        fields.remove(TRACEPARENT)
    }

    /// Ends the trace with the outcome of the request.
    pub(super) fn end(mut self, outcome: ClientOutcome) {
        if let Some(recording) = &mut self.0 {
            recording.outcome = outcome;
        }
    }
}

impl Drop for TraceRecording<'_> {
    fn drop(&mut self) {
        let end = clock::now();
        // The notes are consistent at any time, even if their writer panicked.
        let noted = self
            .timeline
            .lock()
            .map(|mut noted| std::mem::take(&mut *noted));
        let timeline = noted
            .unwrap_or_else(|poisoned| std::mem::take(&mut *PoisonError::into_inner(poisoned)));
        for (from, to) in timeline.waits(end) {
            let span = self.child(&self.root, SpanBuilder::from_name("queue"), from);
            self.end(span, to);
        }
        for borrowing in timeline.borrowings() {
            if let Some((to, outcome)) = borrowing.end() {
                let outcome = KeyValue::new(OUTCOME, outcome);
                let builder = SpanBuilder::from_name("borrow").with_attributes([outcome]);
                let span = self.child(&self.root, builder, borrowing.from);
                self.end(span, to);
            }
        }
        for hand_off in timeline.hand_offs() {
            self.hand_off(hand_off, timeline.left_or(end), end);
        }
        self.end_root(end);
    }
}

impl TraceRecording<'_> {
    /// Records the spans of one hand-off. The engine let the client go at `left`, and its
    /// request ended at `end`.
    fn hand_off(&self, hand_off: &TracedHandOff, left: Instant, end: Instant) {
        let poll = self.proxy_poll(hand_off);
        let link = Link::with_context(poll.span_context().clone());
        self.end(poll, hand_off.at);
        let attempt = i64::try_from(hand_off.attempt).unwrap_or(i64::MAX);
        let builder = SpanBuilder::from_name("hand-off")
            .with_links(vec![link])
            .with_attributes([
                KeyValue::new(ATTEMPT, attempt),
                KeyValue::new(POOL, NatClass::of(hand_off.polled.nat).as_str()),
                KeyValue::new(OUTCOME, hand_off.outcome()),
            ]);
        let span = self.child(&self.root, builder, hand_off.at);
        if let Some(answered) = hand_off.answered {
            let parent = Context::new().with_span(span);
            let answer = self.child(&parent, SpanBuilder::from_name("answer"), answered);
            self.end(answer, end);
            parent.span().end_with_timestamp(self.clock.at(end));
        } else {
            self.end(span, hand_off.proxy_left.unwrap_or(left));
        }
    }

    /// The span of the poll that was handed the offer. It has its own trace, because the
    /// poll began before the client's request and could have got any client.
    fn proxy_poll(&self, hand_off: &TracedHandOff) -> BoxedSpan {
        let client = self.root.span().span_context().clone();
        let nat = hand_off.polled.nat;
        let builder = SpanBuilder::from_name("proxy poll")
            .with_kind(SpanKind::Server)
            .with_links(vec![Link::with_context(client)])
            .with_attributes([
                KeyValue::new(NAT, nat.as_str()),
                KeyValue::new(POOL, NatClass::of(nat).as_str()),
                KeyValue::new(OUTCOME, "matched"),
            ]);
        self.child(&Context::new(), builder, hand_off.polled.arrived)
    }

    fn child(&self, parent: &Context, builder: SpanBuilder, from: Instant) -> BoxedSpan {
        let builder = builder.with_start_time(self.clock.at(from));
        self.tracer.build_with_context(builder, parent)
    }

    fn end(&self, mut span: BoxedSpan, at: Instant) {
        span.end_with_timestamp(self.clock.at(at));
    }

    fn end_root(&self, at: Instant) {
        let root = self.root.span();
        root.set_attribute(KeyValue::new(NAT, self.nat.as_str()));
        if let Some(rendezvous) = self.rendezvous {
            root.set_attribute(KeyValue::new(RENDEZVOUS, rendezvous.as_str()));
        }
        root.set_attribute(KeyValue::new(OUTCOME, self.outcome.as_str()));
        if matches!(
            self.outcome,
            ClientOutcome::Denied | ClientOutcome::TimedOut
        ) {
            root.set_status(Status::error(self.outcome.as_str()));
        }
        root.end_with_timestamp(self.clock.at(at));
    }
}

/// The trace of a peer's request; empty if its field is invalid.
fn remote_context(traceparent: &str) -> Context {
    let fields = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    TraceContextPropagator::new().extract_with_context(&Context::new(), &fields)
}

/// One moment on both clocks, used to convert instants to the wall-clock times of spans.
#[derive(Clone, Copy, Debug)]
struct SpanClock {
    instant: Instant,
    time: SystemTime,
}

impl SpanClock {
    fn now() -> Self {
        Self {
            instant: clock::now(),
            time: clock::wall_clock(),
        }
    }

    fn at(self, instant: Instant) -> SystemTime {
        let later = instant.checked_duration_since(self.instant);
        let time = match later {
            Some(later) => self.time.checked_add(later),
            None => self.time.checked_sub(self.instant - instant),
        };
        time.unwrap_or(self.time)
    }
}
