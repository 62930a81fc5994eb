//! A broker that returns to service after a lame duck or a drain.

use snowflake_broker::matching::AnswerOutcome::{Delivered, TooLate};
use snowflake_broker::matching::ServiceStage;

use crate::matching_interleavings::scene::{Scene, scene};

/// An engine that was drained while a proxy had one client's offer, and serves again.
fn resumed() -> Scene {
    let mut scene = scene();
    scene
        .poll("p", "open")
        .client("c", "strict")
        .start_draining();
    scene.says(&["p: offer of c"]).resume();
    scene
}

#[test]
fn a_resumed_lame_duck_parks_polls_again() {
    let mut scene = scene();
    scene.start_lame_duck().poll("p", "open").resume();
    scene.poll("q", "open").says(&["p: NotParked"]);
    scene.client("c", "strict").says(&["q: offer of c"]);
}

#[test]
fn a_lame_duck_keeps_who_waits_until_it_resumes() {
    let mut scene = scene();
    scene.poll("p", "strict").client("c", "strict");
    scene.start_lame_duck().resume().says(&["ClientQueued"]);
    scene.waiting(1, 0, 1);
    scene.poll("q", "open").says(&["q: offer of c"]);
}

#[test]
fn a_resumed_drain_matches_again() {
    let mut scene = resumed();
    scene.client("d", "strict").says(&["ClientQueued"]);
    scene.poll("q", "open").says(&["q: offer of d"]);
    assert_eq!(scene.answer("q"), Delivered);
    scene.says(&["d: answer of q"]);
}

#[test]
fn who_was_let_go_stays_so() {
    let mut scene = scene();
    scene.poll("p", "strict").client("c", "strict");
    scene.start_draining().resume();
    scene.says(&["ClientQueued", "p: Evicted", "c: denied, Draining"]);
    assert!(scene.engine.is_empty());
    scene.poll("q", "open").tick(100_000).says(&["q: Idle"]);
}

#[test]
fn who_was_matched_keeps_its_time() {
    let mut scene = resumed();
    scene.tick(4999).says(&[]);
    scene.tick(5000).says(&["c: timed out"]);
    assert_eq!(scene.answer("p"), TooLate);
}

#[test]
fn who_was_matched_gets_its_answer() {
    let mut scene = resumed();
    assert_eq!(scene.at(4000).answer("p"), Delivered);
    scene.says(&["c: answer of p"]);
}

#[test]
fn who_was_matched_gets_its_second_chance() {
    let mut scene = resumed();
    scene.tick(2000).poll("q", "open");
    scene.says(&["q: offer of c, attempt 2"]);
}

#[test]
fn a_second_chance_that_fell_into_the_drain_comes_after_it() {
    let mut scene = scene();
    scene
        .poll("p", "open")
        .client("c", "strict")
        .start_draining()
        .tick(2500)
        .resume()
        .poll("q", "open");
    scene.says(&["p: offer of c", "q: offer of c, attempt 2"]);
}

#[test]
fn it_can_drain_again() {
    let mut scene = resumed();
    scene.poll("q", "open").start_draining();
    scene.says(&["q: Evicted"]);
    assert_eq!(scene.engine.stage(), ServiceStage::Draining);
}
