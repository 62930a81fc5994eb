//! Proxies and clients around the engine and the outcomes, in virtual time.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use snowflake_broker::geoip::CountryCode;
use snowflake_broker::matching::{
    Band, ClientKey, ClientReply, MatchesElsewhere, OfferEnd, PollKey, Source, SourceRecord,
};
use snowflake_broker::metrics::labels::Rendezvous;
use snowflake_broker::outcomes::{self, MatchedProxy, OutcomeClient, Outcomes};
use snowflake_broker::policy::RuleSet;
use snowflake_broker::wire::nat::{NatClass, NatType};

use super::fleet::Kind;
use super::proxies::{Proxy, Truth};
use super::scenes::{Knows, Scene, scaled};
use super::tally::{Tally, count_from};
use crate::simulation::{Simulation, Stage};

/// The polls of an attacker's address in a second.
const ATTACK_RATE: f64 = 30.0;
/// The share of clients that come back if they have no connection. The others give up.
const RETURNS: f64 = 0.9;
/// The share of clients in a country that is cut off for a third of the time.
const CUT_OFF: f64 = 0.25;

/// An event in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    Poll { proxy: usize },
    Answer { poll: u64 },
    Arrival,
    Request { person: usize },
    Mend,
}

/// A person with a client.
#[derive(Clone, Copy, Debug)]
struct Person {
    tries: u32,
    is_cut_off: bool,
}

/// A simulated broker.
pub(crate) struct World {
    scene: Scene,
    stage: Stage<Event>,
    outcomes: Outcomes,
    proxies: Vec<Proxy>,
    people: Vec<Person>,
    /// The proxies that are mended, without those that have got a client and that are good
    /// again.
    mended_without_client: BTreeSet<usize>,
    mended_not_good: BTreeSet<usize>,
    /// The number and proxy of each poll, until its offer has ended.
    polls: HashMap<PollKey, (u64, usize)>,
    /// The client that each poll was handed, and its proxy as it was then.
    handed: HashMap<PollKey, (OutcomeClient, MatchedProxy)>,
    requests: HashMap<ClientKey, (usize, OutcomeClient)>,
    /// The poll whose answer is the next reply.
    answered: Option<PollKey>,
    tally: Tally,
}

impl World {
    pub(crate) fn new(scene: Scene) -> Self {
        let stage = Stage::new(scene.supply(), scene.seed);
        let mut world = Self {
            outcomes: Outcomes::new(stage.instant(), outcomes::Settings::default()),
            stage,
            proxies: Vec::new(),
            people: Vec::new(),
            mended_without_client: BTreeSet::new(),
            mended_not_good: BTreeSet::new(),
            polls: HashMap::new(),
            handed: HashMap::new(),
            requests: HashMap::new(),
            answered: None,
            tally: Tally::default(),
            scene,
        };
        world.add_proxies();
        world.stage.plan(Duration::ZERO, Event::Arrival);
        world
    }

    /// The counts of the scene.
    pub(crate) fn run(mut self) -> Tally {
        self.play(self.scene.warm_up + self.scene.counted);
        let later = self.stage.instant() + Duration::from_hours(1);
        self.outcomes.advance(later);
        self.tally.totals = self.outcomes.totals();
        self.tally
    }

    fn add_proxies(&mut self) {
        for (kind, count) in self.scene.day.open_fleet() {
            let count = scaled(count, self.scene.scale);
            for _ in 0..count {
                let source = self.stage.next_number();
                let proxy = Proxy::new(kind, source, &mut self.stage.random);
                self.add(proxy);
            }
        }
        for _ in 0..self.scene.attackers {
            let source = self.stage.next_number();
            self.add(Proxy::of(Kind::Standalone, Truth::Attacker, source));
        }
        for _ in 0..self.scene.mended {
            let source = self.stage.next_number();
            self.add(Proxy::of(Kind::Obedient, Truth::CutOff, source));
            self.mended_not_good.insert(self.proxies.len() - 1);
        }
        if self.scene.mended > 0 {
            self.stage.plan(self.scene.warm_up, Event::Mend);
        }
        let Some(crowd) = self.scene.crowd else {
            return;
        };
        let shared = self.stage.next_number();
        for _ in 0..crowd.proxies {
            let own = self.stage.next_number();
            let source = if crowd.shares_address { shared } else { own };
            self.add(Proxy::of(Kind::Obedient, Truth::Works, source));
        }
    }

