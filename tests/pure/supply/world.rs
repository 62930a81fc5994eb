//! Honest proxies, clients and attackers around the engine.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, Instant};

use fastrand::Rng;
use snowflake_broker::matching::{
    ClientOffer, Matcher, Output, PollKey, PollReply, Settings, Source, SupplyHint,
};
use snowflake_broker::wire::nat::NatType;
use snowflake_broker::wire::proxy::{ProxyPoll, ProxyType, Sid};

use crate::engine::{description, some_instant};

/// The polls of an attacker's address in a second, which the limits of requests allow.
const ATTACK_RATE: f64 = 30.0;
/// The time that an honest proxy waits after a reply.
const INTERVAL: Duration = Duration::from_secs(20);
/// The time that an honest proxy takes for an answer.
const GATHERING: Duration = Duration::from_secs(1);
/// The share of honest proxies that never answer.
const SILENT: f64 = 0.2;
/// The time before anything is counted, and the time in which it is: whole minutes, because
/// limits are of a minute.
const WARM_UP: Duration = Duration::from_mins(1);
const COUNTED: Duration = Duration::from_mins(2);

/// The supply and the demand of a day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Day {
    pub(crate) honest_sources: u64,
    pub(crate) clients_a_second: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Poll { source: u64 },
    Answer { poll: u64 },
    Client,
}

pub(crate) struct World {
    day: Day,
    attackers: u64,
    has_sources: bool,
    engine: Matcher,
    start: Instant,
    now: Duration,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    numbers: u64,
    random: Rng,
    /// The number and source of each poll that waits.
    polls: HashMap<PollKey, (u64, u64)>,
    /// The offers that honest proxies and attackers were handed.
    offers: [u32; 2],
}

fn sid(number: u64) -> Sid {
    Sid::new(&number.to_string()).expect("not empty")
}

impl World {
    pub(crate) fn new(day: Day, attackers: u64) -> Self {
        let mut world = Self {
            day,
            attackers,
            has_sources: true,
            engine: Matcher::new(Settings::default()),
            start: some_instant(),
            now: Duration::ZERO,
            events: BinaryHeap::new(),
            numbers: 0,
            random: Rng::with_seed(1),
            polls: HashMap::new(),
            offers: [0; 2],
        };
        for source in 0..day.honest_sources + attackers {
            let after = INTERVAL.mul_f64(world.random.f64());
            world.plan(after, Event::Poll { source });
        }
        world.plan(Duration::ZERO, Event::Client);
        world
    }

    /// The same before a broker that knows nothing of sources.
    pub(crate) fn without_sources(day: Day, attackers: u64) -> Self {
        Self {
            has_sources: false,
            ..Self::new(day, attackers)
        }
    }

    /// The attackers' share of all offers.
    pub(crate) fn run(mut self) -> f64 {
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            if at > WARM_UP + COUNTED {
                break;
            }
            self.serve_timers(at);
            self.now = at;
            self.happen(event);
            self.take_outputs();
        }
        let [honest, attackers] = self.offers.map(f64::from);
        attackers / (honest + attackers)
    }

    fn happen(&mut self, event: Event) {
        let now = self.start + self.now;
        match event {
            Event::Poll { source } => self.poll(source),
            Event::Answer { poll } => {
                self.engine
                    .handle_answer(now, &sid(poll), description("answer", "v=0"));
            }
            Event::Client => {
                let offer = ClientOffer {
                    offer: description("offer", "v=0"),
                    nat: NatType::Strict,
                    relay_url: "wss://relay.example/".into(),
                    network: None,
                };
                self.engine
                    .handle_client(now, now, offer, SupplyHint::NoPeers);
                let gap = self.until_the_next(self.day.clients_a_second);
                self.plan(gap, Event::Client);
            }
        }
    }

    fn poll(&mut self, source: u64) {
        let number = self.next_number();
        let poll = ProxyPoll {
            sid: sid(number),
            proxy_type: ProxyType::STANDALONE,
            type_name: None,
            nat: NatType::Open,
            clients: 0,
            accepted_relay_pattern: None,
        };
        let now = self.start + self.now;
        let known = self.has_sources.then_some(Source {
            id: source,
            network: source,
            share: 1,
        });
        let key = self.engine.handle_poll(now, now, &poll, known);
        self.polls.insert(key.expect("a new Sid"), (number, source));
        if self.is_attacker(source) {
            let gap = self.until_the_next(ATTACK_RATE);
            self.plan(gap, Event::Poll { source });
        }
    }

    fn serve_timers(&mut self, until: Duration) {
        while let Some(at) = self.engine.poll_timeout() {
            let at = at.saturating_duration_since(self.start);
            if at > until {
                return;
            }
            self.now = self.now.max(at);
            self.engine.handle_timeout(self.start + self.now);
            self.take_outputs();
        }
    }

    fn take_outputs(&mut self) {
        while let Some(output) = self.engine.next_output() {
            let Output::Poll(key, reply) = output else {
                continue;
            };
            let (number, source) = self.polls.remove(&key).expect("a poll that waits");
            let is_attacker = self.is_attacker(source);
            let is_offer = matches!(reply, PollReply::Offer(_));
            if is_offer && self.now > WARM_UP {
                self.offers[usize::from(is_attacker)] += 1;
            }
            if is_attacker {
                continue;
            }
            if is_offer && self.random.f64() > SILENT {
                self.plan(GATHERING, Event::Answer { poll: number });
            }
            self.plan(INTERVAL, Event::Poll { source });
        }
    }

    fn is_attacker(&self, source: u64) -> bool {
        (self.day.honest_sources..self.day.honest_sources + self.attackers).contains(&source)
    }

    /// Arrivals are a Poisson process.
    fn until_the_next(&mut self, rate: f64) -> Duration {
        Duration::from_secs_f64(-(1.0 - self.random.f64()).ln() / rate)
    }

    fn plan(&mut self, after: Duration, event: Event) {
        let number = self.next_number();
        self.events.push(Reverse((self.now + after, number, event)));
    }

    fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}
