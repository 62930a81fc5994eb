//! Simulated proxies and clients around the real engine and the real controller, event by
//! event. Only the network is left out.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use snowflake_broker::broker::{IntervalController, PollInterval};
use snowflake_broker::matching::{
    ClientKey, ClientOffer, ClientReply, Denied, Matcher, Output, PollKey, PollReply, Settings,
    SupplyHint,
};
use snowflake_broker::policy::PolicyMarks;
use snowflake_broker::wire::nat::{NatClass, NatType};
use snowflake_broker::wire::proxy::{ProxyPoll, ProxyType, Sid};
use snowflake_broker::wire::session_description::SessionDescription;

use crate::engine::{description, some_instant};
use crate::poll_steering::day::{
    Day, INTERVAL, PARKED, SERVED, STRICT_CLIENTS, UNREACHED, seconds,
};

/// The factor by which the simulated broker is smaller than the large one.
pub(crate) const SCALE: usize = 20;
#[expect(clippy::cast_precision_loss, reason = "it is small")]
const SHRUNK: f64 = 1.0 / SCALE as f64;

/// The parameters of a world.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) day: Day,
    pub(crate) matching: Settings,
    pub(crate) poll_interval: PollInterval,
    /// The share of proxies that poll every 20 s whatever they are told.
    pub(crate) deaf: f64,
}

/// The events in a span of time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) polls: f64,
    pub(crate) idle: f64,
    pub(crate) clients: f64,
    pub(crate) matched: f64,
    pub(crate) timed_out: f64,
    pub(crate) denied: f64,
    /// The length of the span, in seconds.
    span: f64,
}

pub(crate) struct World {
    setup: Setup,
    matcher: Matcher,
    steering: IntervalController,
    now: Instant,
    events: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    next_number: u64,
    rng: Rng,
    proxies: Vec<Proxy>,
    polls: HashMap<PollKey, Parked>,
    clients: HashMap<ClientKey, NatClass>,
    offer: SessionDescription,
    answer: SessionDescription,
    relay_url: Arc<str>,
    tally: Tally,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    ProxyPolls(usize),
    ProxyAnswers(u64),
    ClientComes,
}

#[derive(Clone, Copy, Debug)]
struct Proxy {
    nat: NatType,
    is_deaf: bool,
}

/// A poll without a reply yet.
#[derive(Clone, Copy, Debug)]
struct Parked {
    proxy: usize,
    since: Instant,
    /// The number that its `Sid` is made of.
    number: u64,
}

impl World {
    /// Creates a world whose proxies first poll at random moments of a cycle.
    pub(crate) fn new(setup: Setup, seed: u64) -> Self {
        Self::begin(setup, seed, PARKED + INTERVAL)
    }

    /// Creates a world whose proxies first poll all at once.
    pub(crate) fn in_step(setup: Setup, seed: u64) -> Self {
        Self::begin(setup, seed, 0.0)
    }

    fn begin(setup: Setup, seed: u64, first_polls: f64) -> Self {
        let proxy_timeout = setup.matching.proxy_timeout;
        let mut world = Self {
            matcher: Matcher::new(setup.matching.clone()),
            steering: IntervalController::new(setup.poll_interval.clone(), proxy_timeout),
            now: some_instant(),
            events: BinaryHeap::new(),
            next_number: 0,
            rng: Rng::with_seed(seed),
            proxies: Vec::new(),
            polls: HashMap::new(),
            clients: HashMap::new(),
            offer: description("offer", "x"),
            answer: description("answer", "x"),
            relay_url: "wss://relay.example/".into(),
            tally: Tally::default(),
            setup,
        };
        let nats = [NatType::Unrestricted, NatType::Restricted];
        for (count, nat) in world.setup.day.fleet().into_iter().zip(nats) {
            for _ in 0..rounded(count * SHRUNK) {
                world.add_proxy(nat, first_polls);
            }
        }
        world.schedule(0.0, Event::ClientComes);
        world
    }

    /// Multiplies the number of clients from now on.
    pub(crate) fn multiply_clients(&mut self, factor: f64) {
        self.setup.day.clients *= factor;
    }

    /// Simulates a span of time. Returns its events.
    pub(crate) fn pass(&mut self, span: Duration) -> Tally {
        self.tally = Tally {
            span: span.as_secs_f64(),
            ..Tally::default()
        };
        let end = self.now + span;
        loop {
            let event = self.events.peek().map(|Reverse((at, _, _))| *at);
            let timer = self.matcher.poll_timeout();
            let next = event.into_iter().chain(timer).min();
            self.now = match next {
                Some(next) if next < end => self.now.max(next),
                _ => break,
            };
            self.steering.advance(self.now);
            if event.is_some_and(|at| at <= self.now) {
                let Reverse((_, _, event)) = self.events.pop().unwrap();
                self.happen(event);
            } else {
                self.matcher.handle_timeout(self.now);
            }
            self.take_outputs();
        }
        self.now = end;
        self.steering.advance(end);
        self.tally
    }

    /// The intervals of open and strict proxies, in seconds.
    pub(crate) fn intervals(&self) -> [f64; 2] {
        let pools = [NatClass::Open, NatClass::Strict];
        pools.map(|pool| self.steering.interval(pool).as_secs_f64())
    }

    /// The number of proxies.
    #[expect(clippy::cast_precision_loss, reason = "fleets are small")]
    pub(crate) fn proxies(&self) -> f64 {
        self.proxies.len() as f64
    }