    fn add(&mut self, proxy: Proxy) {
        let cycle = proxy.kind.cycle(Duration::ZERO);
        let phase = cycle.mul_f64(self.stage.random.f64());
        self.proxies.push(proxy);
        let proxy = self.proxies.len() - 1;
        self.stage.plan(phase, Event::Poll { proxy });
    }

    fn mend(&mut self) {
        self.mended_without_client = self.mended_not_good.clone();
        for &proxy in &self.mended_not_good {
            self.proxies[proxy].truth = Truth::Works;
        }
    }

    /// Notes the first time at which the broker takes a mended proxy for good.
    fn note_good(&mut self, index: usize, band: Band) {
        let Some(after) = self.stage.now.checked_sub(self.scene.warm_up) else {
            return;
        };
        if band == Band::Good && self.mended_not_good.remove(&index) {
            count_from(&mut self.tally.mended_good, after);
        }
    }

    fn arrive(&mut self) {
        let rate = self.scene.day.new_strict_clients() * self.scene.scale;
        let gap = self.stage.until_the_next(rate);
        self.stage.plan(gap, Event::Arrival);
        self.people.push(Person {
            tries: 0,
            is_cut_off: self.stage.random.f64() < CUT_OFF,
        });
        self.request(self.people.len() - 1);
    }

    fn request(&mut self, person: usize) {
        let now = self.stage.instant();
        self.people[person].tries += 1;
        let id = person as u64;
        let country = if self.people[person].is_cut_off {
            "IR"
        } else {
            "RU"
        };
        let client = OutcomeClient {
            id: Some(id),
            earlier_id: None,
            address: None,
            offer: self.stage.next_number(),
            voter: Some(id),
            country: country.parse::<CountryCode>().expect("a country"),
            class: NatClass::Strict,
            rendezvous: Rendezvous::Http,
        };
        self.outcomes.handle_client(now, &client);
        let key = self.stage.request(NatType::Strict, id % 500);
        self.requests.insert(key, (person, client));
        self.tally
            .count(self.is_counted(), |tally| tally.requests += 1);
    }

    fn poll(&mut self, index: usize) {
        let number = self.stage.next_number();
        self.proxies[index].polled = self.stage.now;
        let proxy = self.proxies[index];
        if proxy.truth == Truth::Attacker {
            let gap = Duration::from_secs_f64(1.0 / ATTACK_RATE);
            self.stage.plan(gap, Event::Poll { proxy: index });
        }
        let record = self.record(proxy);
        self.note_good(index, record.band);
        let source = Source {
            id: proxy.source,
            network: proxy.source,
            share: 1,
            record,
            elsewhere: MatchesElsewhere::default(),
        };
        let kind = (proxy.proxy_type(), NatType::Open);
        let key = self.stage.poll(number, kind, Some(source));
        self.polls.insert(key, (number, index));
    }

    fn record(&self, proxy: Proxy) -> SourceRecord {
        match self.scene.knows {
            Knows::Nothing => SourceRecord::default(),
            Knows::Outcomes => self.outcomes.record(self.stage.instant(), proxy.source),
            Knows::Truth if proxy.truth == Truth::Works => SourceRecord {
                band: Band::Good,
                ..SourceRecord::default()
            },
            Knows::Truth => SourceRecord {
                rests: true,
                ..SourceRecord::default()
            },
        }
    }

    fn plan_next_poll(&mut self, index: usize) {
        let number = self.stage.next_number();
        let proxy = &mut self.proxies[index];
        if proxy.truth == Truth::Attacker {
            return;
        }
        let now = self.stage.now;
        let after = proxy.kind.next_poll(proxy.polled, now);
        let after = after.saturating_sub(now);
        proxy.live(after, number, &mut self.stage.random);
        self.stage.plan(after, Event::Poll { proxy: index });
    }

