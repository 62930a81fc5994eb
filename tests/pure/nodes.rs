//! Several engines that ask each other for proxies, as the nodes of a cluster do, over links
//! that delay and lose what they say. Each node offers what its last word of supply told.
//! Whatever happens:
//!
//! - a client has one reply, by its deadline, and an answer is to its own offer;
//! - a proxy serves one client;
//! - no more proxies keep a client's offer than each of its `max_attempts` allows: a node that
//!   has another's offer rematches it itself;
//! - in the end nothing is left at any node.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, Instant};

use fastrand::Rng;
use snowflake_broker::matching::{
    AnswerOutcome, AskPeer, Borrower, ClientKey, ClientOffer, ClientReply, Matcher, Output,
    PeerReply, PollKey, PollReply, Settings, Snapshot, SupplyHint,
};
use snowflake_broker::policy::PolicyMarks;
use snowflake_broker::wire::nat::{NatClass, NatType};
use snowflake_broker::wire::proxy::{ProxyPoll, ProxyType, Sid};

use crate::engine::{description, some_instant};

const SEEDS: std::ops::Range<u64> = 0..400;
const NODES: usize = 3;
/// The time for which clients and proxies come.
const SPAN: Duration = Duration::from_secs(30);
/// The time until which closed polls are remembered.
const UNTIL_EMPTY: Duration = Duration::from_mins(2);
const SUPPLY_EVERY: Duration = Duration::from_millis(200);
/// The time after which a node that has not said that it takes an offer is given up.
const UNHEARD: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Proxy(usize),
    Client(usize),
    Supply(usize),
    HearSupply { at: usize, of: usize, count: usize },
    Answer { node: usize, proxy: u64 },
    Decline { node: usize, proxy: u64 },
    ProxyLeaves { node: usize, proxy: u64 },
    ClientLeaves(u64),
    Ask { call: u64 },
    Withdraw { call: u64 },
    Unheard { call: u64 },
    Hear { call: u64, word: Word },
}

/// A node's word about another's offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Taken,
    NotTaken,
    Gone,
    Answer(u64),
}

#[derive(Debug)]
struct Call {
    /// The client, and the node that asks for it.
    client: u64,
    lender: usize,
    ask: AskPeer,
    lent: Option<ClientKey>,
    is_heard: bool,
    has_ended: bool,
}

#[derive(Debug, Default)]
struct ClientBook {
    node: usize,
    key: ClientKey,
    deadline: Duration,
    replies: usize,
    has_left: bool,

    /// The proxies that have had the offer and have neither declined nor left.
    kept_by: Vec<u64>,
    served_by: Vec<u64>,
}

#[derive(Debug, Default)]
struct ProxyBook {
    client: Option<u64>,
    /// The call by which another node asked for it.
    call: Option<u64>,
}

struct World {
    engines: Vec<Matcher>,
    settings: Settings,
    start: Instant,
    now: Duration,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    numbers: u64,
    random: Rng,
    loss: f64,
    polls: Vec<BTreeMap<PollKey, u64>>,
    poll_keys: BTreeMap<u64, PollKey>,
    by_key: Vec<BTreeMap<ClientKey, u64>>,
    clients: BTreeMap<u64, ClientBook>,
    proxies: BTreeMap<u64, ProxyBook>,
    calls: BTreeMap<u64, Call>,
    borrowed: Vec<BTreeMap<ClientKey, u64>>,
    /// By node, the proxies that the others are known to have.
    supply: Vec<[usize; NODES]>,
    counts: [usize; 4],
}

