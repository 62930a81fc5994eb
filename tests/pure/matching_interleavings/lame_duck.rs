//! A lame duck: a broker that will soon drain.

use snowflake_broker::matching::AnswerOutcome::Delivered;

use crate::matching_interleavings::scene::{Scene, scene, scene_with};

/// A lame duck with one parked poll.
fn lame_duck() -> Scene {
    let mut scene = scene();
    scene.poll("p", "open").start_lame_duck();
    scene
}

#[test]
fn lame_duck_serves_clients_from_parked_polls() {
    let mut scene = lame_duck();
    scene.client("c", "strict").says(&["p: offer of c"]);
    assert_eq!(scene.at(4000).answer("p"), Delivered);
    scene.says(&["c: answer of p"]);
}

#[test]
fn lame_duck_parks_no_poll() {
    let mut scene = lame_duck();
    scene.poll("q", "open").says(&["q: NotParked"]);
    scene.waiting(0, 0, 1);
    scene.tick(10_000).says(&["p: Idle"]);
    assert!(scene.engine.is_empty());
}

#[test]
fn lame_duck_parks_no_poll_whether_or_not_there_is_room() {
    let mut scene = scene_with(|settings| settings.max_parked_polls = 0);
    scene.start_lame_duck().poll("q", "open");
    scene.says(&["q: NotParked"]);
}

#[test]
fn lame_duck_gives_a_poll_a_client_that_waits() {
    let mut scene = scene();
    scene
        .client("c", "strict")
        .start_lame_duck()
        .client("d", "strict");
    scene.poll("p", "open").poll("q", "open").poll("r", "open");
    scene.says(&[
        "ClientQueued",
        "ClientQueued",
        "p: offer of c",
        "q: offer of d",
        "r: NotParked",
    ]);
}

#[test]
fn lame_duck_gives_second_chances() {
    let mut scene = lame_duck();
    scene.client("c", "strict").tick(2000).poll("q", "open");
    scene.says(&["p: offer of c", "q: offer of c, attempt 2"]);
}

#[test]
fn lame_duck_lets_a_client_wait_its_time() {
    let mut scene = scene();
    scene.start_lame_duck().client("c", "strict").tick(999);
    scene.says(&["ClientQueued"]);
    scene.tick(1000).says(&["c: denied, NoProxy"]);
}

#[test]
fn lame_duck_finds_another_proxy_for_a_failed_hand_off() {
    let mut scene = lame_duck();
    scene.client("c", "strict").proxy_leaves("p");
    scene.poll("q", "open");
    scene.says(&[
        "p: offer of c",
        "HandOffFailed",
        "ClientQueued",
        "q: offer of c",
    ]);
}

#[test]
fn lame_duck_ends_in_draining() {
    let mut scene = lame_duck();
    scene.start_draining().poll("q", "open").client("c", "open");
    scene.says(&["p: Evicted", "q: NotParked", "c: denied, Draining"]);
    assert!(scene.engine.is_empty());
}

#[test]
fn draining_does_not_go_back_to_it() {
    let mut scene = scene();
    scene
        .start_draining()
        .start_lame_duck()
        .client("c", "strict");
    scene.says(&["c: denied, Draining"]);
}
