//! The engine and the reference side by side.

use std::time::{Duration, Instant};

use snowflake_broker::matching::{
    self, Borrower, ClientKey, ClientOffer, Matcher, PeerReply, PollKey, Settings, Source,
    SupplyHint, SupplySettings,
};
use snowflake_broker::policy::Policy;
use snowflake_broker::wire::nat::NatType;
use snowflake_broker::wire::proxy::{ProxyPoll, Sid};
use snowflake_broker::wire::session_description::SessionDescription;

use crate::engine::{description, some_instant};
use crate::matching_model::books::{Books, PEERS};
use crate::matching_model::reference::{Output, Reference, Who, source};
use crate::matching_model::rules::{self, Marks, Terms};
use crate::matching_model::script::{Op, Peer};

/// Longer than any time-out of a script and the memory of closed polls.
const LONG: Duration = Duration::from_secs(100);

/// The engine, the reference, and the state needed to compare them.
pub(crate) struct Pair {
    start: Instant,
    now: Duration,
    engine: Matcher,
    reference: Reference,
    policy: Policy,
    poll_keys: Vec<PollKey>,
    client_keys: Vec<ClientKey>,
    sids: Vec<u8>,
    /// The clients of calls to peers that are in progress, or were when their clients
    /// ended.
    calls: Vec<usize>,
    books: Books,
    /// All outputs, in the order of the steps.
    pub(crate) log: Vec<Output>,
}

/// A description with a number that identifies it.
fn numbered(kind: &str, number: usize) -> SessionDescription {
    description(kind, &number.to_string())
}

fn number_of(description: &str) -> usize {
    let digits: String = description.chars().filter(char::is_ascii_digit).collect();
    digits.parse().expect("made by `numbered`")
}

fn sid(number: u8) -> Sid {
    Sid::new(&format!("sid {number}")).expect("not empty")
}

impl Pair {
    pub(crate) fn new(settings: &Settings, supply: &SupplySettings, terms: Terms) -> Self {
        let mut engine = Matcher::new(settings.clone());
        engine.set_supply(some_instant(), supply.clone());
        let policy = terms.policy();
        engine.set_rules(policy.actions());
        Self {
            start: some_instant(),
            // The clock starts late, because scripts have requests older than the script.
            now: LONG,
            engine,
            reference: Reference::new(settings.clone(), supply.clone(), terms),
            policy,
            poll_keys: Vec::new(),
            client_keys: Vec::new(),
            sids: Vec::new(),
            calls: Vec::new(),
            books: Books::default(),
            log: Vec::new(),
        }
    }

    /// Applies one operation to both, and compares all that is visible.
    pub(crate) fn step(&mut self, op: &Op) {
        match op {
            Op::Poll {
                sid,
                proxy_type,
                nat,
                clients,
                age,
                source,
                record,
                marks,
            } => self.poll(
                *sid,
                (
                    *proxy_type,
                    *nat,
                    *clients,
                    source.map(|of| (of, *record)),
                    *marks,
                ),
                self.now.saturating_sub(*age),
            ),
            Op::Client {
                nat,
                age,
                supply,
                network,
                marks,
            } => {
                let arrived = self.now.saturating_sub(*age);
                self.client((*nat, *network, *marks), arrived, *supply);
            }
            Op::Borrower {
                nat,
                patience,
                attempt,
                reserve,
                marks,
            } => self.borrower((*nat, *marks), (self.now + *patience, *attempt, *reserve)),
            Op::SupplyHint(index) => {
                if let Some(client) = pick(*index, self.client_keys.len()) {
                    let now = self.instant();
                    self.engine
                        .handle_peer_supply(now, self.client_keys[client]);
                    self.reference.peer_supply(self.now, client);
                }
            }
            Op::PeerReply(index, peer) => self.peer_reply(*index, *peer),
            Op::AnswerOf(index) => {
                if let Some(poll) = pick(*index, self.sids.len()) {
                    self.answer(self.sids[poll]);
                }
            }
            Op::AnswerUnder(sid) => self.answer(*sid),
            Op::DeclineOf(index) => {
                if let Some(poll) = pick(*index, self.sids.len()) {
                    self.decline(self.sids[poll]);
                }
            }
            Op::PollGone(index) => self.poll_gone(*index),
            Op::ClientGone(index) => self.client_gone(*index),
            Op::Sleep(time) => self.now += *time,
            Op::Tick(time) => self.tick(self.now + *time),
            Op::TickToNext => self.tick(self.reference.next_time().unwrap_or(self.now)),
            Op::Reconfigure(settings) => {
                self.engine.set_settings(settings.clone());
                self.reference.reconfigure(settings.clone());
            }
            Op::Share(supply) => {
                self.engine.set_supply(self.instant(), supply.clone());
                self.reference.share(self.now, supply.clone());
            }
            Op::Rules(terms) => {
                self.engine.set_rules(terms.policy().actions());
                self.reference.set_terms(*terms);
            }
            Op::StartLameDuck => {
                self.engine.start_lame_duck();
                self.reference.start_lame_duck();
            }
            Op::StartDraining => {
                self.engine.start_draining(self.instant());
                self.reference.start_draining(self.now);
            }
            Op::Resume => {
                self.engine.resume();
                self.reference.resume();
            }
        }
        self.compare(matches!(op, Op::StartDraining));
    }

