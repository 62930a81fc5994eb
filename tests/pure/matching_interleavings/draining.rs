//! A draining broker.

use snowflake_broker::matching::AnswerOutcome::{Delivered, TooLate};

use crate::matching_interleavings::scene::{Scene, scene};

/// A draining engine with one client whose offer a proxy has.
fn draining() -> Scene {
    let mut scene = scene();
    scene
        .poll("p", "open")
        .client("c", "strict")
        .start_draining();
    scene.says(&["p: offer of c"]);
    scene
}

#[test]
fn draining_lets_parked_polls_and_queued_clients_go() {
    let mut scene = scene();
    scene
        .poll("p", "strict")
        .client("c", "strict")
        .start_draining();
    scene.says(&["ClientQueued", "p: Evicted", "c: denied, Draining"]);
    assert!(scene.engine.is_empty());
}

#[test]
fn draining_refuses_who_comes() {
    let mut scene = draining();
    scene.poll("q", "open").client("d", "open");
    scene.says(&["q: NotParked", "d: denied, Draining"]);
}

#[test]
fn draining_takes_answers_that_are_due() {
    let mut scene = draining();
    assert_eq!(scene.at(4000).answer("p"), Delivered);
    scene.says(&["c: answer of p"]);
    assert_eq!(scene.next_at(), None);
}

#[test]
fn draining_lets_matched_clients_have_their_time() {
    let mut scene = draining();
    scene
        .tick(4999)
        .says(&[])
        .tick(5000)
        .says(&["c: timed out"]);
    assert_eq!(scene.answer("p"), TooLate);
}

#[test]
fn draining_gives_no_second_chance() {
    let mut scene = draining();
    scene.tick(2000).poll("q", "open").says(&["q: NotParked"]);
    assert_eq!(scene.next_at(), Some(5000));
}

#[test]
fn draining_takes_the_second_chance_from_overdue_clients() {
    let mut scene = scene();
    scene.poll("p", "open").client("c", "strict").tick(2000);
    scene.start_draining().poll("q", "open");
    scene.says(&["p: offer of c", "q: NotParked"]);
    assert_eq!(scene.answer("p"), Delivered);
}

#[test]
fn draining_denies_the_client_of_a_failed_hand_off() {
    let mut scene = draining();
    scene.proxy_leaves("p");
    scene.says(&["HandOffFailed", "c: denied, Draining"]);
    assert!(scene.engine.is_empty());
}

#[test]
fn draining_keeps_the_client_of_a_failed_hand_off_whose_other_proxy_may_answer() {
    let mut scene = scene();
    scene
        .poll("p", "open")
        .poll("q", "open")
        .client("c", "strict");
    scene.tick(2000).start_draining().proxy_leaves("q");
    scene.says(&["p: offer of c", "q: offer of c, attempt 2", "HandOffFailed"]);
    assert_eq!(scene.answer("p"), Delivered);
    scene.says(&["c: answer of p"]);
}

#[test]
fn draining_ends_first_what_is_due() {
    let mut scene = scene();
    scene.poll("p", "strict").at(9500).client("c", "strict");
    scene.at(10_500).start_draining().start_draining();
    scene.says(&["ClientQueued", "p: Idle", "c: denied, NoProxy"]);
}
