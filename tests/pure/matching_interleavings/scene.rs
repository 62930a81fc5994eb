//! A small language for scenes: operations at given times, and the engine's outputs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use snowflake_broker::matching::{
    AnswerOutcome, ClientKey, ClientOffer, ClientReply, Matcher, MatchesElsewhere, MatchingEvent,
    OfferEnd, Output, PeerReply, PollKey, PollReply, Settings, Source, SourceRecord, SupplyHint,
    SupplySettings,
};
use snowflake_broker::policy::PolicyMarks;
use snowflake_broker::wire::proxy::{ProxyPoll, ProxyType, Sid};
use snowflake_broker::wire::session_description::SessionDescription;

use crate::engine::{description, some_instant};

/// The engine at a time in milliseconds since the start, and its polls and clients. A
/// poll's name is its `Sid`, a client's name is in its offer.
pub(crate) struct Scene {
    pub(crate) engine: Matcher,
    start: Instant,
    now: Instant,
    polls: BTreeMap<&'static str, PollKey>,
    clients: BTreeMap<&'static str, ClientKey>,
    source: Option<Source>,
    network: Option<u64>,
    marks: PolicyMarks,
}

/// A scene with the default settings: a client has 5 s, is queued for 1 s, and has its
/// rematch after 2 s but not in its last half second; a poll has 10 s. A second proxy is
/// spared even if it is the last.
pub(crate) fn scene() -> Scene {
    scene_with(|_| {})
}

/// A scene with changed settings.
pub(crate) fn scene_with(change: impl FnOnce(&mut Settings)) -> Scene {
    let mut settings = defaults();
    change(&mut settings);
    let start = some_instant();
    let mut engine = Matcher::new(settings);
    let supply = SupplySettings {
        matches_per_minute: 0,
        unanswered: 0,
        parked_per_source: 0,
        ..SupplySettings::default()
    };
    engine.set_supply(start, supply);
    Scene {
        engine,
        start,
        now: start,
        polls: BTreeMap::new(),
        clients: BTreeMap::new(),
        source: None,
        network: None,
        marks: PolicyMarks::default(),
    }
}

fn defaults() -> Settings {
    Settings {
        second_chance_reserve: 0,
        ..Settings::default()
    }
}

