//! Delivers the engine's replies to the requests that wait for them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fastrand::Rng;
use slotmap::SecondaryMap;
use tokio::sync::oneshot::{self, Receiver, Sender};

use crate::geoip::CountryCode;
use crate::matching::{
    AnswerOutcome, AskPeer, ClientKey, ClientOffer, ClientReply, Denied, Matcher, MatchingEvent,
    NoMatch, Output, ParkedPoll, PeerReply, PollKey, PollReply, SidInUse,
};
use crate::metrics::Metrics;
use crate::metrics::labels::{AnswerFate, RuleResult};
use crate::outcomes::{MatchedProxy, OutcomeClient};
use crate::policy::{Generation, Policy, RuleSet};
use crate::wire::nat::NatClass;
use crate::wire::proxy::ProxyPoll;

use super::arrived_poll::{ArrivedPoll, ProxyTraits};
use super::generations::Generations;
use super::learning::Learning;
use super::poll_interval::controller::IntervalController;
use super::rule_counter::RuleCounter;
use super::sid_digests::SidDigests;
use super::sources::SourceHasher;
use super::trace::{Polled, Timeline, Timelines};

/// The engine and all waiting requests, behind the broker's one lock.
#[derive(Debug)]
pub(super) struct BrokerState {
    pub(super) matcher: Matcher,
    /// Absent in a broker that does not share out by source.
    pub(super) sources: Option<SourceHasher>,
    pub(super) intervals: IntervalController,
    pub(super) jitter: Rng,
    metrics: Arc<Metrics>,
    pub(super) generations: Generations,
    /// The time until which the driver sleeps; an earlier deadline has to wake it.
    pub(super) driver_sleeps_until: Option<Instant>,
    polls: SecondaryMap<PollKey, PollWaiter>,
    clients: SecondaryMap<ClientKey, ClientWaiter>,
    timelines: Timelines,
    pub(super) learning: Learning,
    pub(super) sid_digests: SidDigests,
    /// True if a successor was announced, so that proxies are told to return soon.
    pub(super) has_successor: bool,
}

/// A proxy's request that is waiting for its reply.
#[derive(Debug)]
struct PollWaiter {
    sender: Sender<PollEnd>,
    polled: Polled,
    proxy: MatchedProxy,
    country: CountryCode,
    /// The poll interval of the proxy's type, if it has one.
    of_type: Option<Duration>,
    traits: ProxyTraits,
}

/// A client's request that is waiting for its reply.
#[derive(Debug)]
struct ClientWaiter {
    sender: Sender<ClientMessage>,
    class: NatClass,
    /// The client as it is known if it comes back; `None` for a peer's client.
    tracked: Option<OutcomeClient>,
}

/// A message from the engine to a client's request.
#[derive(Debug)]
pub(super) enum ClientMessage {
    /// The reply, which is the last message.
    Reply(ClientReply),
    /// Peers are to be asked.
    AskPeer {
        ask: AskPeer,
        /// The time of the engine's step.
        at: Instant,
        /// The receiver of the next message.
        next: Receiver<Self>,
    },
}

/// The reply to a poll, and the proxy's next poll interval.
#[derive(Debug)]
pub(super) struct PollEnd {
    pub(super) reply: PollReply,
    pub(super) next_poll: Duration,
}

/// A parked poll with what the engine does not know.
#[derive(Clone, Copy, Debug)]
pub struct ParkedPollDetails {
    /// The poll as the engine knows it.
    pub poll: ParkedPoll,
    /// The proxy's country.
    pub country: CountryCode,
    /// The generation of its program.
    pub generation: Generation,
    /// The time at which the poll's request arrived.
    pub arrived: Instant,
}

/// A reply and the request that it is for; sent after the lock is released.
#[derive(Debug)]
pub(super) enum Delivery {
    Poll(Sender<PollEnd>, PollEnd),
    Client(Sender<ClientMessage>, ClientMessage),
}

/// A waiting request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waiter {
    Poll(PollKey),
    Client(ClientKey),
}

impl BrokerState {
    pub(super) fn new(
        matcher: Matcher,
        intervals: IntervalController,
        jitter: Rng,
        metrics: Arc<Metrics>,
        policy: Arc<Policy>,
        now: Instant,
    ) -> Self {
        let rules = RuleCounter::new(policy, Arc::clone(&metrics));
        Self {
            learning: Learning::new(now, Arc::clone(&metrics), rules),
            matcher,
            sources: None,
            intervals,
            jitter,
            metrics,
            generations: Generations::new(now),
            driver_sleeps_until: None,
            polls: SecondaryMap::new(),
            clients: SecondaryMap::new(),
            timelines: Timelines::default(),
            sid_digests: SidDigests::default(),
            has_successor: false,
        }
    }