fn sid(number: u64) -> Sid {
    Sid::new(&number.to_string()).expect("not empty")
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let settings = Settings {
            max_attempts: random.usize(1..=3),
            second_chance_reserve: 0,
            ..Settings::default()
        };
        let loss = [0.0, 0.1, 0.4][random.usize(..3)];
        let mut world = Self {
            engines: (0..NODES).map(|_| Matcher::new(settings.clone())).collect(),
            settings,
            start: some_instant(),
            now: Duration::ZERO,
            events: BinaryHeap::new(),
            numbers: 0,
            random,
            loss,
            polls: vec![BTreeMap::new(); NODES],
            poll_keys: BTreeMap::new(),
            by_key: vec![BTreeMap::new(); NODES],
            clients: BTreeMap::new(),
            proxies: BTreeMap::new(),
            calls: BTreeMap::new(),
            borrowed: vec![BTreeMap::new(); NODES],
            supply: vec![[0; NODES]; NODES],
            counts: [0; 4],
        };
        for node in 0..NODES {
            world.plan(Duration::ZERO, Event::Proxy(node));
            world.plan(Duration::ZERO, Event::Client(node));
            world.plan(Duration::ZERO, Event::Supply(node));
        }
        world
    }

    fn plan(&mut self, after: Duration, event: Event) {
        self.numbers += 1;
        let at = self.now + after;
        self.events.push(Reverse((at, self.numbers, event)));
    }

    /// Says something to another node, which may get lost.
    fn say(&mut self, event: Event) {
        if self.random.f64() >= self.loss {
            let delay = self.up_to(80);
            self.plan(delay, event);
        }
    }

    fn up_to(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.random.u64(0..=most))
    }

    fn instant(&self) -> Instant {
        self.start + self.now
    }

    fn is_over(&self) -> bool {
        self.now > SPAN
    }

    fn run(mut self) -> [usize; 4] {
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            self.run_timers(at);
            self.now = at;
            self.happen(event);
            for node in 0..NODES {
                self.take_outputs(node);
            }
        }
        self.run_timers(self.now + UNTIL_EMPTY);
        for engine in &self.engines {
            assert_eq!(engine.snapshot(), Snapshot::default());
        }
        for (number, client) in &self.clients {
            let expected = usize::from(!client.has_left);
            assert_eq!(client.replies, expected, "{number}: {client:?}");
            assert!(client.served_by.len() <= 1, "{number}: {client:?}");
            let attempts = self.settings.max_attempts;
            let most = attempts * (attempts + 1) / 2;
            assert!(client.kept_by.len() <= most, "{number}: {client:?}");
        }
        self.counts
    }

    /// Runs the engines' timers that are due until then, soonest first.
    fn run_timers(&mut self, until: Duration) {
        loop {
            let timers = self.engines.iter().enumerate();
            let timers = timers.filter_map(|(node, engine)| Some((engine.poll_timeout()?, node)));
            let due = timers.filter(|&(at, _)| at <= self.start + until).min();
            let Some((at, node)) = due else {
                return;
            };
            self.now = self.now.max(at.saturating_duration_since(self.start));
            let now = self.instant();
            self.engines[node].handle_timeout(now);
            self.take_outputs(node);
        }
    }

    fn happen(&mut self, event: Event) {
        let now = self.instant();
        match event {
            Event::Proxy(node) => self.proxy_comes(node),
            Event::Client(node) => self.client_comes(node),
            Event::Supply(node) => self.tell_supply(node),
            Event::HearSupply { at, of, count } => self.hear_supply(at, of, count),
            Event::Answer { node, proxy } => self.answer(node, proxy),
            Event::Decline { node, proxy } => {
                self.engines[node].handle_decline(now, &sid(proxy));
                self.release(proxy);
            }
            Event::ProxyLeaves { node, proxy } => {
                let key = self.poll_keys[&proxy];
                if self.polls[node].remove(&key).is_some() {
                    self.engines[node].handle_poll_gone(now, key);
                }
            }
            Event::ClientLeaves(number) => {
                let client = &self.clients[&number];
                if client.replies == 0 {
                    let (node, key) = (client.node, client.key);
                    self.engines[node].handle_client_gone(now, key);
                    self.by_key[node].remove(&key);
                    self.clients.entry(number).or_default().has_left = true;
                    self.withdraw_all(number);
                }
            }
            Event::Ask { call } => self.borrow(call),
            Event::Withdraw { call } => {
                let (lender, lent) = (self.calls[&call].lender, self.calls[&call].lent);
                if let Some(key) = lent.filter(|key| self.borrowed[lender].contains_key(key)) {
                    self.borrowed[lender].remove(&key);
                    self.engines[lender].handle_client_gone(now, key);
                }
                let proxies = self.proxies.iter();
                let withdrawn = proxies.filter(|(_, book)| book.call == Some(call));
                let withdrawn: Vec<_> = withdrawn.map(|(&proxy, _)| proxy).collect();
                for proxy in withdrawn {
                    self.release(proxy);
                }
            }
            Event::Unheard { call } => {
                if !self.calls[&call].is_heard {
                    self.end_call(call, PeerReply::NoProxy);
                }
            }
            Event::Hear { call, word } => self.hear(call, word),
        }
    }

    fn proxy_comes(&mut self, node: usize) {
        if self.is_over() {
            return;
        }
        let pause = self.up_to(900);
        self.plan(pause, Event::Proxy(node));
        let number = self.numbers;
        let poll = ProxyPoll {
            sid: sid(number),
            proxy_type: ProxyType::STANDALONE,
            type_name: None,
            nat: NatType::Unrestricted,
            clients: 0,
            accepted_relay_pattern: None,
        };
        let now = self.instant();
        let marks = PolicyMarks::default();
        let engine = &mut self.engines[node];
        let key = engine.handle_poll(now, now, &poll, None, marks);
        let key = key.expect("a new Sid");
        self.polls[node].insert(key, number);
        self.poll_keys.insert(number, key);
        self.proxies.insert(number, ProxyBook::default());
        if self.random.u8(..10) == 0 {
            let after = self.up_to(3_000);
            self.plan(
                after,
                Event::ProxyLeaves {
                    node,
                    proxy: number,
                },
            );
        }
    }

    fn client_comes(&mut self, node: usize) {
        if self.is_over() {
            return;
        }
        let pause = self.up_to(900);
        self.plan(pause, Event::Client(node));
        let number = self.numbers;
        let offer = offer(number);
        let others = 0..NODES;
        let hint = if others.into_iter().any(|of| self.supply[node][of] > 0) {
            SupplyHint::Available
        } else {
            SupplyHint::Empty
        };
        let now = self.instant();
        let key = self.engines[node].handle_client(now, now, offer, hint);
        let book = ClientBook {
            node,
            key,
            deadline: self.now + self.settings.client_timeout,
            ..ClientBook::default()
        };
        self.clients.insert(number, book);
        self.by_key[node].insert(key, number);
        if self.random.u8(..10) == 0 {
            let after = self.up_to(3_000);
            self.plan(after, Event::ClientLeaves(number));
        }
    }

    fn tell_supply(&mut self, node: usize) {
        if self.is_over() {
            return;
        }
        self.plan(SUPPLY_EVERY, Event::Supply(node));
        let count = self.engines[node].parked_beyond(0, NatClass::Open);
        for at in (0..NODES).filter(|&at| at != node) {
            self.say(Event::HearSupply {
                at,
                of: node,
                count,
            });
        }
    }

    fn hear_supply(&mut self, at: usize, of: usize, count: usize) {
        self.supply[at][of] = count;
        let now = self.instant();
        if count > 0 {
            let keys: Vec<_> = self.by_key[at].keys().copied().collect();
            for key in keys {
                self.engines[at].handle_peer_supply(now, key);
                self.take_outputs(at);
            }
        }
    }

    fn answer(&mut self, node: usize, proxy: u64) {
        let now = self.instant();
        let answer = description("answer", &proxy.to_string());
        let outcome = self.engines[node].handle_answer(now, &sid(proxy), answer);
        if outcome == AnswerOutcome::Delivered {
            self.counts[0] += 1;
        }
    }

    fn ask(&mut self, node: usize, ask: AskPeer) {
        let client = self.by_key[node][&ask.client];
        let most = (0..NODES).max_by_key(|&of| self.supply[node][of]);
        let lender = most.filter(|&of| self.supply[node][of] > 0);
        let Some(lender) = lender else {
            let now = self.instant();
            self.engines[node].handle_peer_reply(now, ask.client, PeerReply::NotAsked);
            return;
        };
        self.supply[node][lender] -= 1;
        self.numbers += 1;
        let call = self.numbers;
        let record = Call {
            client,
            lender,
            ask,
            lent: None,
            is_heard: false,
            has_ended: false,
        };
        self.calls.insert(call, record);
        self.plan(UNHEARD, Event::Unheard { call });
        self.say(Event::Ask { call });
    }

    /// Takes another node's client, as the node that was asked.
    fn borrow(&mut self, call: u64) {
        let record = &self.calls[&call];
        // Whoever was not heard in time is told that the offer is withdrawn.
        if record.has_ended {
            return;
        }
        let (lender, ask, client) = (record.lender, record.ask, record.client);
        let borrower = Borrower {
            deadline: ask.deadline,
            attempt: ask.attempt,
            reserve: 0,
        };
        let now = self.instant();
        let key = self.engines[lender].handle_borrower(now, borrower, offer(client));
        self.borrowed[lender].insert(key, call);
        if let Some(call) = self.calls.get_mut(&call) {
            call.lent = Some(key);
        }
        self.take_outputs(lender);
        if self.borrowed[lender].contains_key(&key) {
            self.say(Event::Hear {
                call,
                word: Word::Taken,
            });
        }
    }

    fn hear(&mut self, call: u64, word: Word) {
        let Some(record) = self.calls.get_mut(&call).filter(|call| !call.has_ended) else {
            return;
        };
        record.is_heard = true;
        match word {
            Word::Taken => {}
            Word::NotTaken => self.end_call(call, PeerReply::NoProxy),
            Word::Gone => self.end_call(call, PeerReply::Unanswered),
            Word::Answer(proxy) => {
                let reply = PeerReply::Answered {
                    answer: description("answer", &proxy.to_string()),
                    since_asked: Duration::ZERO,
                };
                self.counts[1] += 1;
                self.end_call(call, reply);
            }
        }
    }

    fn end_call(&mut self, call: u64, reply: PeerReply) {
        let now = self.instant();
        let Some(record) = self.calls.get_mut(&call).filter(|call| !call.has_ended) else {
            return;
        };
        record.has_ended = true;
        let (client, key) = (record.client, record.ask.client);
        let node = self.clients[&client].node;
        if reply == PeerReply::NoProxy {
            self.plan(Duration::ZERO, Event::Withdraw { call });
        }
        self.engines[node].handle_peer_reply(now, key, reply);
    }

    /// Withdraws the offers of a client that has its reply, or has left.
    fn withdraw_all(&mut self, client: u64) {
        let mut open = Vec::new();
        for (&number, call) in &mut self.calls {
            if call.client == client && !call.has_ended {
                call.has_ended = true;
                open.push(number);
            }
        }
        for call in open {
            self.plan(Duration::ZERO, Event::Withdraw { call });
        }
    }

    fn take_outputs(&mut self, node: usize) {
        while let Some(output) = self.engines[node].next_output() {
            match output {
                Output::Poll(key, reply) => {
                    let proxy = self.polls[node].remove(&key).expect("one reply");
                    if let PollReply::Offer(hand_off) = reply {
                        self.handed(node, proxy, hand_off.client);
                    }
                }
                Output::Client(key, reply) => self.replied(node, key, &reply),
                Output::AskPeer(ask) => self.ask(node, ask),
                Output::Event(_) => {}
            }
        }
    }

    fn handed(&mut self, node: usize, proxy: u64, key: ClientKey) {
        let call = self.borrowed[node].get(&key);
        let of_another = call.map(|call| self.calls[call].client);
        let client = of_another.unwrap_or_else(|| self.by_key[node][&key]);
        let book = self.proxies.entry(proxy).or_default();
        assert_eq!(book.client, None, "proxy {proxy} has a client");
        book.client = Some(client);
        book.call = call.copied();
        self.clients.entry(client).or_default().kept_by.push(proxy);
        let after = self.up_to(4_000);
        match self.random.u8(..10) {
            0..6 => self.plan(after, Event::Answer { node, proxy }),
            6..8 => self.plan(after, Event::Decline { node, proxy }),
            _ => {}
        }
    }

    fn release(&mut self, proxy: u64) {
        if let Some(client) = self.proxies[&proxy].client {
            let book = self.clients.entry(client).or_default();
            book.kept_by.retain(|&kept| kept != proxy);
        }
    }

    fn replied(&mut self, node: usize, key: ClientKey, reply: &ClientReply) {
        if let Some(call) = self.borrowed[node].remove(&key) {
            let word = match reply {
                ClientReply::Answer(answered) => Word::Answer(proxy_of(&answered.answer.text())),
                ClientReply::Denied(_) => Word::NotTaken,
                ClientReply::TimedOut => Word::Gone,
            };
            return self.say(Event::Hear { call, word });
        }
        let number = self.by_key[node].remove(&key).expect("one reply");
        let now = self.now;
        let client = self.clients.entry(number).or_default();
        client.replies += 1;
        assert!(now <= client.deadline, "{number}: late");
        match reply {
            ClientReply::Answer(answered) => {
                let proxy = proxy_of(&answered.answer.text());
                assert!(client.kept_by.contains(&proxy), "{number}: not its answer");
                client.served_by.push(proxy);
            }
            ClientReply::Denied(_) => self.counts[2] += 1,
            ClientReply::TimedOut => self.counts[3] += 1,
        }
        self.withdraw_all(number);
    }
}

fn offer(client: u64) -> ClientOffer {
    ClientOffer {
        offer: description("offer", &client.to_string()),
        nat: NatType::Restricted,
        relay_url: "wss://relay.example/".into(),
        network: None,
        marks: PolicyMarks::default(),
    }
}

/// The proxy that gave an answer.
fn proxy_of(answer: &str) -> u64 {
    let digits = answer.chars().filter(char::is_ascii_digit);
    digits.collect::<String>().parse().expect("a number")
}

#[test]
fn nodes_that_ask_each_other_give_each_client_one_reply_and_no_proxy_two() {
    let mut sums = [0; 4];
    for seed in SEEDS {
        let counts = World::new(seed).run();
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    // Answers, those from other nodes, denials and time-outs have all happened.
    assert!(sums.iter().all(|&sum| sum > 100), "{sums:?}");
}
