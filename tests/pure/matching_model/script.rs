//! The operations of a script, and their generation.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use snowflake_broker::matching::{Band, Settings, SourceRecord, SupplyHint, SupplySettings};
use snowflake_broker::wire::nat::NatType;
use snowflake_broker::wire::proxy::ProxyType;

use crate::matching_model::rules::{DENY, Marks, Terms};

/// Times are multiples of 100 ms, so that many of them coincide.
pub(crate) fn tenths(count: u64) -> Duration {
    Duration::from_millis(100 * count)
}

/// One operation. Polls and clients are indices in the order of arrival, modulo their
/// number; `age` is the time since a request arrived.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Poll {
        sid: u8,
        proxy_type: ProxyType,
        nat: NatType,
        clients: u64,
        age: Duration,
        source: Option<u8>,
        record: SourceRecord,
        marks: Marks,
    },
    /// A client, and the proxies that peers report for it.
    Client {
        nat: NatType,
        age: Duration,
        supply: SupplyHint,
        network: Option<u8>,
        marks: Marks,
    },
    /// A peer's client, which waits for `patience`.
    Borrower {
        nat: NatType,
        patience: Duration,
        attempt: usize,
        reserve: usize,
        marks: Marks,
    },
    /// A peer reports a proxy for a client.
    SupplyHint(usize),
    /// The peers asked for a client reply; rarely, none was asked.
    PeerReply(usize, Peer),
    AnswerOf(usize),
    AnswerUnder(u8),
    DeclineOf(usize),
    PollGone(usize),
    ClientGone(usize),
    /// Time passes without a call, so timers are served late.
    Sleep(Duration),
    /// Time passes, then due timers are served.
    Tick(Duration),
    /// The next timer is served exactly when it is due.
    TickToNext,
    Reconfigure(Settings),
    Share(SupplySettings),
    Rules(Terms),
    StartLameDuck,
    StartDraining,
    Resume,
}

/// The reply of peers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    Answers,
    NotAsked,
    NoProxy,
    Unanswered,
}

/// Settings, and operations under them.
pub(crate) fn script() -> impl Strategy<Value = (Settings, SupplySettings, Terms, Vec<Op>)> {
    (settings(), supply(), terms(), vec(op(), 1..80))
}

fn terms() -> impl Strategy<Value = Terms> {
    (0..4_usize, any::<bool>()).prop_map(|(reserve, same_place_last)| Terms {
        reserve,
        same_place_last,
    })
}

/// Marks of four rules, in three of four cases without the one that denies.
fn marks() -> impl Strategy<Value = Marks> {
    let rules =
        prop_oneof![2 => Just(0), 1 => 0..16_u8, 3 => (0..16_u8).prop_map(|bits| bits & !DENY)];
    (
        rules,
        prop_oneof![2 => Just(None), 1 => (0..3_u8).prop_map(Some)],
    )
}

/// Limits so low that they are reached, or off.
fn supply() -> impl Strategy<Value = SupplySettings> {
    let limit = || prop_oneof![2 => Just(0), 1 => Just(1), 1 => Just(2), 1 => Just(4)];
    let shares = (0..3_u32, 0..5_usize);
    (shares, limit(), limit(), limit(), limit(), limit()).prop_map(
        |((first_come, recent_clients), matches, unanswered, parked, sources, explore_every)| {
            SupplySettings {
                explore_every,
                first_come,
                recent_clients,
                matches_per_minute: matches,
                unanswered,
                parked_per_source: parked,
                sources_per_network: sources,
                ..SupplySettings::default()
            }
        },
    )
}

/// One of a few sources, two of which are in each network.
fn source() -> impl Strategy<Value = Option<u8>> {
    prop_oneof![1 => Just(None), 3 => (0..4_u8).prop_map(Some)]
}

/// Records with every band, few of which rest.
fn record() -> impl Strategy<Value = SourceRecord> {
    let worked = prop_oneof![3 => Just(0), 1 => Just(1), 1 => Just(9)];
    let rests = prop_oneof![9 => Just(false), 1 => Just(true)];
    (select(Band::ALL.to_vec()), worked, rests).prop_map(|(band, worked, rests)| SourceRecord {
        band,
        worked,
        rests,
    })
}