    pub(super) fn add_poll(
        &mut self,
        now: Instant,
        poll: &ProxyPoll,
        arrival: ArrivedPoll,
    ) -> Result<(Waiter, Receiver<PollEnd>), SidInUse> {
        let ArrivedPoll {
            arrived,
            source,
            traits,
            country,
            of_type,
        } = arrival;
        let key = self
            .matcher
            .handle_poll(now, arrived, poll, source, traits.marks)?;
        self.intervals.poll_arrived(NatClass::of(poll.nat));
        let (sender, receiver) = oneshot::channel();
        let nat = poll.nat;
        let proxy = MatchedProxy {
            source: source.map(|source| source.id),
            proxy_type: poll.proxy_type,
            class: NatClass::of(nat),
            decided: RuleSet::NONE,
        };
        let waiter = PollWaiter {
            sender,
            polled: Polled { arrived, nat },
            proxy,
            country,
            of_type,
            traits,
        };
        self.polls.insert(key, waiter);
        Ok((Waiter::Poll(key), receiver))
    }

    /// Adds a client; `admit` passes its offer to the engine.
    pub(super) fn add_client(
        &mut self,
        now: Instant,
        offer: ClientOffer,
        tracked: Option<OutcomeClient>,
        timeline: Option<Arc<Mutex<Timeline>>>,
        admit: impl FnOnce(&mut Matcher, ClientOffer) -> ClientKey,
    ) -> (ClientKey, Receiver<ClientMessage>) {
        let class = offer.class();
        if let Some(client) = &tracked {
            self.learning.came(now, client);
        }
        let key = admit(&mut self.matcher, offer);
        if let Some(timeline) = timeline {
            self.timelines.enter(now, key, timeline);
        }
        let (sender, messages) = oneshot::channel();
        let waiter = ClientWaiter {
            sender,
            class,
            tracked,
        };
        self.clients.insert(key, waiter);
        (key, messages)
    }

    /// Handles the reply of the peers asked at `asked_at`.
    pub(super) fn peer_replied(
        &mut self,
        now: Instant,
        key: ClientKey,
        asked_at: Instant,
        reply: PeerReply,
    ) {
        self.timelines.peer_replied(now, key, asked_at, &reply);
        self.matcher.handle_peer_reply(now, key, reply);
    }

    /// Handles the end of a request before its reply was taken.
    pub(super) fn remove(&mut self, now: Instant, waiter: Waiter) {
        match waiter {
            Waiter::Poll(key) => {
                let Some(waiter) = self.polls.remove(key) else {
                    self.timelines.proxy_left(now, key);
                    return self.matcher.handle_poll_gone(now, key);
                };
                if let Some(returns) = waiter.traits.returns {
                    self.generations.ended(now, returns);
                }
                self.matcher.handle_poll_gone(now, key);
            }
            Waiter::Client(key) => {
                self.clients.remove(key);
                self.timelines.leave(now, key);
                self.matcher.handle_client_gone(now, key);
            }
        }
    }

    /// All parked polls, in no particular order.
    pub(super) fn parked_polls(&self) -> Vec<ParkedPollDetails> {
        let keys = self.polls.keys();
        keys.filter_map(|key| self.details(key)).collect()
    }

    /// The poll, if it is parked.
    pub(super) fn details(&self, key: PollKey) -> Option<ParkedPollDetails> {
        let waiter = self.polls.get(key)?;
        Some(ParkedPollDetails {
            poll: self.matcher.parked_poll(key)?,
            country: waiter.country,
            generation: waiter.traits.generation,
            arrived: waiter.polled.arrived,
        })
    }

    /// Takes the engine's outputs: counts events, and finds the waiting request for each
    /// reply.
    pub(super) fn take_deliveries(&mut self, now: Instant) -> Vec<Delivery> {
        self.learning.advance(now);
        let mut deliveries = Vec::new();
        while let Some(output) = self.matcher.next_output() {
            let delivery = match output {
                Output::Poll(key, reply) => self.poll_delivery(now, key, reply),
                Output::Client(key, reply) => self.client_delivery(now, key, reply),
                Output::AskPeer(ask) => self.peer_delivery(now, ask),
                Output::Event(event) => {
                    self.count(now, event);
                    None
                }
            };
            deliveries.extend(delivery);
        }
        deliveries
    }

