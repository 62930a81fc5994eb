//! Delivers the engine's replies to the requests that wait for them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fastrand::Rng;
use slotmap::SecondaryMap;
use tokio::sync::oneshot::{self, Receiver, Sender};

use crate::geoip::CountryCode;
use crate::matching::{
    AnswerOutcome, AskPeer, ClientKey, ClientOffer, ClientReply, Denied, Matcher, MatchingEvent,
    NoMatch, Output, ParkedPoll, PeerReply, PollKey, PollReply, SidInUse, Source,
};
use crate::metrics::Metrics;
use crate::metrics::labels::AnswerFate;
use crate::wire::nat::NatClass;
use crate::wire::proxy::ProxyPoll;

use super::caller::RequestOrigin;
use super::poll_interval::controller::IntervalController;
use super::shutdown::{reconnect_delay_new, reconnect_delay_parked};
use super::sources::SourceHasher;
use super::trace::{Polled, Timeline, Timelines};

/// The engine and all waiting requests, behind the broker's one lock.
#[derive(Debug)]
pub(super) struct BrokerState {
    pub(super) matcher: Matcher,
    /// Absent in a broker that does not share out by source.
    pub(super) sources: Option<SourceHasher>,
    pub(super) intervals: IntervalController,
    jitter: Rng,
    metrics: Arc<Metrics>,
    /// The time until which the driver sleeps; an earlier deadline has to wake it.
    pub(super) driver_sleeps_until: Option<Instant>,
    polls: SecondaryMap<PollKey, PollWaiter>,
    clients: SecondaryMap<ClientKey, ClientWaiter>,
    timelines: Timelines,
    /// True if a successor was announced, so that proxies are told to return soon.
    pub(super) has_successor: bool,
}

/// A proxy's request that is waiting for its reply.
#[derive(Debug)]
struct PollWaiter {
    sender: Sender<PollEnd>,
    polled: Polled,
    country: CountryCode,
    /// The poll interval of the proxy's type, if it has one.
    of_type: Option<Duration>,
}