fn settings() -> impl Strategy<Value = Settings> {
    (
        (time(&[0, 5, 20, 50]), time(&[0, 10, 30, 100])),
        (time(&[0, 5, 10, 20]), 0..4_usize),
        (time(&[0, 5, 5, 10]), time(&[0, 5, 10, 20]), 0..4_usize),
        (0..4_usize, bound(), bound()),
    )
        .prop_map(|(timeouts, queue, chances, bounds)| Settings {
            client_timeout: timeouts.0,
            proxy_timeout: timeouts.1,
            client_queue_wait: queue.0,
            client_queue_max: queue.1,
            min_answer_time: chances.0,
            rematch_after: chances.1,
            max_attempts: bounds.0,
            second_chance_reserve: chances.2,
            max_parked_polls: bounds.1,
            max_matched_clients: bounds.2,
            ..Settings::default()
        })
}

/// Chooses zero less often, because little happens then.
fn time(choices: &[u64]) -> impl Strategy<Value = Duration> + use<> {
    let largest = *choices.last().expect("there are choices");
    prop_oneof![
        2 => select(choices.to_vec()),
        1 => Just(largest),
    ]
    .prop_map(tenths)
}

fn bound() -> impl Strategy<Value = usize> {
    prop_oneof![1 => 0..4_usize, 2 => Just(5), 1 => Just(100)]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        90 => poll(),
        105 => client(),
        30 => borrower(),
        30 => any::<usize>().prop_map(Op::SupplyHint),
        60 => (any::<usize>(), peer()).prop_map(|(index, peer)| Op::PeerReply(index, peer)),
        50 => any::<usize>().prop_map(Op::AnswerOf),
        10 => (0..14_u8).prop_map(Op::AnswerUnder),
        15 => any::<usize>().prop_map(Op::DeclineOf),
        30 => any::<usize>().prop_map(Op::PollGone),
        20 => any::<usize>().prop_map(Op::ClientGone),
        15 => step().prop_map(Op::Sleep),
        60 => step().prop_map(Op::Tick),
        40 => Just(Op::TickToNext),
        5 => settings().prop_map(Op::Reconfigure),
        3 => supply().prop_map(Op::Share),
        3 => terms().prop_map(Op::Rules),
        1 => Just(Op::StartLameDuck),
        1 => Just(Op::StartDraining),
        2 => Just(Op::Resume),
    ]
}

fn poll() -> impl Strategy<Value = Op> {
    let proxy_type = select(ProxyType::DEFAULT.to_vec());
    (
        0..12_u8,
        proxy_type,
        nat(),
        0..3_u64,
        age(),
        source(),
        record(),
        marks(),
    )
        .prop_map(
            |(sid, proxy_type, nat, clients, age, source, record, marks)| Op::Poll {
                sid,
                proxy_type,
                nat,
                clients,
                age,
                source,
                record,
                marks,
            },
        )
}

fn client() -> impl Strategy<Value = Op> {
    use SupplyHint::{Available, Empty, NoPeers};
    let supply = select(vec![NoPeers, NoPeers, Empty, Available]);
    (nat(), age(), supply, source(), marks()).prop_map(|(nat, age, supply, network, marks)| {
        Op::Client {
            nat,
            age,
            supply,
            network,
            marks,
        }
    })
}

fn peer() -> impl Strategy<Value = Peer> {
    use Peer::{Answers, NoProxy, NotAsked, Unanswered};
    select(vec![Answers, NotAsked, NoProxy, NoProxy, Unanswered])
}

fn borrower() -> impl Strategy<Value = Op> {
    (
        nat(),
        time(&[0, 5, 20, 50]),
        1..4_usize,
        0..3_usize,
        marks(),
    )
        .prop_map(|(nat, patience, attempt, reserve, marks)| Op::Borrower {
            nat,
            patience,
            attempt,
            reserve,
            marks,
        })
}

fn nat() -> impl Strategy<Value = NatType> {
    select(NatType::ALL.to_vec())
}

fn age() -> impl Strategy<Value = Duration> {
    prop_oneof![6 => Just(0), 2 => 0..10_u64, 1 => 0..150_u64].prop_map(tenths)
}

/// Mostly some tenths of a second; rarely as long as the memory of closed polls, or
/// longer.
fn step() -> impl Strategy<Value = Duration> {
    prop_oneof![2 => Just(0), 8 => 0..10_u64, 4 => 10..50_u64, 1 => 100..400_u64, 1 => Just(300)]
        .prop_map(tenths)
}