    /// Replaces the broker by another one without its state. Polls that were parked
    /// return at once.
    pub(crate) fn restart(&mut self) {
        let proxy_timeout = self.setup.matching.proxy_timeout;
        self.matcher = Matcher::new(self.setup.matching.clone());
        self.steering = IntervalController::new(self.setup.poll_interval.clone(), proxy_timeout);
        self.clients.clear();
        for (_, parked) in std::mem::take(&mut self.polls) {
            self.schedule(0.0, Event::ProxyPolls(parked.proxy));
        }
    }

    fn add_proxy(&mut self, nat: NatType, first_polls: f64) {
        let is_deaf = self.rng.f64() < self.setup.deaf;
        self.proxies.push(Proxy { nat, is_deaf });
        let first = self.rng.f64() * first_polls;
        self.schedule(first, Event::ProxyPolls(self.proxies.len() - 1));
    }

    fn schedule(&mut self, after: f64, event: Event) {
        self.next_number += 1;
        let at = self.now + seconds(after);
        self.events.push(Reverse((at, self.next_number, event)));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ProxyPolls(proxy) => self.poll(proxy),
            Event::ProxyAnswers(number) => {
                let answer = self.answer.clone();
                self.matcher.handle_answer(self.now, &sid(number), answer);
            }
            Event::ClientComes => self.client(),
        }
    }

    fn poll(&mut self, proxy: usize) {
        self.next_number += 1;
        let number = self.next_number;
        let nat = self.proxies[proxy].nat;
        let poll = ProxyPoll {
            sid: sid(number),
            proxy_type: ProxyType::WEBEXT,
            type_name: None,
            nat,
            clients: 0,
            accepted_relay_pattern: None,
        };
        let key = self
            .matcher
            .handle_poll(self.now, self.now, &poll, None, PolicyMarks::default())
            .unwrap();
        let since = self.now;
        let parked = Parked {
            proxy,
            since,
            number,
        };
        self.polls.insert(key, parked);
        self.steering.poll_arrived(NatClass::of(nat));
        self.tally.polls += 1.0;
    }

    fn client(&mut self) {
        let nat = if self.rng.f64() < STRICT_CLIENTS {
            NatType::Restricted
        } else {
            NatType::Unrestricted
        };
        let offer = ClientOffer {
            offer: self.offer.clone(),
            nat,
            relay_url: Arc::clone(&self.relay_url),
            network: None,
            marks: PolicyMarks::default(),
        };
        let key = self
            .matcher
            .handle_client(self.now, self.now, offer, SupplyHint::NoPeers);
        self.clients.insert(key, NatClass::of(nat));
        self.tally.clients += 1.0;
        let pause = self.exponential(1.0 / (self.setup.day.clients * SHRUNK));
        self.schedule(pause, Event::ClientComes);
    }

    fn take_outputs(&mut self) {
        while let Some(output) = self.matcher.next_output() {
            match output {
                Output::Poll(key, reply) => self.end_poll(key, &reply),
                Output::Client(key, reply) => {
                    let class = self.clients.remove(&key).unwrap();
                    self.end_client(class, &reply);
                }
                Output::Event(_) | Output::AskPeer(_) => {}
            }
        }
    }

    fn end_poll(&mut self, key: PollKey, reply: &PollReply) {
        let parked = self.polls.remove(&key).unwrap();
        let proxy = self.proxies[parked.proxy];
        let pool = NatClass::of(proxy.nat);
        let mut away = 0.0;
        if let PollReply::Offer(_) = reply {
            self.steering.handed_off(pool);
            away = if self.rng.f64() < self.setup.day.silent {
                UNREACHED
            } else {
                // From 0.3 to 3 s, most of them early.
                let answers = 0.3 * 10_f64.powf(self.rng.f64());
                self.schedule(answers, Event::ProxyAnswers(parked.number));
                self.exponential(SERVED)
            };
        } else {
            self.tally.idle += 1.0;
        }
        let waited = self.now - parked.since;
        let told = self.steering.tell(pool, None, waited, self.rng.f64());
        let pause = if proxy.is_deaf {
            INTERVAL
        } else {
            told.as_secs_f64()
        };
        self.schedule(away + pause, Event::ProxyPolls(parked.proxy));
    }

    fn end_client(&mut self, class: NatClass, reply: &ClientReply) {
        match reply {
            ClientReply::Answer(_) => self.tally.matched += 1.0,
            ClientReply::TimedOut => self.tally.timed_out += 1.0,
            ClientReply::Denied(reason) => {
                assert!(matches!(reason, Denied::NoProxy | Denied::QueueFull));
                self.steering.denied(class);
                self.tally.denied += 1.0;
            }
        }
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.rng.f64()).ln()
    }
}

impl Tally {
    /// Polls a second, scaled to the large broker.
    pub(crate) fn polls_a_second(&self) -> f64 {
        self.polls / SHRUNK / self.span
    }

    /// The share of clients that were denied.
    pub(crate) fn denied_share(&self) -> f64 {
        self.denied / self.clients
    }

    /// The share of clients that timed out.
    pub(crate) fn timed_out_share(&self) -> f64 {
        self.timed_out / self.clients
    }
}

fn sid(number: u64) -> Sid {
    Sid::new(&number.to_string()).unwrap()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "fleets are small and not negative"
)]
fn rounded(count: f64) -> usize {
    count.round() as usize
}
