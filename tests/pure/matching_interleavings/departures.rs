//! Departures of clients, and of proxies before they took their reply.

use snowflake_broker::matching::AnswerOutcome::{Beaten, Delivered, Unknown};

use crate::matching_interleavings::scene::{scene, scene_with};

#[test]
fn proxy_that_left_its_pool_is_never_handed_an_offer() {
    let mut scene = scene();
    scene.poll("p", "open").proxy_leaves("p");
    scene.says(&["PollAbandoned"]).waiting(0, 0, 0);
    scene.client("c", "strict").says(&["ClientQueued"]);
}

#[test]
fn proxy_leaves_twice() {
    let mut scene = scene();
    scene.poll("p", "open").proxy_leaves("p").proxy_leaves("p");
    scene.says(&["PollAbandoned"]);
    assert!(scene.engine.is_empty());
}

#[test]
fn proxy_leaves_after_its_time_was_up() {
    let mut scene = scene();
    scene.poll("p", "open").at(10_000).proxy_leaves("p");
    scene.says(&["p: Idle"]);
}

#[test]
fn proxy_leaves_during_hand_off_next_proxy_gets_the_offer() {
    let mut scene = scene();
    scene.poll("p", "open").poll("q", "open");
    scene.client("c", "strict").proxy_leaves("p");
    scene.says(&["p: offer of c", "HandOffFailed", "q: offer of c"]);
    assert_eq!(scene.answer("p"), Unknown);
    assert_eq!(scene.answer("q"), Delivered);
    scene.says(&["c: answer of q"]);
}

#[test]
fn proxy_leaves_during_hand_off_without_another_client_is_queued_again() {
    let mut scene = scene();
    scene.poll("p", "open").client("c", "strict");
    scene.at(10).proxy_leaves("p");
    scene.says(&["p: offer of c", "HandOffFailed", "ClientQueued"]);
    scene.waiting(1, 0, 0).at(3000).poll("q", "open");
    scene.says(&["q: offer of c"]);
}

#[test]
fn client_of_a_failed_hand_off_waits_while_a_proxy_could_answer_in_time() {
    let mut scene = scene();
    scene.poll("p", "open").client("c", "strict");
    scene.proxy_leaves("p").tick(4499);
    scene.says(&["p: offer of c", "HandOffFailed", "ClientQueued"]);
    scene.tick(4500).says(&["c: denied, NoProxy"]);
}

#[test]
fn client_of_a_failed_hand_off_keeps_its_place() {
    let mut scene = scene();
    scene.poll("p", "open").client("old", "strict");
    scene.client("new", "strict").proxy_leaves("p");
    scene.poll("q", "open").poll("r", "open");
    scene.says(&[
        "p: offer of old",
        "ClientQueued",
        "HandOffFailed",
        "ClientQueued",
        "q: offer of old",
        "r: offer of new",
    ]);
}

#[test]
fn failed_hand_off_with_a_full_queue_denies() {
    let mut scene = scene_with(|settings| settings.client_queue_max = 1);
    scene.poll("p", "open").client("c", "strict");
    scene.client("d", "strict").proxy_leaves("p");
    scene.says(&[
        "p: offer of c",
        "ClientQueued",
        "HandOffFailed",
        "c: denied, QueueFull",
    ]);
}

#[test]
fn failed_hand_offs_do_not_count_as_attempts() {
    let mut scene = scene_with(|settings| settings.max_attempts = 1);
    scene.poll("p", "open").poll("q", "open").poll("r", "open");
    scene
        .client("c", "strict")
        .proxy_leaves("p")
        .proxy_leaves("q");
    scene.says(&[
        "p: offer of c",
        "HandOffFailed",
        "q: offer of c",
        "HandOffFailed",
        "r: offer of c",
    ]);
}

#[test]
fn second_proxy_leaves_during_hand_off_third_gets_the_offer() {
    let mut scene = scene();
    scene.poll("p", "open").client("c", "strict");
    scene.poll("q", "open").poll("r", "open").tick(2000);
    scene.proxy_leaves("q").says(&[
        "p: offer of c",
        "q: offer of c, attempt 2",
        "HandOffFailed",
        "r: offer of c, attempt 2",
    ]);
    assert_eq!(scene.answer("p"), Delivered);
    assert_eq!(scene.answer("r"), Beaten);
    scene.says(&["c: answer of p"]);
}

#[test]
fn second_proxy_leaves_during_hand_off_and_the_first_still_counts() {
    let mut scene = scene();
    scene.poll("p", "open").client("c", "strict");
    scene.poll("q", "open").tick(2000).proxy_leaves("q");
    scene.says(&["p: offer of c", "q: offer of c, attempt 2", "HandOffFailed"]);
    scene.waiting(0, 1, 0).at(2500).poll("r", "open");
    scene.says(&["r: offer of c, attempt 2"]);
    scene.tick(5000).says(&["c: timed out"]);
}

#[test]
fn second_proxy_leaves_when_no_time_is_left_for_a_third() {
    let mut scene = scene();
    scene.poll("p", "open").client("c", "strict");
    scene.poll("q", "open").poll("r", "open").tick(2000);
    scene.at(4501).proxy_leaves("q").waiting(0, 1, 1);
    assert_eq!(scene.answer("p"), Delivered);
}

#[test]
fn both_proxies_leave_during_hand_off_and_the_client_is_queued_again() {
    let mut scene = scene();
    scene.poll("p", "open").client("c", "strict");
    scene.poll("q", "open").tick(2000);
    scene.proxy_leaves("q").proxy_leaves("p").says(&[
        "p: offer of c",
        "q: offer of c, attempt 2",
        "HandOffFailed",
        "HandOffFailed",
        "ClientQueued",
    ]);
    scene
        .waiting(1, 0, 0)
        .poll("r", "open")
        .says(&["r: offer of c"]);
}

#[test]
fn client_leaves_then_proxy_leaves_during_hand_off() {
    let mut scene = scene();
    scene
        .poll("p", "open")
        .poll("q", "open")
        .client("c", "strict");
    scene.client_leaves("c").proxy_leaves("p");
    scene
        .says(&["p: offer of c", "ClientAbandoned"])
        .waiting(0, 0, 1);
}

#[test]
fn client_times_out_then_proxy_leaves_during_hand_off() {
    let mut scene = scene();
    scene.poll("p", "open").client("c", "strict");
    scene.at(5000).proxy_leaves("p");
    scene.says(&["p: offer of c", "c: timed out"]);
}

#[test]
fn client_leaves_the_queue() {
    let mut scene = scene();
    scene.client("c", "strict").client_leaves("c");
    scene.says(&["ClientQueued", "ClientAbandoned"]);
    scene.poll("p", "open").waiting(0, 0, 1).says(&[]);
}

#[test]
fn client_leaves_while_it_is_overdue() {
    let mut scene = scene();
    scene.poll("p", "open").client("c", "strict");
    scene.tick(2000).client_leaves("c").poll("q", "open");
    scene
        .says(&["p: offer of c", "ClientAbandoned"])
        .waiting(0, 0, 1);
}

#[test]
fn client_leaves_after_its_time_was_up() {
    let mut scene = scene();
    scene.client("c", "strict").at(1000).client_leaves("c");
    scene.client_leaves("c");
    scene.says(&["ClientQueued", "c: denied, NoProxy"]);
    assert!(scene.engine.is_empty());
}
