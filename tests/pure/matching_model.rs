//! Random scripts, run against the engine and against a naive reference that keeps two
//! lists. The outputs must be equal, step by step.

mod books;
mod chosen;
mod pair;
mod reference;
mod rules;
mod script;

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};
use snowflake_broker::matching::{ClientReply, MatchingEvent, PollReply, Settings, SupplySettings};

use chosen::Choices;
use pair::Pair;
use reference::Output;
use rules::Terms;
use script::{Op, script};

fn run(settings: &Settings, supply: &SupplySettings, terms: Terms, ops: &[Op]) -> Vec<Output> {
    let mut pair = Pair::new(settings, supply, terms);
    for op in ops {
        pair.step(op);
    }
    pair.finish();
    pair.log
}

/// Runs the script that these bytes choose, for a fuzzer.
pub(crate) fn run_chosen_by(bytes: &[u8]) {
    let (settings, supply, terms, ops) = Choices::new(bytes).script();
    run(&settings, &supply, terms, &ops);
}

proptest! {
    #![proptest_config(Config {
        cases: 1500,
        max_shrink_iters: 20_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/pure/matching_model/regressions.txt",
        ))),
        ..Config::default()
    })]

    #[test]
    fn engine_does_what_the_reference_does((settings, supply, terms, ops) in script()) {
        run(&settings, &supply, terms, &ops);
    }
}

/// The name of each kind of reply and event.
fn kind(said: &Output) -> String {
    match said {
        Output::Poll(_, PollReply::Offer(hand_off)) => format!("offer {}", hand_off.attempt),
        Output::Poll(_, reply) => format!("{reply:?}"),
        Output::Client(_, ClientReply::Answer(answered)) => format!("answer {}", answered.attempts),
        Output::Client(_, reply) => format!("{reply:?}"),
        Output::AskPeer(_, attempt, _) => format!("ask {attempt}"),
        Output::Event(MatchingEvent::Answer { outcome, .. }) => format!("{outcome:?}"),
        Output::Event(MatchingEvent::OfferEnded { end, .. }) => format!("{end:?}"),
        Output::Event(event) => format!("{event:?}"),
    }
}

#[test]
fn scripts_reach_every_kind_of_output() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..900 {
        let tree = script().new_tree(&mut runner).expect("nothing is filtered");
        let (settings, supply, terms, ops) = tree.current();
        seen.extend(run(&settings, &supply, terms, &ops).iter().map(kind));
    }
    let expected = [
        "Answered",
        "Beaten",
        "ClientAbandoned",
        "ClientLeft",
        "ClientQueued",
        "Declined",
        "Delivered",
        "Denied(Draining)",
        "Denied(NoProxy)",
        "Denied(NoTimeLeft)",
        "Denied(NoneToLend)",
        "Denied(Overloaded)",
        "Denied(QueueFull)",
        "HandOffFailed",
        "NoMatch(Evicted)",
        "NoMatch(Idle)",
        "NoMatch(NotParked)",
        "NoMatch(OverShare(Matches))",
        "NoMatch(OverShare(Network))",
        "NoMatch(OverShare(Parked))",
        "NoMatch(OverShare(Resting))",
        "NoMatch(OverShare(Unanswered))",
        "NoMatch(Overloaded)",
        "PollAbandoned",
        "Repeated",
        "TimedOut",
        "TooLate",
        "Unanswered",
        "Unknown",
        "Void",
        "answer 1",
        "answer 2",
        "answer 3",
        "ask 1",
        "ask 2",
        "ask 3",
        "offer 1",
        "offer 2",
        "offer 3",
    ];
    assert_eq!(seen, expected.map(str::to_owned).into());
}
