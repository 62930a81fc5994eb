//! Scripts that a fuzzer's bytes choose, one byte a choice, from the same values as the
//! random ones. (A strategy cannot be driven by bytes: proptest halves what is left of them
//! at each of its choices.)

use std::slice::Iter;
use std::time::Duration;

use snowflake_broker::matching::{Band, Settings, SourceRecord, SupplyHint, SupplySettings};
use snowflake_broker::wire::nat::NatType;
use snowflake_broker::wire::proxy::ProxyType;

use crate::matching_model::rules::{Marks, Terms};
use crate::matching_model::script::{Op, Peer, tenths};

/// The longest script.
const OPS_MAX: usize = 300;

/// The choices that are left.
pub(crate) struct Choices<'a>(Iter<'a, u8>);

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.iter())
    }

    /// Settings, and operations under them, until there are no more choices.
    pub(crate) fn script(mut self) -> (Settings, SupplySettings, Terms, Vec<Op>) {
        let (settings, supply, terms) = (self.settings(), self.supply(), self.terms());
        let mut ops = Vec::new();
        while self.0.len() > 0 && ops.len() < OPS_MAX {
            ops.push(self.op());
        }
        (settings, supply, terms, ops)
    }

    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn index(&mut self) -> usize {
        self.byte().into()
    }

    fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.index() % values.len()]
    }

    fn time(&mut self, choices: &[u64]) -> Duration {
        tenths(self.one_of(choices))
    }

    fn settings(&mut self) -> Settings {
        Settings {
            client_timeout: self.time(&[0, 5, 20, 50]),
            proxy_timeout: self.time(&[0, 10, 30, 100]),
            client_queue_wait: self.time(&[0, 5, 10, 20]),
            client_queue_max: self.one_of(&[0, 1, 2, 3]),
            min_answer_time: self.time(&[0, 5, 10]),
            rematch_after: self.time(&[0, 5, 10, 20]),
            max_attempts: self.one_of(&[0, 1, 2, 3]),
            second_chance_reserve: self.one_of(&[0, 1, 2, 3]),
            max_parked_polls: self.one_of(&[0, 1, 3, 5, 100]),
            max_matched_clients: self.one_of(&[0, 1, 3, 5, 100]),
            ..Settings::default()
        }
    }

    fn supply(&mut self) -> SupplySettings {
        SupplySettings {
            explore_every: self.one_of(&[0, 1, 2, 4]),
            first_come: self.one_of(&[0, 1, 2]),
            recent_clients: self.one_of(&[0, 1, 2, 4]),
            matches_per_minute: self.one_of(&[0, 1, 2, 4]),
            unanswered: self.one_of(&[0, 1, 2, 4]),
            parked_per_source: self.one_of(&[0, 1, 2, 4]),
            sources_per_network: self.one_of(&[0, 1, 2, 4]),
            ..SupplySettings::default()
        }
    }

    fn terms(&mut self) -> Terms {
        let byte = self.index();
        Terms {
            reserve: byte % 4,
            same_place_last: byte > 127,
        }
    }

    /// Frequent operations have several numbers.
    fn op(&mut self) -> Op {
        match self.byte() % 32 {
            0..=5 => self.poll(),
            6..=11 => self.client(),
            12 | 13 => self.borrower(),
            14 | 15 => Op::SupplyHint(self.index()),
            16..=18 => Op::PeerReply(self.index(), self.peer()),
            19..=21 => Op::AnswerOf(self.index()),
            22 => Op::AnswerUnder(self.byte() % 14),
            23 => Op::DeclineOf(self.index()),
            24 => Op::PollGone(self.index()),
            25 => Op::ClientGone(self.index()),
            26 => Op::Sleep(self.step()),
            27 | 28 => Op::Tick(self.step()),
            29 | 30 => Op::TickToNext,
            _ => self.change(),
        }
    }

    /// What an operator does.
    fn change(&mut self) -> Op {
        match self.byte() % 6 {
            0 => Op::Reconfigure(self.settings()),
            1 => Op::Share(self.supply()),
            2 => Op::Rules(self.terms()),
            3 => Op::StartLameDuck,
            4 => Op::StartDraining,
            _ => Op::Resume,
        }
    }

    fn poll(&mut self) -> Op {
        Op::Poll {
            sid: self.byte() % 12,
            proxy_type: self.one_of(&ProxyType::DEFAULT),
            nat: self.nat(),
            clients: u64::from(self.byte() % 3),
            age: self.age(),
            source: self.source(),
            record: SourceRecord {
                band: self.one_of(&Band::ALL),
                worked: self.one_of(&[0, 0, 1, 9]),
                rests: self.byte() > 230,
            },
            marks: self.marks(),
        }
    }

    fn client(&mut self) -> Op {
        use SupplyHint::{Available, Empty, NoPeers};
        Op::Client {
            nat: self.nat(),
            age: self.age(),
            supply: self.one_of(&[NoPeers, NoPeers, Empty, Available]),
            network: self.source(),
            marks: self.marks(),
        }
    }

    fn borrower(&mut self) -> Op {
        Op::Borrower {
            nat: self.nat(),
            patience: self.time(&[0, 5, 20, 50]),
            attempt: self.one_of(&[1, 2, 3]),
            reserve: self.one_of(&[0, 1, 2]),
            marks: self.marks(),
        }
    }

    fn peer(&mut self) -> Peer {
        use Peer::{Answers, NoProxy, NotAsked, Unanswered};
        self.one_of(&[Answers, NotAsked, NoProxy, NoProxy, Unanswered])
    }

    fn nat(&mut self) -> NatType {
        self.one_of(&NatType::ALL)
    }

    fn age(&mut self) -> Duration {
        self.time(&[0, 0, 0, 0, 1, 5, 9, 40, 149])
    }

    fn source(&mut self) -> Option<u8> {
        self.byte().checked_sub(64).map(|byte| byte % 4)
    }

    fn marks(&mut self) -> Marks {
        let (rules, place) = (self.byte(), self.byte());
        (rules % 16, (place > 127).then_some(place % 3))
    }

    fn step(&mut self) -> Duration {
        self.time(&[0, 1, 2, 5, 9, 10, 30, 49, 100, 300, 399])
    }
}