    /// Lets all timers run out.
    pub(crate) fn finish(&mut self) {
        while let Some(next) = self.reference.next_time() {
            self.tick(next);
            self.compare(false);
        }
        self.tick(self.now + LONG);
        self.compare(false);
        assert!(
            self.engine.is_empty(),
            "the engine is not empty: {:?}",
            self.engine
        );
        self.books.close();
    }

    fn poll(&mut self, number: u8, who: Who, arrived: Duration) {
        let poll = ProxyPoll {
            sid: sid(number),
            proxy_type: who.0,
            type_name: None,
            nat: who.1,
            clients: who.2,
            accepted_relay_pattern: None,
        };
        let source = who.3.map(|(number, record)| Source {
            record,
            ..source(number)
        });
        let marks = rules::marks(&self.policy, who.4);
        let at = self.start + arrived;
        let taken = self
            .engine
            .handle_poll(self.instant(), at, &poll, source, marks);
        let key = taken.unwrap_or_default();
        let expected = self.reference.poll(self.now, arrived, (number, key), who);
        assert_eq!(taken.is_ok(), expected, "acceptance of the poll");
        if let Ok(key) = taken {
            self.poll_keys.push(key);
            self.sids.push(number);
            self.books.poll_came();
        }
    }

    fn offer(&self, nat: NatType, network: Option<u8>, marks: Marks) -> ClientOffer {
        ClientOffer {
            offer: numbered("offer", self.client_keys.len()),
            nat,
            relay_url: "wss://relay.example/".into(),
            network: network.map(u64::from),
            marks: rules::marks(&self.policy, marks),
        }
    }

    fn borrower(&mut self, (nat, marks): (NatType, Marks), terms: (Duration, usize, usize)) {
        let offer = self.offer(nat, None, marks);
        let borrower = Borrower {
            deadline: self.start + terms.0,
            attempt: terms.1,
            reserve: terms.2,
        };
        let now = self.instant();
        let key = self.engine.handle_borrower(now, borrower, offer.clone());
        self.client_keys.push(key);
        self.books.client_came(false);
        self.reference
            .borrower(self.now, terms, (offer, key), marks);
    }

    /// One reply in eight is for a client for which no peer may have been asked.
    fn peer_reply(&mut self, index: usize, peer: Peer) {
        let call = pick(index / 8, self.calls.len()).filter(|_| !index.is_multiple_of(8));
        let client = match call {
            Some(call) => Some(self.calls.swap_remove(call)),
            None => pick(index / 8, self.client_keys.len()),
        };
        let Some(client) = client else {
            return;
        };
        let reply = match peer {
            Peer::Answers => PeerReply::Answered {
                answer: numbered("answer", PEERS + client),
                since_asked: Duration::from_secs(1),
            },
            Peer::NotAsked => PeerReply::NotAsked,
            Peer::NoProxy => PeerReply::NoProxy,
            Peer::Unanswered => PeerReply::Unanswered,
        };
        let (now, key) = (self.instant(), self.client_keys[client]);
        self.engine.handle_peer_reply(now, key, reply.clone());
        self.reference.peer_reply(self.now, client, reply);
    }

