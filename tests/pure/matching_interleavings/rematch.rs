//! Rematches.

use std::time::Duration;

use snowflake_broker::matching::AnswerOutcome::Delivered;

use crate::matching_interleavings::scene::{scene, scene_with};

#[test]
fn client_without_an_answer_is_offered_to_a_second_proxy() {
    let mut scene = scene();
    scene
        .poll("p", "open")
        .poll("q", "open")
        .client("c", "strict");
    assert_eq!(scene.next_at(), Some(2000));
    scene.tick(1999).says(&["p: offer of c"]);
    scene
        .tick(2000)
        .says(&["q: offer of c, attempt 2"])
        .waiting(0, 1, 0);
}

#[test]
fn overdue_client_gets_a_proxy_that_polls_later() {
    let mut scene = scene();
    scene.poll("p", "open").client("c", "strict").tick(2000);
    scene.at(3000).poll("q", "open");
    scene.says(&["p: offer of c", "q: offer of c, attempt 2"]);
}

#[test]
fn overdue_client_is_offered_once_more_while_a_proxy_can_answer_in_time() {
    let mut scene = scene();
    scene.poll("p", "open").client("c", "strict").tick(2000);
    scene.at(4500).poll("q", "open");
    scene.says(&["p: offer of c", "q: offer of c, attempt 2"]);
}

#[test]
fn rematch_not_without_time_to_answer() {
    let mut scene = scene();
    scene.poll("p", "open").client("c", "strict").tick(2000);
    scene.at(4501).poll("q", "open");
    scene.says(&["p: offer of c"]).waiting(0, 1, 1);
    assert_eq!(scene.answer("p"), Delivered);
}

#[test]
fn rematch_not_when_it_is_due_without_time_to_answer() {
    let mut scene = scene();
    scene.poll("p", "open").poll("q", "open");
    scene.late_client("c", "strict", 2600).tick(2000);
    scene.says(&["p: offer of c"]).waiting(0, 1, 1);
}

#[test]
fn client_without_time_does_not_stand_in_the_way_of_another() {
    let mut scene = scene();
    scene.poll("p", "open").poll("q", "open");
    scene
        .late_client("old", "strict", 2000)
        .client("new", "strict");
    scene.tick(2000).at(2600).poll("r", "open").says(&[
        "p: offer of old",
        "q: offer of new",
        "r: offer of new, attempt 2",
    ]);
}

#[test]
fn rematch_not_beyond_max_attempts() {
    let mut scene = scene();
    scene.poll("p", "open").poll("q", "open").poll("r", "open");
    scene.client("c", "strict").tick(2000).tick(4000);
    scene.says(&["p: offer of c", "q: offer of c, attempt 2"]);
    scene.waiting(0, 1, 1).tick(5000).says(&["c: timed out"]);
}

#[test]
fn three_attempts_when_so_configured() {
    let mut scene = scene_with(|settings| settings.max_attempts = 3);
    scene.poll("p", "open").poll("q", "open").poll("r", "open");
    scene.client("c", "strict").tick(2000).tick(4000).says(&[
        "p: offer of c",
        "q: offer of c, attempt 2",
        "r: offer of c, attempt 3",
    ]);
}

#[test]
fn one_attempt_means_no_rematch() {
    let mut scene = scene_with(|settings| settings.max_attempts = 1);
    scene
        .poll("p", "open")
        .poll("q", "open")
        .client("c", "strict");
    assert_eq!(scene.next_at(), Some(5000));
    scene.tick(4000).says(&["p: offer of c"]).waiting(0, 1, 1);
}

#[test]
fn rematch_at_once_ends_with_max_attempts() {
    let mut scene = scene_with(|settings| {
        settings.rematch_after = Duration::ZERO;
        settings.max_attempts = 3;
    });
    scene
        .poll("p", "open")
        .poll("q", "open")
        .poll("r", "open")
        .poll("s", "open");
    scene.client("c", "strict").tick(0).says(&[
        "p: offer of c",
        "q: offer of c, attempt 2",
        "r: offer of c, attempt 3",
    ]);
}

#[test]
fn no_second_chance_while_a_client_is_queued() {
    let mut scene = scene();
    scene.poll("p", "open").client("old", "strict").tick(2000);
    scene
        .client("new", "strict")
        .poll("q", "open")
        .poll("r", "open");
    scene.says(&[
        "p: offer of old",
        "ClientQueued",
        "q: offer of new",
        "r: offer of old, attempt 2",
    ]);
}

#[test]
fn second_chance_with_a_proxy_that_cannot_serve_who_is_queued() {
    let mut scene = scene();
    scene.poll("p", "open").client("old", "open").tick(2000);
    scene.client("new", "strict").poll("q", "restricted");
    scene.says(&[
        "p: offer of old",
        "ClientQueued",
        "q: offer of old, attempt 2",
    ]);
}

#[test]
fn overdue_clients_are_taken_oldest_first() {
    let mut scene = scene();
    scene.poll("p", "open").poll("q", "open");
    scene.client("old", "moderate").client("new", "open");
    scene.tick(2000).poll("r", "open");
    scene.says(&[
        "p: offer of old",
        "q: offer of new",
        "r: offer of old, attempt 2",
    ]);
}

#[test]
fn second_chances_due_at_the_same_moment_go_to_who_came_first() {
    let mut scene = scene();
    scene
        .client("a", "strict")
        .client("old", "strict")
        .client_leaves("a");
    // A later client reuses the slot that `a` leaves.
    scene
        .client("new", "strict")
        .poll("p", "open")
        .poll("q", "open");
    scene.poll("r", "open").tick(2000).says(&[
        "ClientQueued",
        "ClientQueued",
        "ClientAbandoned",
        "ClientQueued",
        "p: offer of old",
        "q: offer of new",
        "r: offer of old, attempt 2",
    ]);
}

#[test]
fn poll_that_times_out_at_the_moment_of_a_second_chance_is_idle() {
    let mut scene = scene();
    scene.loaded_poll("p", "open", 1).at(1).poll("q", "open");
    scene.at(8000).client("c", "strict").tick(10_000);
    scene.says(&["q: offer of c", "p: Idle"]).waiting(0, 1, 0);
}

#[test]
fn second_chance_served_late_is_given_up_when_no_time_is_left() {
    let mut scene = scene();
    scene
        .poll("p", "open")
        .poll("q", "open")
        .client("c", "strict");
    scene.tick(4800).says(&["p: offer of c"]).waiting(0, 1, 1);
    scene.tick(5000).says(&["c: timed out"]);
}
