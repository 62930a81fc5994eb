//! Settings that change while polls and clients are waiting.

use std::time::Duration;

use crate::matching_interleavings::scene::{scene, scene_with};

#[test]
fn who_waits_keeps_its_deadline() {
    let mut scene = scene();
    scene.poll("p", "strict").client("c", "strict");
    scene.reconfigure(|settings| {
        settings.proxy_timeout = Duration::from_secs(1);
        settings.client_queue_wait = Duration::from_secs(3);
    });
    scene
        .tick(1000)
        .says(&["ClientQueued", "c: denied, NoProxy"]);
    scene.tick(10_000).says(&["p: Idle"]);
}

#[test]
fn lower_bounds_drop_nobody() {
    let mut scene = scene();
    scene
        .poll("p", "strict")
        .poll("q", "strict")
        .client("c", "strict");
    scene.reconfigure(|settings| {
        settings.max_parked_polls = 1;
        settings.client_queue_max = 1;
    });
    scene.poll("r", "strict").client("d", "strict");
    scene.says(&["ClientQueued", "r: Overloaded", "d: denied, QueueFull"]);
    scene.waiting(1, 0, 2);
}

#[test]
fn fewer_attempts_hold_for_a_second_chance_that_was_due_later() {
    let mut scene = scene();
    scene
        .poll("p", "open")
        .poll("q", "open")
        .client("c", "strict");
    scene.reconfigure(|settings| settings.max_attempts = 1);
    scene.tick(2000).says(&["p: offer of c"]).waiting(0, 1, 1);
    assert_eq!(scene.next_at(), Some(5000));
}

#[test]
fn fewer_attempts_hold_for_overdue_clients() {
    let mut scene = scene();
    scene.poll("p", "open").client("c", "strict").tick(2000);
    scene.reconfigure(|settings| settings.max_attempts = 1);
    scene.poll("q", "open");
    scene.says(&["p: offer of c"]).waiting(0, 1, 1);
}

#[test]
fn queue_that_opens_takes_the_next_client() {
    let mut scene = scene_with(|settings| settings.client_queue_max = 0);
    scene
        .client("c", "strict")
        .reconfigure(|_| {})
        .client("d", "strict");
    scene.says(&["c: denied, NoProxy", "ClientQueued"]);
}