    /// Tries to connect a client to the proxy that answered.
    fn connect(&mut self, poll: PollKey, person: usize, client: OutcomeClient) -> bool {
        let (_, index) = self.polls.remove(&poll).expect("a poll with an offer");
        let (_, proxy) = self.handed.remove(&poll).expect("a poll with an offer");
        let now = self.stage.instant();
        self.outcomes.handle_answer(now, client, Some(proxy));
        let is_shut_down = self.people[person].is_cut_off && self.is_shutdown();
        let truth = self.proxies[index].truth;
        let connects = !is_shut_down && truth.connects(&mut self.stage.random);
        if connects && self.proxies[index].kind.has_one_client() {
            // Another one takes its place, whose client of hours ago has left.
            self.proxies[index].source = self.stage.next_number();
        }
        connects
    }

    /// The middle third of the counted time.
    fn is_shutdown(&self) -> bool {
        let third = self.scene.counted / 3;
        let from = self.scene.warm_up + third;
        (from..from + third).contains(&self.stage.now)
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
        self.outcomes.advance(self.stage.instant());
        match event {
            Event::Poll { proxy } => self.poll(proxy),
            Event::Answer { poll } => self.stage.answer(poll),
            Event::Arrival => self.arrive(),
            Event::Request { person } => self.request(person),
            Event::Mend => self.mend(),
        }
    }

    fn handed(&mut self, key: PollKey, client: ClientKey) {
        let (number, index) = self.polls[&key];
        let proxy = self.proxies[index];
        let (_, client) = self.requests[&client];
        let matched = MatchedProxy {
            source: Some(proxy.source),
            proxy_type: proxy.proxy_type(),
            class: NatClass::Open,
            decided: RuleSet::NONE,
        };
        self.handed.insert(key, (client, matched));
        if self.mended_without_client.remove(&index) {
            let after = self.stage.now.saturating_sub(self.scene.warm_up);
            count_from(&mut self.tally.mended_with_client, after);
        }
        let is_attacker = proxy.truth == Truth::Attacker;
        let is_of_crowd = proxy.kind == Kind::Obedient;
        self.tally.count(self.is_counted(), |tally| {
            tally.offers += 1;
            tally.attackers_offers += u32::from(is_attacker);
            tally.crowd_offers += u32::from(is_of_crowd);
        });
        if let Some(after) = proxy.truth.answers_after(&mut self.stage.random) {
            self.stage.plan(after, Event::Answer { poll: number });
        }
        self.plan_next_poll(index);
    }

    fn offer_ended(&mut self, poll: PollKey, end: OfferEnd) {
        if end == OfferEnd::Answered {
            self.answered = Some(poll);
            return;
        }
        self.polls.remove(&poll);
        let (client, proxy) = self.handed.remove(&poll).expect("a poll with an offer");
        if end == OfferEnd::Unanswered {
            let now = self.stage.instant();
            self.outcomes.handle_unanswered(now, &client, &proxy);
        }
    }

    fn replied(&mut self, key: ClientKey, reply: &ClientReply) {
        let (person, client) = self.requests.remove(&key).expect("a client that waits");
        let poll = self.answered.take();
        let is_connected = match (reply, poll) {
            (ClientReply::Answer(_), Some(poll)) => self.connect(poll, person, client),
            _ => false,
        };
        let tries = self.people[person].tries;
        self.tally.count(self.is_counted(), |tally| match reply {
            ClientReply::Answer(_) if is_connected => {
                tally.connected += 1;
                tally.tries += tries;
            }
            ClientReply::Answer(_) => tally.failed += 1,
            ClientReply::TimedOut => tally.timed_out += 1,
            ClientReply::Denied(_) => tally.denied += 1,
        });
        if !is_connected && self.stage.random.f64() < RETURNS {
            // It waits 10 s for the data channel, and 10 s more before it asks again.
            let waits = if matches!(reply, ClientReply::Answer(_)) {
                20.0
            } else {
                10.0
            };
            let after = Duration::from_secs_f64(waits + self.stage.random.f64());
            self.stage.plan(after, Event::Request { person });
        }
    }

    fn refused(&mut self, key: PollKey) {
        let (_, proxy) = self.polls.remove(&key).expect("a poll that waits");
        self.plan_next_poll(proxy);
    }
}
