//! What the engine says: replies to requests that wait, and events to count.

use std::collections::VecDeque;
use std::time::Duration;

use crate::wire::proxy::ProxyType;
use crate::wire::session_description::SessionDescription;

use super::sessions::{ClientKey, ClientOffer, PollKey};

/// One thing to do for whoever runs the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The reply to a poll, its only one.
    Poll(PollKey, PollReply),
    /// The reply to a client, its only one.
    Client(ClientKey, ClientReply),
    /// A client is overdue and no proxy is idle that could be its second chance:
    /// another broker may have one.
    Overdue(ClientKey),
    /// Something to count; the replies count too.
    Event(Event),
}

/// What a poll led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PollReply {
    /// A client for this proxy.
    Offer(HandOff),
    /// None.
    NoMatch(NoMatch),
}

/// A client's offer on its way to a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandOff {
    /// Whose offer it is.
    pub client: ClientKey,
    /// The offer, and where its client wants to go.
    pub offer: ClientOffer,
    /// The how many-th proxy this is that gets it; from 2 on a rematch.
    pub attempt: usize,
}

/// Why a poll got no client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoMatch {
    /// None came in its time.
    Idle,
    /// As many polls are parked as may be.
    Overloaded,
    /// The broker is about to stop, and parks no poll any more.
    LameDuck,
    /// It was parked until the broker was about to stop.
    Draining,
}

/// What a client's request led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientReply {
    /// A proxy has answered.
    Answer(Answered),
    /// It was offered to no proxy.
    Denied(Denied),
    /// It was offered to a proxy, and none has answered in its time.
    TimedOut,
}

/// The answer for a client, and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The proxy's answer.
    pub answer: SessionDescription,
    /// To how many proxies the client was offered.
    pub attempts: usize,
    /// How long the proxy took that answered.
    pub since_hand_off: Duration,
}

/// Why a client was offered to no proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Denied {
    /// No proxy that could serve it polled in its time in the queue.
    NoProxy,
    /// No proxy was idle, and the queue was full.
    QueueFull,
    /// As many clients are matched as may be.
    Overloaded,
    /// Its request took so long to arrive that its time was up.
    NoTimeLeft,
    /// The broker is about to stop.
    Draining,
    /// It is another broker's, and no proxy is idle beyond the reserve.
    NoneToLend,
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnswerOutcome {
    /// Its client gets it.
    Delivered,
    /// Its client had timed out.
    TooLate,
    /// Its client had the answer of another proxy.
    Beaten,
    /// Its client had left.
    ClientLeft,
    /// This proxy had answered already.
    Repeated,
    /// Nothing is known of an offer under this `Sid`.
    Unknown,
}

/// What is to be counted beside the replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A client found no proxy and waits.
    ClientQueued,
    /// A client left before its reply.
    ClientAbandoned,
    /// A proxy left before its reply.
    PollAbandoned,
    /// A proxy left while it was handed an offer.
    HandOffFailed,
    /// A proxy answered.
    Answer {
        /// What it is, as far as known.
        proxy_type: ProxyType,
        /// What became of the answer.
        outcome: AnswerOutcome,
    },
}

/// Outputs not yet taken.
#[derive(Debug, Default)]
pub(super) struct Outputs(VecDeque<Output>);

impl Outputs {
    pub(super) fn poll(&mut self, key: PollKey, reply: PollReply) {
        self.0.push_back(Output::Poll(key, reply));
    }

    pub(super) fn client(&mut self, key: ClientKey, reply: ClientReply) {
        self.0.push_back(Output::Client(key, reply));
    }

    pub(super) fn overdue(&mut self, key: ClientKey) {
        self.0.push_back(Output::Overdue(key));
    }

    pub(super) fn event(&mut self, event: Event) {
        self.0.push_back(Output::Event(event));
    }

    pub(super) fn next(&mut self) -> Option<Output> {
        self.0.pop_front()
    }
}