/// A client's request that is waiting for its reply.
#[derive(Debug)]
struct ClientWaiter {
    sender: Sender<ClientMessage>,
    class: NatClass,
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
    ) -> Self {
        Self {
            matcher,
            sources: None,
            intervals,
            jitter,
            metrics,
            driver_sleeps_until: None,
            polls: SecondaryMap::new(),
            clients: SecondaryMap::new(),
            timelines: Timelines::default(),
            has_successor: false,
        }
    }

    /// The source of a request of this origin, which counts as `factor` of them.
    pub(super) fn source_of(
        &mut self,
        now: Instant,
        origin: RequestOrigin,
        factor: u32,
    ) -> Option<Source> {
        let sources = self.sources.as_mut()?;
        sources.source(now, origin, self.matcher.supply(), factor)
    }

    pub(super) fn add_poll(
        &mut self,
        now: Instant,
        arrived: Instant,
        poll: &ProxyPoll,
        source: Option<Source>,
        country: CountryCode,
        of_type: Option<Duration>,
    ) -> Result<(Waiter, Receiver<PollEnd>), SidInUse> {
        let key = self.matcher.handle_poll(now, arrived, poll, source)?;
        self.intervals.poll_arrived(NatClass::of(poll.nat));
        let (sender, receiver) = oneshot::channel();
        let nat = poll.nat;
        let waiter = PollWaiter {
            sender,
            polled: Polled { arrived, nat },
            country,
            of_type,
        };
        self.polls.insert(key, waiter);
        Ok((Waiter::Poll(key), receiver))
    }

    /// Adds a client; `admit` passes its offer to the engine.
    pub(super) fn add_client(
        &mut self,
        now: Instant,
        offer: ClientOffer,
        timeline: Option<Arc<Mutex<Timeline>>>,
        admit: impl FnOnce(&mut Matcher, ClientOffer) -> ClientKey,
    ) -> (ClientKey, Receiver<ClientMessage>) {
        let class = offer.class();
        let key = admit(&mut self.matcher, offer);
        if let Some(timeline) = timeline {
            self.timelines.enter(now, key, timeline);
        }
        let (sender, messages) = oneshot::channel();
        self.clients.insert(key, ClientWaiter { sender, class });
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
                let has_reply = self.polls.remove(key).is_none();
                if has_reply {
                    self.timelines.proxy_left(now, key);
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
        let polls = self.polls.iter().filter_map(|(key, waiter)| {
            Some(ParkedPollDetails {
                poll: self.matcher.parked_poll(key)?,
                country: waiter.country,
                arrived: waiter.polled.arrived,
            })
        });
        polls.collect()
    }

    /// Takes the engine's outputs: counts events, and finds the waiting request for each
    /// reply.
    pub(super) fn take_deliveries(&mut self, now: Instant) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        while let Some(output) = self.matcher.next_output() {
            let delivery = match output {
                Output::Poll(key, reply) => self.poll_delivery(now, key, reply),
                Output::Client(key, reply) => self.client_delivery(now, key, reply),
                Output::AskPeer(ask) => self.peer_delivery(now, ask),
                Output::Event(event) => {
                    self.count(event);
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
        let next_poll = self.next_poll(now, &waiter, &reply);
        if let PollReply::Offer(hand_off) = &reply {
            let taken = (key, waiter.polled);
            self.timelines
                .handed_off(now, hand_off.client, taken, hand_off.attempt);
        }
        Some(Delivery::Poll(waiter.sender, PollEnd { reply, next_poll }))
    }

    fn next_poll(&mut self, now: Instant, waiter: &PollWaiter, reply: &PollReply) -> Duration {
        let pool = NatClass::of(waiter.polled.nat);
        match reply {
            PollReply::NoMatch(NoMatch::Overloaded | NoMatch::OverShare(_)) => {
                let overloaded = self.intervals.settings().overloaded;
                return self.jittered(overloaded);
            }
            PollReply::Offer(_) => self.intervals.handed_off(pool),
            PollReply::NoMatch(NoMatch::NotParked) if self.has_successor => {
                return reconnect_delay_new(self.jitter.f64());
            }
            PollReply::NoMatch(NoMatch::Evicted) if self.has_successor => {
                let usual = self.intervals.interval(pool);
                return reconnect_delay_parked(usual, self.jitter.f64());
            }
            PollReply::NoMatch(NoMatch::Idle | NoMatch::NotParked | NoMatch::Evicted) => {}
        }
        let parked = now.saturating_duration_since(waiter.polled.arrived);
        let jitter = self.jitter.f64();
        self.intervals.tell(pool, waiter.of_type, parked, jitter)
    }

    /// A random number from 0 to 1, which is not included.
    pub(super) fn random(&mut self) -> f64 {
        self.jitter.f64()
    }

    /// Adds jitter to an interval that is the same for all pools.
    pub(super) fn jittered(&mut self, interval: Duration) -> Duration {
        let jitter = self.jitter.f64();
        self.intervals.settings().jittered(interval, jitter)
    }

    fn client_delivery(
        &mut self,
        now: Instant,
        key: ClientKey,
        reply: ClientReply,
    ) -> Option<Delivery> {
        if let ClientReply::Answer(answered) = &reply {
            self.timelines.answered(now, key, answered.since_hand_off);
        }
        self.timelines.leave(now, key);
        let waiter = self.clients.remove(key)?;
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
    fn count(&self, event: MatchingEvent) {
        match event {
            MatchingEvent::ClientQueued => self.metrics.client_queued(),
            MatchingEvent::HandOffFailed => self.metrics.hand_off_failed(),
            MatchingEvent::Answer {
                proxy_type,
                outcome,
            } => self.metrics.proxy_answered(proxy_type, fate(outcome)),
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
