//! Bounds of the tables, and extreme time spans.

use std::time::Duration;

use snowflake_broker::matching::AnswerOutcome::Delivered;

use crate::matching_interleavings::scene::{scene, scene_with};

#[test]
fn full_pool_replies_no_match_at_once() {
    let mut scene = scene_with(|settings| settings.max_parked_polls = 2);
    scene
        .poll("p", "open")
        .poll("q", "strict")
        .poll("r", "moderate");
    scene.says(&["r: Overloaded"]).waiting(0, 0, 2);
    scene.client("c", "strict").poll("s", "open");
    scene.says(&["p: offer of c"]).waiting(0, 1, 2);
}

#[test]
fn full_pool_does_not_keep_a_proxy_from_a_queued_client() {
    let mut scene = scene_with(|settings| settings.max_parked_polls = 1);
    scene
        .poll("p", "strict")
        .client("c", "strict")
        .poll("q", "open");
    scene.says(&["ClientQueued", "q: offer of c"]);
}

#[test]
fn sid_of_a_refused_poll_is_free() {
    let mut scene = scene_with(|settings| settings.max_parked_polls = 0);
    scene.poll("p", "open").says(&["p: Overloaded"]);
    scene.poll("p", "open").says(&["p: Overloaded"]);
    assert!(scene.engine.is_empty());
}

#[test]
fn too_many_matched_clients_deny_the_next() {
    let mut scene = scene_with(|settings| settings.max_matched_clients = 1);
    scene.poll("p", "open").poll("q", "open");
    scene.client("c", "strict").client("d", "strict");
    scene.says(&["p: offer of c", "d: denied, Overloaded"]);
    assert_eq!(scene.answer("p"), Delivered);
    scene.client("e", "strict");
    scene.says(&["c: answer of p", "q: offer of e"]);
}

#[test]
fn queued_clients_may_be_matched_on_top_of_the_limit() {
    let mut scene = scene_with(|settings| settings.max_matched_clients = 1);
    scene.client("c", "strict").client("d", "strict");
    scene.poll("p", "open").poll("q", "open").waiting(0, 2, 0);
}

#[test]
fn spans_beyond_any_clock_are_for_ever() {
    let mut scene = scene_with(|settings| {
        settings.client_timeout = Duration::MAX;
        settings.proxy_timeout = Duration::MAX;
        settings.client_queue_wait = Duration::MAX;
        settings.rematch_after = Duration::MAX;
    });
    scene
        .client("c", "strict")
        .poll("p", "open")
        .poll("q", "open");
    scene
        .tick(86_400_000)
        .says(&["ClientQueued", "p: offer of c"]);
    assert_eq!(scene.answer("p"), Delivered);
    scene.says(&["c: answer of p"]).waiting(0, 0, 1);
}

#[test]
fn answer_time_beyond_any_clock_means_no_second_chance_and_no_queue() {
    let mut scene = scene_with(|settings| settings.min_answer_time = Duration::MAX);
    scene.poll("p", "open").client("c", "strict").tick(2000);
    scene
        .poll("q", "open")
        .says(&["p: offer of c"])
        .proxy_leaves("q");
    scene
        .client("d", "strict")
        .says(&["PollAbandoned", "d: denied, NoProxy"]);
}

#[test]
fn nothing_is_due_where_nothing_waits() {
    let mut scene = scene();
    assert_eq!(scene.next_at(), None);
    assert!(scene.tick(1000).engine.is_empty());
}
