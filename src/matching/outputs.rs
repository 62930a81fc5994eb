//! The engine's outputs: replies to waiting requests, and events to count. Also the types
//! of its snapshots.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::policy::RuleSet;
use crate::wire::nat::NatType;
use crate::wire::proxy::ProxyType;
use crate::wire::session_description::SessionDescription;

use super::requests::{ClientKey, ClientOffer, PollKey};

/// One thing for the engine's owner to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The only reply to a poll.
    Poll(PollKey, PollReply),
    /// The only reply to a client.
    Client(ClientKey, ClientReply),
    /// Peers are to be asked for a client. Their reply goes to
    /// [`Matcher::handle_peer_reply`](super::Matcher::handle_peer_reply). The owner stops
    /// asking when the client has its reply.
    AskPeer(AskPeer),
    /// An event to count, in addition to the replies.
    Event(MatchingEvent),
}

/// A client's offer to be sent to peers, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskPeer {
    /// The client.
    pub client: ClientKey,
    /// The number of the attempt, counted from 1.
    pub attempt: usize,
    /// The time until which the client can use an answer.
    pub deadline: Instant,
    /// The last time at which a proxy that gets the offer could still answer.
    pub last_call: Instant,
}

/// The reply to a poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PollReply {
    /// A client for this proxy.
    Offer(HandOff),
    /// No client.
    NoMatch(NoMatch),
}

/// A client's offer on its way to a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandOff {
    /// The client of the offer.
    pub client: ClientKey,
    /// The offer and the bridge that its client wants.
    pub offer: ClientOffer,
    /// The number of the attempt, counted from 1; from 2 on it is a rematch.
    pub attempt: usize,
    /// The rules of the policy without which another poll would have been chosen.
    pub decided: RuleSet,
    /// The rules that counted for nothing, because too few polls were favored.
    pub softened: RuleSet,
}

/// The reason why a poll got no client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoMatch {
    /// No client came in time.
    Idle,
    /// The maximum number of polls is parked.
    Overloaded,
    /// The broker is shutting down and parks no more polls.
    NotParked,
    /// The poll was parked when the broker began to drain.
    Evicted,
    /// The poll's source has all that one may have.
    OverShare(OverShare),
}

/// The limit that a source has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OverShare {
    /// Clients a minute.
    Matches,
    /// Offers without an answer.
    Unanswered,
    /// Parked polls.
    Parked,
    /// The share of the network around it.
    Network,
    /// Failed matches in a row.
    Resting,
}

/// The reply to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientReply {
    /// A proxy answered.
    Answer(Answered),
    /// No proxy had the offer.
    Denied(Denied),
    /// A proxy had the offer, but none answered in time.
    TimedOut,
}

/// The answer for a client and its circumstances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The proxy's answer.
    pub answer: SessionDescription,
    /// The number of proxies that the offer was handed to.
    pub attempts: usize,
    /// The time from the hand-off to the answering proxy until its answer.
    pub since_hand_off: Duration,
    /// The rules of the policy that decided the match with that proxy.
    pub decided: RuleSet,
}

/// The reason why no proxy got a client's offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Denied {
    /// No proxy that could serve the client polled while it was queued.
    NoProxy,
    /// No proxy was idle, and the queue was full.
    QueueFull,
    /// The maximum number of clients is matched.
    Overloaded,
    /// The request took so long to arrive that the client's time was up.
    NoTimeLeft,
    /// The broker is shutting down.
    Draining,
    /// The client is a peer's, and no proxy is idle beyond the reserve.
    NoneToLend,
}

/// The outcome of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnswerOutcome {
    /// The client gets the answer.
    Delivered,
    /// The client had timed out.
    TooLate,
    /// The client had the answer of another proxy.
    Beaten,
    /// The client had left.
    ClientLeft,
    /// This proxy had already answered.
    Repeated,
    /// The proxy says that it cannot answer, so that the client goes to another.
    Declined,
    /// No offer under this `Sid` is known.
    Unknown,
}

/// An event to count besides the replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchingEvent {
    /// A client found no proxy and was queued.
    ClientQueued,
    /// A client left before its reply.
    ClientAbandoned,
    /// A proxy left before its reply.
    PollAbandoned,
    /// A proxy left while an offer was being handed to it.
    HandOffFailed,
    /// A proxy answered.
    Answer {
        /// The type of the proxy, if known.
        proxy_type: ProxyType,
        /// The outcome of the answer.
        outcome: AnswerOutcome,
    },
    /// An offer to a proxy has ended, once for each.
    OfferEnded {
        /// The poll that had the offer.
        poll: PollKey,
        /// Its end.
        end: OfferEnd,
    },
}

/// The end of an offer to a proxy, as far as the proxy is answerable for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OfferEnd {
    /// The client has the proxy's answer. The client's reply follows.
    Answered,
    /// The proxy did not answer in time, or said that it cannot answer.
    Unanswered,
    /// It says nothing about the proxy: the client left, had another answer first or had too
    /// little time left, or the proxy left.
    Void,
}

/// Numbers of waiting polls and clients at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Parked polls by type and NAT, without zeros.
    pub parked: Vec<(ProxyType, NatType, usize)>,
    /// Clients queued for a proxy.
    pub queued_clients: usize,
    /// Clients waiting for the answer of a proxy, here or at a peer.
    pub matched_clients: usize,
}

/// A parked poll, without anything that identifies its proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParkedPoll {
    /// The type of the proxy.
    pub proxy_type: ProxyType,
    /// The NAT of the proxy.
    pub nat: NatType,
    /// The number of clients that the proxy reports.
    pub clients: u64,
    /// Increases with each poll and client that arrives.
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
