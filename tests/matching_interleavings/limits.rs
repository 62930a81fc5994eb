//! Bounds of the tables, and spans of time at the edge of what can be counted.

use snowflake_broker::matching::AnswerOutcome::Delivered;

use crate::scene::{scene, scene_with};

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
fn nothing_is_due_where_nothing_waits() {
    let mut scene = scene();
    assert_eq!(scene.next_at(), None);
    assert!(scene.tick(1000).engine.is_empty());
}