/// The name in a description.
fn name_in(description: &SessionDescription) -> String {
    let text = description.text();
    let (_, name) = text.split_once(r#""sdp":""#).expect("made here");
    name.trim_end_matches("\"}").to_owned()
}

impl Scene {
    /// Sets the time in milliseconds since the start, without calling the engine.
    pub(crate) fn at(&mut self, millis: u64) -> &mut Self {
        self.now = self.start + Duration::from_millis(millis);
        self
    }

    /// Sets the time, and runs the timers that are due.
    pub(crate) fn tick(&mut self, millis: u64) -> &mut Self {
        self.at(millis);
        self.engine.handle_timeout(self.now);
        self
    }

    /// Adds a proxy's poll.
    pub(crate) fn poll(&mut self, name: &'static str, nat: &str) -> &mut Self {
        self.loaded_poll(name, nat, 0)
    }

    /// Adds a poll of a proxy that already serves clients.
    pub(crate) fn loaded_poll(&mut self, name: &'static str, nat: &str, clients: u64) -> &mut Self {
        assert!(self.try_poll(name, nat, clients, 0), "Sid in use: {name}");
        self
    }

    /// Adds a poll whose request arrived `age` milliseconds ago.
    pub(crate) fn late_poll(&mut self, name: &'static str, nat: &str, age: u64) -> &mut Self {
        assert!(self.try_poll(name, nat, 0, age), "Sid in use: {name}");
        self
    }

    /// Adds a poll. Returns true if it was accepted.
    pub(crate) fn try_poll(
        &mut self,
        name: &'static str,
        nat: &str,
        clients: u64,
        age: u64,
    ) -> bool {
        let poll = ProxyPoll {
            sid: Sid::new(name).expect("a name"),
            proxy_type: ProxyType::STANDALONE,
            type_name: None,
            nat: nat.parse().expect("a NAT word"),
            clients,
            accepted_relay_pattern: None,
        };
        let arrived = self.ago(age);
        let taken = self
            .engine
            .handle_poll(self.now, arrived, &poll, self.source, self.marks);
        taken.map(|key| self.polls.insert(name, key)).is_ok()
    }

    /// Has the polls that follow come from this source, the fifth of its network at most.
    pub(crate) fn source(&mut self, id: u64) -> &mut Self {
        self.source = Some(Source {
            id,
            network: id / 5,
            share: 1,
            record: SourceRecord::default(),
            elsewhere: MatchesElsewhere::default(),
        });
        self
    }

    /// Has the polls that follow come with this record of their source.
    pub(crate) fn record(&mut self, record: SourceRecord) -> &mut Self {
        self.source = self.source.map(|source| Source { record, ..source });
        self
    }

    /// Has the source of the polls that follow have matches at other nodes.
    pub(crate) fn elsewhere(&mut self, elsewhere: MatchesElsewhere) -> &mut Self {
        self.source = self.source.map(|source| Source {
            elsewhere,
            ..source
        });
        self
    }

    /// Has the polls that follow come from nobody known.
    pub(crate) fn nobody(&mut self) -> &mut Self {
        self.source = None;
        self
    }

    /// Has the clients that follow come from this network.
    pub(crate) fn network(&mut self, network: u64) -> &mut Self {
        self.network = Some(network);
        self
    }

    /// Has the polls and clients that follow come with these marks for rules.
    pub(crate) fn marks(&mut self, marks: PolicyMarks) -> &mut Self {
        self.marks = marks;
        self
    }

    /// Changes the limits of sources, which are off at the start.
    pub(crate) fn share(&mut self, change: impl FnOnce(&mut SupplySettings)) -> &mut Self {
        let mut supply = self.engine.supply().clone();
        change(&mut supply);
        self.engine.set_supply(self.now, supply);
        self
    }

    /// Sends the proxy's word that it cannot answer.
    pub(crate) fn decline(&mut self, name: &'static str) -> AnswerOutcome {
        let sid = Sid::new(name).expect("a name");
        self.engine.handle_decline(self.now, &sid)
    }

    /// Adds a client.
    pub(crate) fn client(&mut self, name: &'static str, nat: &str) -> &mut Self {
        self.late_client(name, nat, 0)
    }

    /// Adds a client whose request arrived `age` milliseconds ago.
    pub(crate) fn late_client(&mut self, name: &'static str, nat: &str, age: u64) -> &mut Self {
        self.client_with(name, nat, age, SupplyHint::NoPeers)
    }

    /// Adds a client beside peers, one of which reports a proxy, or none.
    pub(crate) fn client_beside(
        &mut self,
        peers: SupplyHint,
        name: &'static str,
        nat: &str,
    ) -> &mut Self {
        self.client_with(name, nat, 0, peers)
    }

    fn client_with(
        &mut self,
        name: &'static str,
        nat: &str,
        age: u64,
        supply: SupplyHint,
    ) -> &mut Self {
        let offer = ClientOffer {
            offer: description("offer", name),
            nat: nat.parse().expect("a NAT word"),
            relay_url: "wss://relay.example/".into(),
            network: self.network,
            marks: self.marks,
        };
        let arrived = self.ago(age);
        let key = self.engine.handle_client(self.now, arrived, offer, supply);
        self.clients.insert(name, key);
        self
    }

    /// Sends the proxy's answer.
    pub(crate) fn answer(&mut self, name: &'static str) -> AnswerOutcome {
        let sid = Sid::new(name).expect("a name");
        self.engine
            .handle_answer(self.now, &sid, description("answer", name))
    }

    /// Reports a peer's proxy for the client.
    pub(crate) fn peer_has_one_for(&mut self, name: &str) -> &mut Self {
        self.engine.handle_peer_supply(self.now, self.clients[name]);
        self
    }

    /// Gives the reply of the peers asked for the client.
    pub(crate) fn peers_reply(&mut self, name: &str, reply: PeerReply) -> &mut Self {
        let key = self.clients[name];
        self.engine.handle_peer_reply(self.now, key, reply);
        self
    }

    /// Gives the answer of a peer's proxy.
    pub(crate) fn peer_answers(&mut self, name: &str, proxy: &str) -> &mut Self {
        let answered = PeerReply::Answered {
            answer: description("answer", proxy),
            since_asked: Duration::ZERO,
        };
        self.peers_reply(name, answered)
    }

    /// Closes the proxy's connection before it took the reply to its poll.
    pub(crate) fn proxy_leaves(&mut self, name: &'static str) -> &mut Self {
        self.engine.handle_poll_gone(self.now, self.polls[name]);
        self
    }

    /// Closes the client's connection.
    pub(crate) fn client_leaves(&mut self, name: &'static str) -> &mut Self {
        self.engine.handle_client_gone(self.now, self.clients[name]);
        self
    }

    pub(crate) fn start_lame_duck(&mut self) -> &mut Self {
        self.engine.start_lame_duck();
        self
    }

    pub(crate) fn start_draining(&mut self) -> &mut Self {
        self.engine.start_draining(self.now);
        self
    }

    pub(crate) fn resume(&mut self) -> &mut Self {
        self.engine.resume();
        self
    }

    /// Changes the settings; all others are the defaults.
    pub(crate) fn reconfigure(&mut self, change: impl FnOnce(&mut Settings)) -> &mut Self {
        let mut settings = defaults();
        change(&mut settings);
        self.engine.set_settings(settings);
        self
    }

    /// Asserts all outputs since the last call, in order. The outcomes of answers are
    /// left out, because [`Self::answer`] returns them.
    pub(crate) fn says(&mut self, expected: &[&str]) -> &mut Self {
        let mut said = Vec::new();
        while let Some(output) = self.engine.next_output() {
            said.extend(self.in_words(output));
        }
        assert_eq!(said, expected);
        self
    }

    /// Asserts the ends of offers to proxies since the last call, and takes all outputs.
    pub(crate) fn offers_end(&mut self, expected: &[(&str, OfferEnd)]) -> &mut Self {
        let mut ends = Vec::new();
        while let Some(output) = self.engine.next_output() {
            if let Output::Event(MatchingEvent::OfferEnded { poll, end }) = output {
                ends.push((self.poll_name(poll), end));
            }
        }
        assert_eq!(ends, expected);
        self
    }

    /// The time of the next timer.
    pub(crate) fn next_at(&self) -> Option<u128> {
        let next = self.engine.poll_timeout()?;
        Some(next.saturating_duration_since(self.start).as_millis())
    }

    /// Asserts the numbers of queued and matched clients and of parked polls.
    pub(crate) fn waiting(&mut self, queued: usize, matched: usize, parked: usize) -> &mut Self {
        let snapshot = self.engine.snapshot();
        let polls = snapshot.parked.iter().map(|(.., count)| count).sum();
        assert_eq!(
            (snapshot.queued_clients, snapshot.matched_clients, parked),
            (queued, matched, polls),
            "queued, matched, parked"
        );
        self
    }

    fn ago(&self, millis: u64) -> Instant {
        let age = Duration::from_millis(millis);
        self.now.checked_sub(age).expect("the start is late enough")
    }

    fn in_words(&self, output: Output) -> Option<String> {
        Some(match output {
            Output::Poll(key, PollReply::Offer(hand_off)) => {
                let client = name_in(&hand_off.offer.offer);
                let poll = self.poll_name(key);
                match hand_off.attempt {
                    1 => format!("{poll}: offer of {client}"),
                    attempt => format!("{poll}: offer of {client}, attempt {attempt}"),
                }
            }
            Output::Poll(key, PollReply::NoMatch(reason)) => {
                format!("{}: {reason:?}", self.poll_name(key))
            }
            Output::Client(key, ClientReply::Answer(answered)) => {
                let proxy = name_in(&answered.answer);
                format!("{}: answer of {proxy}", self.client_name(key))
            }
            Output::Client(key, ClientReply::Denied(reason)) => {
                format!("{}: denied, {reason:?}", self.client_name(key))
            }
            Output::Client(key, ClientReply::TimedOut) => {
                format!("{}: timed out", self.client_name(key))
            }
            Output::AskPeer(ask) => {
                let client = self.client_name(ask.client);
                format!("peers: offer of {client}, attempt {}", ask.attempt)
            }
            Output::Event(MatchingEvent::Answer { .. } | MatchingEvent::OfferEnded { .. }) => {
                return None;
            }
            Output::Event(event) => format!("{event:?}"),
        })
    }

    fn poll_name(&self, key: PollKey) -> &'static str {
        let mut polls = self.polls.iter();
        polls.find(|(_, known)| **known == key).expect("known").0
    }

    fn client_name(&self, key: ClientKey) -> &'static str {
        let mut clients = self.clients.iter();
        clients.find(|(_, known)| **known == key).expect("known").0
    }
}