    fn poll_delivery(&mut self, now: Instant, key: PollKey, reply: PollReply) -> Option<Delivery> {
        if matches!(&reply, PollReply::Offer(hand_off) if hand_off.attempt > 1) {
            self.metrics.rematched();
        }
        let waiter = self.polls.remove(key)?;
        let next_poll = self.next_poll(now, waiter.polled, waiter.of_type, &reply);
        if let Some(returns) = waiter.traits.returns {
            self.generations.ended(now, returns);
            if reply == PollReply::NoMatch(NoMatch::Idle) {
                self.generations.told(now, returns, next_poll);
            }
        }
        if let PollReply::Offer(hand_off) = &reply {
            if let Some(sid) = self.matcher.sid(key) {
                self.sid_digests.handed_off(key, sid);
            }
            let client = self.clients.get(hand_off.client);
            let client = client.and_then(|client| client.tracked);
            let proxy = MatchedProxy {
                decided: hand_off.decided,
                ..waiter.proxy
            };
            self.learning
                .handed_off(key, hand_off.client, client, proxy);
            let rules = &self.learning.rules;
            rules.count(hand_off.decided, RuleResult::Hit);
            rules.count(hand_off.softened, RuleResult::Softened);
            let taken = (key, waiter.polled);
            self.timelines
                .handed_off(now, hand_off.client, taken, hand_off.attempt);
        }
        Some(Delivery::Poll(waiter.sender, PollEnd { reply, next_poll }))
    }

    /// A random number from 0 to 1, which is not included.
    pub(super) fn random(&mut self) -> f64 {
        self.jitter.f64()
    }

    fn client_delivery(
        &mut self,
        now: Instant,
        key: ClientKey,
        reply: ClientReply,
    ) -> Option<Delivery> {
        if let ClientReply::Answer(answered) = &reply {
            let rules = &self.learning.rules;
            rules.count(answered.decided, RuleResult::Answered);
            self.timelines.answered(now, key, answered.since_hand_off);
        }
        self.timelines.leave(now, key);
        let waiter = self.clients.remove(key);
        let tracked = waiter.as_ref().and_then(|waiter| waiter.tracked);
        self.learning.replied(now, key, tracked, &reply);
        let waiter = waiter?;
        if let ClientReply::Denied(Denied::NoProxy | Denied::QueueFull) = &reply {
            self.intervals.denied(waiter.class);
        }
        Some(Delivery::Client(waiter.sender, ClientMessage::Reply(reply)))
    }

    fn peer_delivery(&mut self, now: Instant, ask: AskPeer) -> Option<Delivery> {
        self.timelines.peer_asked(now, ask.client);
        let waiter = self.clients.get_mut(ask.client)?;
        if ask.attempt == 1 {
            // A first attempt at peers shows that we have too few proxies.
            self.intervals.denied(waiter.class);
        }
        let (sender, next) = oneshot::channel();
        let sender = std::mem::replace(&mut waiter.sender, sender);
        let message = ClientMessage::AskPeer { ask, at: now, next };
        Some(Delivery::Client(sender, message))
    }

    /// Counts events that no request counts for itself. Each request has its own record,
    /// which ends with its reply or as abandoned.
    fn count(&mut self, now: Instant, event: MatchingEvent) {
        match event {
            MatchingEvent::ClientQueued => self.metrics.client_queued(),
            MatchingEvent::HandOffFailed => self.metrics.hand_off_failed(),
            MatchingEvent::Answer {
                proxy_type,
                outcome,
            } => self.metrics.proxy_answered(proxy_type, fate(outcome)),
            MatchingEvent::OfferEnded { poll, end } => {
                self.sid_digests.ended(poll);
                self.learning.offer_ended(now, poll, end);
            }
            MatchingEvent::ClientAbandoned | MatchingEvent::PollAbandoned => {}
        }
    }
}

fn fate(outcome: AnswerOutcome) -> AnswerFate {
    match outcome {
        AnswerOutcome::Delivered => AnswerFate::Delivered,
        AnswerOutcome::TooLate => AnswerFate::TooLate,
        AnswerOutcome::Beaten => AnswerFate::Beaten,
        AnswerOutcome::ClientLeft => AnswerFate::ClientLeft,
        AnswerOutcome::Repeated => AnswerFate::Repeated,
        AnswerOutcome::Declined => AnswerFate::Declined,
        AnswerOutcome::Unknown => AnswerFate::Unknown,
    }
}

impl Delivery {
    /// Wakes the request. If it has just ended, its guard tells the engine.
    pub(super) fn send(self) {
        match self {
            Self::Poll(sender, end) => drop(sender.send(end)),
            Self::Client(sender, message) => drop(sender.send(message)),
        }
    }
}
