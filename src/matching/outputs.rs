//! The engine's outputs: replies to requests that wait, and events to count; and
//! what its views show.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::wire::nat::NatType;
use crate::wire::proxy::ProxyType;
use crate::wire::session_description::SessionDescription;

use super::requests::{ClientKey, ClientOffer, PollKey};

/// One thing to do for whoever runs the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The reply to a poll, its only one.
    Poll(PollKey, PollReply),
    /// The reply to a client, its only one.
    Client(ClientKey, ClientReply),
    /// Peers are to be asked for a client; their reply is due by
    /// [`Matcher::handle_peer_reply`](super::Matcher::handle_peer_reply). Whoever
    /// asks stops when the client has its reply.
    AskPeer(AskPeer),
    /// Something to count; the replies count too.
    Event(MatchingEvent),
}

/// A client's offer that is to go to peers, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskPeer {
    /// The client.
    pub client: ClientKey,
    /// The number of the proxy that it is to get, from 1 on.
    pub attempt: usize,
    /// Until when an answer is of use to it.
    pub deadline: Instant,
    /// Until when a proxy that gets its offer still has time to answer.
    pub last_call: Instant,
}

/// The reply to a poll.
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
    /// The client whose offer it is.
    pub client: ClientKey,
    /// The offer, and where its client wants to go.
    pub offer: ClientOffer,
    /// The number of the proxy that gets it, from 1 on; from 2 on a rematch.
    pub attempt: usize,
}

/// The reason why a poll got no client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoMatch {
    /// None came in its time.
    Idle,
    /// As many polls are parked as may be.
    Overloaded,
    /// The broker is about to stop, and parks no poll any more.
    NotParked,
    /// It was parked, and the broker is about to stop.
    Evicted,
}

/// The reply to a client.
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
    /// The time that the proxy took that answered.
    pub since_hand_off: Duration,
}

/// The reason why a client was offered to no proxy.
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

/// The fate of an answer.
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

/// Something to count beside the replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchingEvent {
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
        /// The kind of the proxy, as far as known.
        proxy_type: ProxyType,
        /// The fate of the answer.
        outcome: AnswerOutcome,
    },
}

/// The numbers of who waits at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The number of parked polls of each type and NAT, where there are any.
    pub parked: Vec<(ProxyType, NatType, usize)>,
    /// The number of clients that are queued for a proxy.
    pub queued_clients: usize,
    /// The number of clients that wait for the answer of a proxy, here or with a peer.
    pub matched_clients: usize,
}

/// A poll that waits for a client, without what names its proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParkedPoll {
    /// The program that the proxy runs in.
    pub proxy_type: ProxyType,
    /// The NAT that the proxy is behind.
    pub nat: NatType,
    /// The number of clients that the proxy says to serve.
    pub clients: u64,
    /// Rises with each poll and client that comes.
    pub arrival: u64,
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

    pub(super) fn ask_peer(&mut self, ask: AskPeer) {
        self.0.push_back(Output::AskPeer(ask));
    }

    pub(super) fn event(&mut self, event: MatchingEvent) {
        self.0.push_back(Output::Event(event));
    }

    pub(super) fn next(&mut self) -> Option<Output> {
        self.0.pop_front()
    }
}
