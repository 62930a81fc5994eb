//! What simulations of days have in common: events in virtual time around the engine, and the
//! way of its outputs to those whom they concern.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use fastrand::Rng;
use snowflake_broker::matching::{
    ClientKey, ClientOffer, ClientReply, Matcher, MatchingEvent, OfferEnd, Output, PollKey,
    PollReply, Settings, Source, SupplyHint, SupplySettings,
};
use snowflake_broker::policy::PolicyMarks;
use snowflake_broker::wire::nat::NatType;
use snowflake_broker::wire::proxy::{ProxyPoll, ProxyType, Sid};
use snowflake_broker::wire::session_description::SessionDescription;

use crate::engine::{description, some_instant};

/// The engine, and the events to come.
pub(crate) struct Stage<Event> {
    engine: Matcher,
    start: Instant,
    /// The time since the start.
    pub(crate) now: Duration,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    numbers: u64,
    pub(crate) random: Rng,
    offer: SessionDescription,
    answer: SessionDescription,
}

fn sid(number: u64) -> Sid {
    Sid::new(&number.to_string()).expect("not empty")
}

impl<Event: Ord> Stage<Event> {
    /// A stage on which nothing is planned.
    pub(crate) fn new(supply: SupplySettings, seed: u64) -> Self {
        let start = some_instant();
        let mut engine = Matcher::new(Settings::default());
        engine.set_supply(start, supply);
        Self {
            engine,
            start,
            now: Duration::ZERO,
            events: BinaryHeap::new(),
            numbers: 0,
            random: Rng::with_seed(seed),
            offer: description("offer", "v=0"),
            answer: description("answer", "v=0"),
        }
    }

    pub(crate) fn plan(&mut self, after: Duration, event: Event) {
        let number = self.next_number();
        self.events.push(Reverse((self.now + after, number, event)));
    }

    /// The time until the next event of a Poisson process with so many events in a second.
    pub(crate) fn until_the_next(&mut self, rate: f64) -> Duration {
        Duration::from_secs_f64(-(1.0 - self.random.f64()).ln() / rate)
    }

    pub(crate) fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(crate) fn instant(&self) -> Instant {
        self.start + self.now
    }

    /// Polls under the `Sid` of this number.
    pub(crate) fn poll(
        &mut self,
        number: u64,
        (proxy_type, nat): (ProxyType, NatType),
        source: Option<Source>,
    ) -> PollKey {
        let poll = ProxyPoll {
            sid: sid(number),
            proxy_type,
            type_name: None,
            nat,
            clients: 0,
            accepted_relay_pattern: None,
        };
        let now = self.instant();
        let marks = PolicyMarks::default();
        let key = self.engine.handle_poll(now, now, &poll, source, marks);
        key.expect("a new Sid")
    }

    /// Answers the offer to the poll of this number.
    pub(crate) fn answer(&mut self, number: u64) {
        let (now, answer) = (self.instant(), self.answer.clone());
        self.engine.handle_answer(now, &sid(number), answer);
    }

    /// Asks for a proxy as a client of this network.
    pub(crate) fn request(&mut self, nat: NatType, network: u64) -> ClientKey {
        let offer = ClientOffer {
            offer: self.offer.clone(),
            nat,
            relay_url: "wss://relay.example/".into(),
            network: Some(network),
            marks: PolicyMarks::default(),
        };
        let (now, hint) = (self.instant(), SupplyHint::NoPeers);
        self.engine.handle_client(now, now, offer, hint)
    }

    /// The next event, if it is before `end`.
    fn next(&mut self, end: Duration) -> Option<(Duration, Event)> {
        let Reverse((at, _, event)) = self.events.pop()?;
        (at <= end).then_some((at, event))
    }

    /// Runs the engine's timers that are due first. Returns false if none is due until then.
    fn runs_timers(&mut self, until: Duration) -> bool {
        let due = self.engine.poll_timeout();
        let due = due.map(|at| at.saturating_duration_since(self.start));
        let Some(at) = due.filter(|&at| at <= until) else {
            return false;
        };
        self.now = self.now.max(at);
        self.engine.handle_timeout(self.instant());
        true
    }
}

/// A simulated broker and all who use it.
pub(crate) trait Simulation {
    /// An event that is planned.
    type Event: Ord;

    fn stage(&mut self) -> &mut Stage<Self::Event>;

    /// Carries out an event.
    fn happen(&mut self, event: Self::Event);

    /// Notes that a poll has a client's offer.
    fn handed(&mut self, poll: PollKey, client: ClientKey);

    /// Notes that a poll gets no client.
    fn refused(&mut self, poll: PollKey);

    /// Notes the end of an offer.
    fn offer_ended(&mut self, poll: PollKey, end: OfferEnd);

    /// Notes the reply to a client.
    fn replied(&mut self, client: ClientKey, reply: &ClientReply);

    /// Carries out all events until `end`, and what follows from them.
    fn play(&mut self, end: Duration) {
        while let Some((at, event)) = self.stage().next(end) {
            while self.stage().runs_timers(at) {
                self.take_outputs();
            }
            self.stage().now = at;
            self.happen(event);
            self.take_outputs();
        }
    }

    fn take_outputs(&mut self) {
        while let Some(output) = self.stage().engine.next_output() {
            match output {
                Output::Poll(key, PollReply::Offer(hand_off)) => self.handed(key, hand_off.client),
                Output::Poll(key, PollReply::NoMatch(_)) => self.refused(key),
                Output::Client(key, reply) => self.replied(key, &reply),
                Output::Event(MatchingEvent::OfferEnded { poll, end }) => {
                    self.offer_ended(poll, end);
                }
                Output::AskPeer(_) | Output::Event(_) => {}
            }
        }
    }
}
