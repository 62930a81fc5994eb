//! Proxies, clients and attackers around the engine, in virtual time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::ops::Range;
use std::time::{Duration, Instant};

use fastrand::Rng;
use snowflake_broker::matching::{
    ClientKey, ClientOffer, ClientReply, Matcher, Output, PollKey, PollReply, Settings, Source,
    SourceRecord, SupplyHint,
};
use snowflake_broker::policy::PolicyMarks;
use snowflake_broker::wire::nat::NatType;
use snowflake_broker::wire::proxy::{ProxyPoll, ProxyType, Sid};
use snowflake_broker::wire::session_description::SessionDescription;

use super::people::{GHOSTS_UNTIL, People, may_be_ghost, returns};
use super::proxies::{Proxy, Role};
use super::scene::{Rule, Scene};
use super::tally::Tally;
use crate::engine::{description, some_instant};

/// The polls of an attacker's address in a second, which the limits of requests allow.
const ATTACK_RATE: f64 = 30.0;
/// The time in which the reference broker admits one poll of an address.
const ONE_POLL: Duration = Duration::from_secs(20);
/// The time that an honest proxy takes for an answer, in seconds.
const GATHERING: Range<f64> = 0.3..3.0;
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Poll { proxy: usize },
    Answer { poll: u64, proxy: usize },
    Arrival,
    OtherArrival,
    Ghost,
    Return { person: usize },
}

/// A client's request.
#[derive(Clone, Copy, Debug)]
struct Request {
    person: usize,
    is_spoiled: bool,
}

pub(crate) struct World {
    scene: Scene,
    engine: Matcher,
    start: Instant,
    now: Duration,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    numbers: u64,
    random: Rng,
    proxies: Vec<Proxy>,
    /// The number and proxy of each poll that waits.
    polls: HashMap<PollKey, (u64, usize)>,
    requests: HashMap<ClientKey, Request>,
    people: People,
    /// The time of the last poll that was admitted from each source.
    admitted: HashMap<u64, Duration>,
    /// The proxy that is answering.
    answering: Option<usize>,
    offer: SessionDescription,
    answer: SessionDescription,
    tally: Tally,
}

fn sid(number: u64) -> Sid {
    Sid::new(&number.to_string()).expect("not empty")
}

impl World {
    pub(crate) fn new(scene: Scene) -> Self {
        let mut engine = Matcher::new(Settings::default());
        engine.set_supply(some_instant(), scene.rule.supply());
        let mut world = Self {
            scene,
            engine,
            start: some_instant(),
            now: Duration::ZERO,
            events: BinaryHeap::new(),
            numbers: 0,
            random: Rng::with_seed(scene.seed),
            proxies: Vec::new(),
            polls: HashMap::new(),
            requests: HashMap::new(),
            people: People::default(),
            admitted: HashMap::new(),
            answering: None,
            offer: description("offer", "v=0"),
            answer: description("answer", "v=0"),
            tally: Tally::default(),
        };
        world.add_proxies();
        world.plan_arrival(Event::Arrival);
        world.plan_arrival(Event::Ghost);
        if scene.has_others {
            world.plan_arrival(Event::OtherArrival);
        }
        world
    }

