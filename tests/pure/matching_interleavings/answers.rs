//! Answers: in time, late, repeated, from two proxies, under a wrong `Sid`.

use std::time::Duration;

use snowflake_broker::matching::AnswerOutcome::{
    Beaten, ClientLeft, Delivered, Repeated, TooLate, Unknown,
};
use snowflake_broker::matching::{ClientReply, MatchingEvent, Output};
use snowflake_broker::wire::proxy::ProxyType;

use crate::matching_interleavings::scene::{Scene, scene};

/// A client whose offer was handed to a proxy.
fn matched() -> Scene {
    let mut scene = scene();
    scene.poll("p", "open").client("c", "strict");
    scene.says(&["p: offer of c"]);
    scene
}

/// A client whose offer was handed to a second proxy 2 s after the first.
fn matched_twice() -> Scene {
    let mut scene = matched();
    scene.poll("q", "open").tick(2000);
    scene.says(&["q: offer of c, attempt 2"]);
    scene
}

#[test]
fn answer_in_time_reaches_the_client() {
    let mut scene = matched();
    assert_eq!(scene.at(700).answer("p"), Delivered);
    scene.says(&["c: answer of p"]).waiting(0, 0, 0);
}

#[test]
fn answer_then_client_timeout() {
    let mut scene = matched();
    assert_eq!(scene.at(4999).answer("p"), Delivered);
    scene.says(&["c: answer of p"]).tick(5000).says(&[]);
    assert_eq!(scene.next_at(), None);
}

#[test]
fn timeout_then_answer_is_client_gone() {
    let mut scene = matched();
    scene.tick(5000).says(&["c: timed out"]);
    assert_eq!(scene.at(5001).answer("p"), TooLate);
    scene.says(&[]);
}

#[test]
fn answer_at_exactly_the_deadline_is_late() {
    let mut scene = matched();
    assert_eq!(scene.at(5000).answer("p"), TooLate);
    scene.says(&["c: timed out"]);
}

#[test]
fn answer_after_an_unserved_deadline_is_late() {
    let mut scene = matched();
    assert_eq!(scene.at(60_000).answer("p"), TooLate);
    scene.says(&["c: timed out"]);
}

#[test]
fn answer_within_the_time_counted_from_the_arrival_of_the_client() {
    let mut scene = scene();
    scene.poll("p", "open").late_client("c", "strict", 4000);
    scene.says(&["p: offer of c"]);
    assert_eq!(scene.at(1000).answer("p"), TooLate);
    scene.says(&["c: timed out"]);
}

#[test]
fn two_answers_first_wins() {
    let mut scene = matched();
    assert_eq!(scene.at(700).answer("p"), Delivered);
    assert_eq!(scene.at(701).answer("p"), Repeated);
    scene.says(&["c: answer of p"]);
}

#[test]
fn first_proxy_answers_first_then_second_gets_client_gone() {
    let mut scene = matched_twice();
    assert_eq!(scene.at(2500).answer("p"), Delivered);
    assert_eq!(scene.at(2600).answer("q"), Beaten);
    scene.says(&["c: answer of p"]).waiting(0, 0, 0);
}

#[test]
fn second_proxy_answers_first_then_first_gets_client_gone() {
    let mut scene = matched_twice();
    assert_eq!(scene.at(2500).answer("q"), Delivered);
    assert_eq!(scene.at(2600).answer("p"), Beaten);
    assert_eq!(scene.at(2700).answer("q"), Repeated);
    scene.says(&["c: answer of q"]).waiting(0, 0, 0);
}

#[test]
fn timeout_closes_the_polls_of_both_proxies() {
    let mut scene = matched_twice();
    scene.tick(5000).says(&["c: timed out"]);
    assert_eq!(scene.answer("p"), TooLate);
    assert_eq!(scene.answer("q"), TooLate);
}

#[test]
fn client_leaves_then_answer() {
    let mut scene = matched();
    scene.at(100).client_leaves("c").says(&["ClientAbandoned"]);
    assert_eq!(scene.at(700).answer("p"), ClientLeft);
    scene.says(&[]).waiting(0, 0, 0);
}

#[test]
fn answer_then_client_leaves() {
    let mut scene = matched();
    assert_eq!(scene.at(700).answer("p"), Delivered);
    scene.client_leaves("c").says(&["c: answer of p"]);
}

#[test]
fn answer_without_an_offer_is_unknown() {
    let mut scene = scene();
    assert_eq!(scene.answer("nobody"), Unknown);
    assert_eq!(scene.poll("p", "open").answer("p"), Unknown);
    scene.waiting(0, 0, 1).client("c", "strict");
    scene.says(&["p: offer of c"]);
}

#[test]
fn answer_goes_to_the_client_of_its_own_sid() {
    let mut scene = scene();
    scene.poll("p", "open").poll("q", "open");
    scene.client("c", "strict").client("d", "strict");
    scene.says(&["p: offer of c", "q: offer of d"]);
    assert_eq!(scene.answer("q"), Delivered);
    assert_eq!(scene.answer("p"), Delivered);
    scene.says(&["d: answer of q", "c: answer of p"]);
}

#[test]
fn late_answer_is_known_as_one_for_half_a_minute() {
    let mut scene = matched();
    scene.tick(5000).says(&["c: timed out"]);
    assert_eq!(scene.at(34_999).answer("p"), TooLate);
    assert_eq!(scene.at(35_000).answer("p"), Unknown);
    assert!(scene.engine.is_empty());
}

#[test]
fn sid_in_use_is_refused_and_reusable_afterwards() {
    let mut scene = matched();
    assert!(
        !scene.at(100).try_poll("p", "open", 0, 0),
        "the Sid's poll is offered"
    );
    assert_eq!(scene.answer("p"), Delivered);
    scene.says(&["c: answer of p"]).poll("p", "open");
    assert!(
        !scene.try_poll("p", "open", 0, 0),
        "the Sid's poll is parked"
    );
    scene.tick(10_100).says(&["p: Idle"]).poll("p", "open");
}

#[test]
fn reused_sid_is_not_forgotten_with_the_poll_that_had_it_before() {
    let mut scene = matched();
    assert_eq!(scene.answer("p"), Delivered);
    scene.says(&["c: answer of p"]);
    scene.at(29_000).poll("p", "open").client("d", "strict");
    scene.tick(30_000).says(&["p: offer of d"]);
    assert_eq!(scene.answer("p"), Delivered);
    scene.says(&["d: answer of p"]);
}

#[test]
fn answer_tells_how_long_its_proxy_took() {
    let mut scene = matched_twice();
    assert_eq!(scene.at(2700).answer("q"), Delivered);
    let mut outputs = std::iter::from_fn(|| scene.engine.next_output());
    let answered = outputs.find_map(|output| match output {
        Output::Client(_, ClientReply::Answer(answered)) => Some(answered),
        _ => None,
    });
    let answered = answered.expect("an answer");
    assert_eq!(answered.attempts, 2);
    assert_eq!(answered.since_hand_off, Duration::from_millis(700));
    let counted = MatchingEvent::Answer {
        proxy_type: ProxyType::STANDALONE,
        outcome: Delivered,
    };
    assert_eq!(scene.engine.next_output(), Some(Output::Event(counted)));
}
