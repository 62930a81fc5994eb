//! Proxies, clients and attackers around the engine, in virtual time.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use snowflake_broker::matching::{
    ClientKey, ClientReply, MatchesElsewhere, OfferEnd, PollKey, Source, SourceRecord,
};
use snowflake_broker::wire::nat::NatType;
use snowflake_broker::wire::proxy::ProxyType;

use super::people::{GHOSTS_UNTIL, People, may_be_ghost, returns};
use super::proxies::{Proxy, Role};
use super::scene::{Rule, Scene};
use super::tally::Tally;
use crate::simulation::{Simulation, Stage};

/// The polls of an attacker's address in a second, which the limits of requests allow.
const ATTACK_RATE: f64 = 30.0;
/// The time in which the reference broker admits one poll of an address.
const ONE_POLL: Duration = Duration::from_secs(20);
/// The time that an honest proxy takes for an answer, in seconds.
const GATHERING: Range<f64> = 0.3..3.0;

/// An event in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
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
    stage: Stage<Event>,
    proxies: Vec<Proxy>,
    /// The number and proxy of each poll that waits.
    polls: HashMap<PollKey, (u64, usize)>,
    requests: HashMap<ClientKey, Request>,
    people: People,
    /// The time of the last poll that was admitted from each source.
    admitted: HashMap<u64, Duration>,
    /// The proxy that is answering.
    answering: Option<usize>,
    tally: Tally,
}

impl World {
    pub(crate) fn new(scene: Scene) -> Self {
        let mut world = Self {
            scene,
            stage: Stage::new(scene.rule.supply(), scene.seed),
            proxies: Vec::new(),
            polls: HashMap::new(),
            requests: HashMap::new(),
            people: People::default(),
            admitted: HashMap::new(),
            answering: None,
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
        self.play(self.scene.warm_up + self.scene.counted);
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
        let shared = self.stage.next_number();
        for _ in 0..count {
            let source = if shares_address {
                shared
            } else {
                self.stage.next_number()
            };
            let proxy = self.proxies.len();
            self.proxies.push(Proxy {
                role,
                nat,
                source,
                polled: Duration::ZERO,
            });
            let phase = role.cycle().mul_f64(self.stage.random.f64());
            self.stage.plan(phase, Event::Poll { proxy });
        }
    }

    /// A client comes for the first time, or is a ghost: one whose earlier requests were
    /// before the start.
    fn arrive(&mut self, event: Event) {
        self.plan_arrival(event);
        let is_there =
            event != Event::Ghost || may_be_ghost(self.stage.now, &mut self.stage.random);
        if is_there {
            let is_strict = event != Event::OtherArrival;
            let person = self.people.add(is_strict, &mut self.stage.random);
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
        if event != Event::Ghost || self.stage.now < GHOSTS_UNTIL {
            let gap = self.stage.until_the_next(rate);
            self.stage.plan(gap, event);
        }
    }

    fn request(&mut self, person: usize) {
        let who = self.people.of(person);
        if self.is_counted() {
            self.people.seen(person);
        }
        let key = self.stage.request(who.nat(), who.network);
        let is_spoiled = false;
        self.requests.insert(key, Request { person, is_spoiled });
    }

    fn poll(&mut self, index: usize) {
        let number = self.stage.next_number();
        self.proxies[index].polled = self.stage.now;
        let proxy = self.proxies[index];
        if proxy.role == Role::Attacker {
            let gap = self.stage.until_the_next(ATTACK_RATE);
            self.stage.plan(gap, Event::Poll { proxy: index });
        } else if self.is_counted() && proxy.nat == NatType::Open {
            self.tally.polls += 1;
        }
        if !self.admits(proxy.source) {
            return self.plan_next_poll(index);
        }
        let source = matches!(self.scene.rule, Rule::Shares(_)).then_some(Source {
            id: proxy.source,
            network: proxy.source,
            share: 1,
            record: SourceRecord::default(),
            elsewhere: MatchesElsewhere::default(),
        });
        let kind = (ProxyType::STANDALONE, proxy.nat);
        let key = self.stage.poll(number, kind, source);
        self.polls.insert(key, (number, index));
    }

    fn admits(&mut self, source: u64) -> bool {
        if self.scene.rule != Rule::OnePoll {
            return true;
        }
        let last = self.admitted.get(&source);
        let admits = last.is_none_or(|&last| self.stage.now >= last + ONE_POLL);
        if admits {
            self.admitted.insert(source, self.stage.now);
        }
        admits
    }

    fn plan_next_poll(&mut self, proxy: usize) {
        let Proxy { role, polled, .. } = self.proxies[proxy];
        let Some(kind) = role.kind() else {
            return;
        };
        let after = kind
            .next_poll(polled, self.stage.now)
            .saturating_sub(self.stage.now);
        if self.stage.random.f64() < role.churn_within(after) {
            self.proxies[proxy].source = self.stage.next_number();
        }
        self.stage.plan(after, Event::Poll { proxy });
    }

    /// Most proxies are quick: half of them answer within 1 s.
    fn gathering_time(&mut self) -> Duration {
        let slowness = self.stage.random.f64().powi(2);
        let Range { start, end } = GATHERING;
        Duration::from_secs_f64(start + slowness * (end - start))
    }

    /// A proxy that has one client at a time polls no more, and another one does whose
    /// client of hours ago has left.
    fn serve_for_long(&mut self, proxy: usize) {
        if self.proxies[proxy].role.has_one_client() {
            self.proxies[proxy].source = self.stage.next_number();
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
        self.stage.now > self.scene.warm_up
    }
}

impl Simulation for World {
    type Event = Event;

    fn stage(&mut self) -> &mut Stage<Event> {
        &mut self.stage
    }

    fn happen(&mut self, event: Event) {
        self.answering = None;
        match event {
            Event::Poll { proxy } => self.poll(proxy),
            Event::Answer { poll, proxy } => {
                self.answering = Some(proxy);
                self.stage.answer(poll);
            }
            Event::Return { person } => self.request(person),
            Event::Arrival | Event::OtherArrival | Event::Ghost => self.arrive(event),
        }
    }

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
                self.stage
                    .plan(Duration::ZERO, Event::Answer { poll, proxy });
            }
            return;
        }
        if self.stage.random.f64() > self.scene.day.silent {
            let time = self.gathering_time();
            self.stage.plan(time, Event::Answer { poll, proxy });
            self.serve_for_long(proxy);
        }
        self.plan_next_poll(proxy);
    }

    fn refused(&mut self, key: PollKey) {
        let (_, proxy) = self.polls.remove(&key).expect("a poll that waits");
        self.plan_next_poll(proxy);
    }

    fn offer_ended(&mut self, _: PollKey, _: OfferEnd) {}

    fn replied(&mut self, key: ClientKey, reply: &ClientReply) {
        let Request { person, is_spoiled } =
            self.requests.remove(&key).expect("a client that waits");
        let by = self.answering.map(|proxy| self.proxies[proxy].role);
        let is_answered = matches!(reply, ClientReply::Answer(_));
        let is_served = is_answered && by != Some(Role::Attacker);
        if self.is_counted() {
            self.count(reply, person, is_served, is_spoiled);
        }
        if !is_served && let Some(after) = returns(&mut self.stage.random) {
            self.stage.plan(after, Event::Return { person });
        }
    }
}
