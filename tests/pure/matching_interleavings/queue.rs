//! Clients waiting for a proxy.

use crate::matching_interleavings::scene::{scene, scene_with};

#[test]
fn queued_client_gets_the_next_proxy() {
    let mut scene = scene();
    scene.client("c", "strict").waiting(1, 0, 0);
    scene.at(999).poll("p", "open");
    scene
        .says(&["ClientQueued", "p: offer of c"])
        .waiting(0, 1, 0);
}

#[test]
fn queued_client_is_denied_when_its_wait_is_over() {
    let mut scene = scene();
    scene.client("c", "strict");
    assert_eq!(scene.next_at(), Some(1000));
    scene.tick(999).says(&["ClientQueued"]);
    scene.tick(1000).says(&["c: denied, NoProxy"]);
}

#[test]
fn proxy_that_polls_when_the_wait_is_over_comes_too_late() {
    let mut scene = scene();
    scene.client("c", "strict").at(1000).poll("p", "open");
    scene
        .says(&["ClientQueued", "c: denied, NoProxy"])
        .waiting(0, 0, 1);
}

#[test]
fn queued_client_is_let_go_when_too_little_time_is_left() {
    let mut scene = scene();
    scene.late_client("c", "strict", 4000);
    assert_eq!(scene.next_at(), Some(500));
    scene
        .tick(500)
        .says(&["ClientQueued", "c: denied, NoProxy"]);
}

#[test]
fn client_without_time_for_the_queue_is_denied_at_once() {
    let mut scene = scene();
    scene
        .late_client("c", "strict", 4500)
        .says(&["c: denied, NoProxy"]);
}

#[test]
fn client_whose_time_is_up_on_arrival_is_denied_even_if_a_proxy_is_idle() {
    let mut scene = scene();
    scene.poll("p", "open").late_client("c", "strict", 5000);
    scene.late_client("d", "strict", 900_000);
    scene.says(&["c: denied, NoTimeLeft", "d: denied, NoTimeLeft"]);
    scene.waiting(0, 0, 1);
}

#[test]
fn queue_wait_zero_denies_at_once() {
    let mut scene = scene_with(|settings| settings.client_queue_wait = std::time::Duration::ZERO);
    scene.client("c", "strict").says(&["c: denied, NoProxy"]);
}

#[test]
fn queue_max_zero_denies_at_once() {
    let mut scene = scene_with(|settings| settings.client_queue_max = 0);
    scene.client("c", "strict").says(&["c: denied, NoProxy"]);
}

#[test]
fn full_queue_denies_at_once() {
    let mut scene = scene_with(|settings| settings.client_queue_max = 2);
    scene
        .client("c", "strict")
        .client("d", "open")
        .client("e", "moderate");
    scene.says(&["ClientQueued", "ClientQueued", "e: denied, QueueFull"]);
    scene.poll("p", "open").client("f", "strict");
    scene.says(&["p: offer of c", "ClientQueued"]);
}

#[test]
fn full_queue_does_not_deny_who_finds_an_idle_proxy() {
    let mut scene = scene_with(|settings| settings.client_queue_max = 1);
    scene
        .poll("p", "strict")
        .client("c", "strict")
        .client("d", "open");
    scene.says(&["ClientQueued", "p: offer of d"]);
}

#[test]
fn queued_client_taken_oldest_first_across_classes() {
    let mut scene = scene();
    scene
        .client("a", "moderate")
        .client("b", "strict")
        .client("c", "open");
    scene.poll("p", "open").poll("q", "open").poll("r", "open");
    scene.says(&[
        "ClientQueued",
        "ClientQueued",
        "ClientQueued",
        "p: offer of a",
        "q: offer of b",
        "r: offer of c",
    ]);
}

#[test]
fn proxy_passes_over_queued_clients_that_it_cannot_serve() {
    let mut scene = scene();
    scene
        .client("a", "strict")
        .client("b", "moderate")
        .client("c", "open");
    scene
        .poll("s", "restricted")
        .poll("m", "moderate")
        .poll("t", "unknown");
    scene.says(&[
        "ClientQueued",
        "ClientQueued",
        "ClientQueued",
        "s: offer of c",
        "m: offer of b",
    ]);
    scene.waiting(1, 2, 1);
}

#[test]
fn clients_whose_wait_ends_at_the_same_moment_are_told_in_the_order_of_coming() {
    let mut scene = scene();
    // A later client reuses the slot that `a` leaves.
    scene
        .client("a", "strict")
        .client("b", "strict")
        .client_leaves("a");
    scene.client("c", "strict").tick(1000);
    scene.says(&[
        "ClientQueued",
        "ClientQueued",
        "ClientAbandoned",
        "ClientQueued",
        "b: denied, NoProxy",
        "c: denied, NoProxy",
    ]);
}

#[test]
fn poll_times_out_at_the_moment_a_client_comes() {
    let mut scene = scene();
    scene.poll("p", "open").at(10_000).client("c", "strict");
    scene.says(&["p: Idle", "ClientQueued"]);
}

#[test]
fn poll_a_moment_before_its_timeout_gets_the_client() {
    let mut scene = scene();
    scene.poll("p", "open").at(9999).client("c", "strict");
    scene.tick(10_000).says(&["p: offer of c"]);
}

#[test]
fn poll_waits_from_its_arrival() {
    let mut scene = scene();
    scene.late_poll("p", "open", 9000);
    assert_eq!(scene.next_at(), Some(1000));
    scene.tick(1000).says(&["p: Idle"]);
}

#[test]
fn poll_whose_time_is_up_on_arrival_is_idle_before_any_client() {
    let mut scene = scene();
    scene.late_poll("p", "open", 900_000).client("c", "strict");
    scene.says(&["p: Idle", "ClientQueued"]);
}