    fn client(
        &mut self,
        (nat, network, marks): (NatType, Option<u8>, Marks),
        arrived: Duration,
        supply: SupplyHint,
    ) {
        let offer = self.offer(nat, network, marks);
        let (now, at) = (self.instant(), self.start + arrived);
        let key = self.engine.handle_client(now, at, offer.clone(), supply);
        self.client_keys.push(key);
        self.books.client_came(supply != SupplyHint::NoPeers);
        self.reference
            .client(self.now, arrived, supply, (offer, key), marks);
    }

    /// The answer names the poll that made it: the latest one under the `Sid`.
    fn answer(&mut self, number: u8) {
        let latest = self.sids.iter().rposition(|&sid| sid == number);
        let answer = numbered("answer", latest.unwrap_or(usize::MAX));
        let outcome = self
            .engine
            .handle_answer(self.instant(), &sid(number), answer.clone());
        assert_eq!(outcome, self.reference.answer(self.now, number, answer));
    }

    fn decline(&mut self, number: u8) {
        let outcome = self.engine.handle_decline(self.instant(), &sid(number));
        assert_eq!(outcome, self.reference.decline(self.now, number));
    }

    fn poll_gone(&mut self, index: usize) {
        let Some(poll) = pick(index, self.poll_keys.len()) else {
            return;
        };
        let now = self.instant();
        self.engine.handle_poll_gone(now, self.poll_keys[poll]);
        self.reference.poll_gone(self.now, poll);
        self.compare(false);
        self.books.poll_left(poll);
    }

    fn client_gone(&mut self, index: usize) {
        let Some(client) = pick(index, self.client_keys.len()) else {
            return;
        };
        let now = self.instant();
        self.engine
            .handle_client_gone(now, self.client_keys[client]);
        self.reference.client_gone(self.now, client);
        self.compare(false);
        self.books.client_left(client);
    }

    fn tick(&mut self, time: Duration) {
        self.now = self.now.max(time);
        self.engine.handle_timeout(self.instant());
        self.reference.tick(self.now);
    }

    fn compare(&mut self, in_any_order: bool) {
        let mut said: Vec<Output> = Vec::new();
        while let Some(output) = self.engine.next_output() {
            said.push(self.named(output));
        }
        let mut expected = self.reference.take_said();
        if in_any_order {
            said.sort_by_key(|said| format!("{said:?}"));
            expected.sort_by_key(|said| format!("{said:?}"));
        }
        assert_eq!(said, expected, "outputs");
        assert_eq!(self.engine.snapshot(), self.reference.snapshot());
        let next = self.reference.next_time().map(|next| self.start + next);
        assert_eq!(self.engine.poll_timeout(), next, "the next timer");
        for said in &said {
            self.books.note(said, number_of, number_of);
            if let Output::AskPeer(client, ..) = said {
                self.calls.push(*client);
            }
        }
        self.log.append(&mut said);
    }

    fn named(&self, output: matching::Output) -> Output {
        match output {
            matching::Output::Poll(key, reply) => {
                let poll = self.poll_keys.iter().position(|known| *known == key);
                Output::Poll(poll.expect("a poll of this script"), reply)
            }
            matching::Output::Client(key, reply) => {
                let client = self.client_keys.iter().position(|known| *known == key);
                Output::Client(client.expect("a client of this script"), reply)
            }
            matching::Output::AskPeer(ask) => {
                let client = self
                    .client_keys
                    .iter()
                    .position(|known| *known == ask.client);
                let times = [ask.deadline, ask.last_call].map(|at| at - self.start);
                Output::AskPeer(client.expect("a client of this script"), ask.attempt, times)
            }
            matching::Output::Event(event) => Output::Event(event),
        }
    }

    fn instant(&self) -> Instant {
        self.start + self.now
    }
}

/// Prefers recent items, because most of the others have ended.
fn pick(index: usize, count: usize) -> Option<usize> {
    if count == 0 {
        return None;
    }
    let back = if index.is_multiple_of(4) {
        count
    } else {
        count.min(6)
    };
    Some(count - 1 - (index / 4) % back)
}