    /// The counts of the scene.
    pub(crate) fn run(mut self) -> Tally {
        let end = self.scene.warm_up + self.scene.counted;
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            if at > end {
                break;
            }
            self.serve_timers(at);
            self.now = at;
            self.happen(event);
            self.take_outputs();
        }
        (self.tally.clients, self.tally.touched) = self.people.counts();
        self.tally
    }

    fn add_proxies(&mut self) {
        let scene = self.scene;
        for (kind, count) in scene.day.open_fleet() {
            self.add(Role::Honest(kind), NatType::Open, count, false);
        }
        if scene.has_others {
            for (kind, count) in scene.day.other_fleet() {
                self.add(Role::Honest(kind), NatType::Strict, count, false);
            }
        }
        if let Some(crowd) = scene.crowd {
            let role = Role::OfCrowd(crowd.kind);
            self.add(role, NatType::Open, crowd.proxies, crowd.shares_address);
        }
        if let Some(attack) = scene.attack {
            self.add(
                Role::Attacker,
                NatType::Unrestricted,
                attack.addresses,
                false,
            );
        }
    }

    fn add(&mut self, role: Role, nat: NatType, count: usize, shares_address: bool) {
        let shared = self.next_number();
        for _ in 0..count {
            let source = if shares_address {
                shared
            } else {
                self.next_number()
            };
            let proxy = self.proxies.len();
            self.proxies.push(Proxy {
                role,
                nat,
                source,
                polled: Duration::ZERO,
            });
            let phase = role.cycle().mul_f64(self.random.f64());
            self.plan(phase, Event::Poll { proxy });
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Poll { proxy } => self.poll(proxy),
            Event::Answer { poll, proxy } => {
                self.answering = Some(proxy);
                let (now, answer) = (self.instant(), self.answer.clone());
                self.engine.handle_answer(now, &sid(poll), answer);
            }
            Event::Return { person } => self.request(person),
            Event::Arrival | Event::OtherArrival | Event::Ghost => self.arrive(event),
        }
    }

    /// A client comes for the first time, or is a ghost: one whose earlier requests were
    /// before the start.
    fn arrive(&mut self, event: Event) {
        self.plan_arrival(event);
        let is_there = event != Event::Ghost || may_be_ghost(self.now, &mut self.random);
        if is_there {
            let is_strict = event != Event::OtherArrival;
            let person = self.people.add(is_strict, &mut self.random);
            self.request(person);
        }
    }

    fn plan_arrival(&mut self, event: Event) {
        let day = &self.scene.day;
        let new = day.new_strict_clients();
        let rate = match event {
            Event::OtherArrival => day.other_clients(),
            Event::Ghost => day.strict_clients() - new,
            _ => new,
        };
        if event != Event::Ghost || self.now < GHOSTS_UNTIL {
            let gap = self.until_the_next(rate);
            self.plan(gap, event);
        }
    }

    fn request(&mut self, person: usize) {
        let (now, who) = (self.instant(), self.people.of(person));
        let offer = ClientOffer {
            offer: self.offer.clone(),
            nat: who.nat(),
            relay_url: "wss://relay.example/".into(),
            network: Some(who.network),
            marks: PolicyMarks::default(),
        };
        if self.is_counted() {
            self.people.seen(person);
        }
        let hint = SupplyHint::NoPeers;
        let key = self.engine.handle_client(now, now, offer, hint);
        let is_spoiled = false;
        self.requests.insert(key, Request { person, is_spoiled });
    }

    fn poll(&mut self, index: usize) {
        let number = self.next_number();
        self.proxies[index].polled = self.now;
        let proxy = self.proxies[index];
        if proxy.role == Role::Attacker {
            let gap = self.until_the_next(ATTACK_RATE);
            self.plan(gap, Event::Poll { proxy: index });
        } else if self.is_counted() && proxy.nat == NatType::Open {
            self.tally.polls += 1;
        }
        if !self.admits(proxy.source) {
            return self.plan_next_poll(index);
        }
        let poll = ProxyPoll {
            sid: sid(number),
            proxy_type: ProxyType::STANDALONE,
            type_name: None,
            nat: proxy.nat,
            clients: 0,
            accepted_relay_pattern: None,
        };
        let source = matches!(self.scene.rule, Rule::Shares(_)).then_some(Source {
            id: proxy.source,
            network: proxy.source,
            share: 1,
            record: SourceRecord::default(),
        });
        let now = self.instant();
        let key = self
            .engine
            .handle_poll(now, now, &poll, source, PolicyMarks::default());
        self.polls.insert(key.expect("a new Sid"), (number, index));
    }

    fn admits(&mut self, source: u64) -> bool {
        if self.scene.rule != Rule::OnePoll {
            return true;
        }
        let last = self.admitted.get(&source);
        let admits = last.is_none_or(|&last| self.now >= last + ONE_POLL);
        if admits {
            self.admitted.insert(source, self.now);
        }
        admits
    }

    fn plan_next_poll(&mut self, proxy: usize) {
        let Proxy { role, polled, .. } = self.proxies[proxy];
        let Some(kind) = role.kind() else {
            return;
        };
        let after = kind.next_poll(polled, self.now).saturating_sub(self.now);
        if self.random.f64() < role.churn_within(after) {
            self.proxies[proxy].source = self.next_number();
        }
        self.plan(after, Event::Poll { proxy });
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
            match output {
                Output::Poll(key, PollReply::Offer(hand_off)) => self.handed(key, hand_off.client),
                Output::Poll(key, PollReply::NoMatch(_)) => {
                    let (_, proxy) = self.polls.remove(&key).expect("a poll that waits");
                    self.plan_next_poll(proxy);
                }
                Output::Client(key, reply) => self.replied(key, &reply),
                Output::AskPeer(_) | Output::Event(_) => {}
            }
        }
        self.answering = None;
    }

    /// A proxy has a client's offer.
    fn handed(&mut self, key: PollKey, client: ClientKey) {
        let (poll, proxy) = self.polls.remove(&key).expect("a poll that waits");
        let request = self.requests.get_mut(&client).expect("a client that waits");
        let is_strict = self.people.of(request.person).is_strict;
        let role = self.proxies[proxy].role;
        let is_attacker = role == Role::Attacker;
        request.is_spoiled |= is_attacker;
        if is_attacker {
            self.people.touched(request.person);
        }
        if is_strict && self.is_counted() {
            self.tally.honest_offers += u32::from(!is_attacker);
            self.tally.attackers_offers += u32::from(is_attacker);
            self.tally.crowd_offers += u32::from(matches!(role, Role::OfCrowd(_)));
        }
        if is_attacker {
            if self.scene.attack.is_some_and(|attack| attack.answers) {
                self.plan(Duration::ZERO, Event::Answer { poll, proxy });
            }
            return;
        }
        if self.random.f64() > self.scene.day.silent {
            let time = self.gathering_time();
            self.plan(time, Event::Answer { poll, proxy });
            self.serve_for_long(proxy);
        }
        self.plan_next_poll(proxy);
    }

    /// Most proxies are quick: half of them answer within 1 s.
    fn gathering_time(&mut self) -> Duration {
        let slowness = self.random.f64().powi(2);
        let Range { start, end } = GATHERING;
        Duration::from_secs_f64(start + slowness * (end - start))
    }

    /// A proxy that has one client at a time polls no more, and another one does whose
    /// client of hours ago has left.
    fn serve_for_long(&mut self, proxy: usize) {
        if self.proxies[proxy].role.has_one_client() {
            self.proxies[proxy].source = self.next_number();
        }
    }

    fn replied(&mut self, key: ClientKey, reply: &ClientReply) {
        let Request { person, is_spoiled } =
            self.requests.remove(&key).expect("a client that waits");
        let by = self.answering.map(|proxy| self.proxies[proxy].role);
        let is_answered = matches!(reply, ClientReply::Answer(_));
        let is_served = is_answered && by != Some(Role::Attacker);
        if self.is_counted() {
            self.count(reply, person, is_served, is_spoiled);
        }
        if !is_served && let Some(after) = returns(&mut self.random) {
            self.plan(after, Event::Return { person });
        }
    }

    fn count(&mut self, reply: &ClientReply, person: usize, is_served: bool, is_spoiled: bool) {
        let tally = &mut self.tally;
        if !self.people.of(person).is_strict {
            tally.others += 1;
            tally.others_served += u32::from(is_served);
            return;
        }
        tally.spoiled += u32::from(is_spoiled && !is_served);
        *match reply {
            ClientReply::Answer(_) if is_served => &mut tally.served,
            ClientReply::Answer(_) => &mut tally.fooled,
            ClientReply::TimedOut => &mut tally.timed_out,
            ClientReply::Denied(_) => &mut tally.denied,
        } += 1;
    }

    fn is_counted(&self) -> bool {
        self.now > self.scene.warm_up
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

    fn instant(&self) -> Instant {
        self.start + self.now
    }
}
