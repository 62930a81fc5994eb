//! Clients for which peers are asked, and their states meanwhile.

use std::time::Duration;

use snowflake_broker::matching::AnswerOutcome::{Beaten, ClientLeft, Delivered};
use snowflake_broker::matching::PeerReply::{NoProxy, NotAsked, Unanswered};
use snowflake_broker::matching::SupplyHint::{Available, Empty};

use crate::matching_interleavings::scene::{scene, scene_with};

#[test]
fn peers_are_asked_when_no_proxy_is_idle_here() {
    let mut scene = scene();
    scene.poll("p", "open");
    scene
        .client_beside(Available, "first", "strict")
        .client_beside(Available, "second", "strict");
    scene.says(&["p: offer of first", "peers: offer of second, attempt 1"]);
    scene.waiting(0, 2, 0).peer_answers("second", "theirs");
    scene.says(&["second: answer of theirs"]).waiting(0, 1, 0);
}

#[test]
fn a_client_is_queued_once_peers_have_nothing() {
    for reply in [NotAsked, NoProxy] {
        let mut scene = scene();
        scene.client_beside(Available, "c", "strict");
        scene.at(300).peers_reply("c", reply).waiting(1, 0, 0);
        scene
            .tick(1299)
            .says(&["peers: offer of c, attempt 1", "ClientQueued"]);
        scene.tick(1300).says(&["c: denied, NoProxy"]);
    }
}

#[test]
fn a_client_whose_offer_a_proxy_may_have_had_times_out() {
    let mut scene = scene();
    scene.client_beside(Available, "c", "strict");
    scene.at(300).peers_reply("c", Unanswered).tick(1300);
    scene.says(&[
        "peers: offer of c, attempt 1",
        "ClientQueued",
        "c: timed out",
    ]);
}

#[test]
fn a_queued_client_leaves_for_a_peer_each_time_that_one_has_a_proxy() {
    let mut scene = scene();
    scene
        .client_beside(Empty, "first", "strict")
        .client_beside(Empty, "second", "strict");
    scene.says(&["ClientQueued", "ClientQueued"]);
    scene.at(500).peer_has_one_for("first").waiting(1, 1, 0);
    scene.says(&["peers: offer of first, attempt 1"]);
    for _ in 0..2 {
        scene.peers_reply("first", NoProxy);
        scene.says(&["ClientQueued"]).waiting(2, 0, 0);
        scene.peer_has_one_for("first");
        scene.says(&["peers: offer of first, attempt 1"]);
    }
    scene.peers_reply("first", NotAsked).says(&["ClientQueued"]);
    // The client has kept its place.
    scene.poll("p", "open").says(&["p: offer of first"]);
}

/// Else a node that refuses it for ever has it wait for ever.
#[test]
fn refusals_of_peers_do_not_make_the_wait_longer() {
    let mut scene = scene();
    scene.client_beside(Empty, "c", "strict");
    scene.says(&["ClientQueued"]);
    for begun in [300, 600, 900] {
        scene.at(begun).peer_has_one_for("c");
        scene.at(begun + 100).peers_reply("c", NoProxy);
        scene.says(&["peers: offer of c, attempt 1", "ClientQueued"]);
    }
    scene.tick(1299).says(&[]);
    scene.tick(1300).says(&["c: denied, NoProxy"]);
}

/// It had its chance.
#[test]
fn a_client_whose_offer_a_peer_may_have_had_asks_no_more() {
    let mut scene = scene();
    scene.client_beside(Available, "c", "strict");
    scene.says(&["peers: offer of c, attempt 1"]);
    scene.peers_reply("c", Unanswered).peer_has_one_for("c");
    scene.says(&["ClientQueued"]).waiting(1, 0, 0);
}

#[test]
fn what_a_peer_has_is_remembered_for_when_a_hand_off_fails() {
    let mut scene = scene();
    scene.poll("p", "open").client_beside(Empty, "c", "strict");
    scene.peer_has_one_for("c").says(&["p: offer of c"]);
    scene.proxy_leaves("p");
    scene.says(&["HandOffFailed", "peers: offer of c, attempt 1"]);
}

#[test]
fn a_silent_proxy_is_followed_by_peers_and_not_by_who_polls_meanwhile() {
    let mut scene = scene();
    scene.poll("p", "open").client_beside(Empty, "c", "strict");
    scene.tick(2000).at(2100).poll("q", "open");
    scene
        .says(&["p: offer of c", "peers: offer of c, attempt 2"])
        .waiting(0, 1, 1);
    scene.at(2200).peers_reply("c", NoProxy);
    scene.says(&["q: offer of c, attempt 2"]);
}

#[test]
fn silent_peers_are_followed_by_a_proxy_that_is_idle_here() {
    let mut scene = scene();
    scene.client_beside(Available, "c", "strict");
    scene.at(1000).poll("p", "open").tick(2000);
    scene.says(&["peers: offer of c, attempt 1", "p: offer of c, attempt 2"]);
    assert_eq!(scene.answer("p"), Delivered);
    scene.says(&["c: answer of p"]).waiting(0, 0, 0);
    scene.peer_answers("c", "late").says(&[]);
}

#[test]
fn silent_peers_are_followed_by_others_and_then_by_who_polls_here() {
    let mut scene = scene();
    scene.client_beside(Available, "c", "strict").tick(2000);
    scene.at(2100).poll("p", "open");
    scene.says(&[
        "peers: offer of c, attempt 1",
        "peers: offer of c, attempt 2",
    ]);
    scene.at(2500).peers_reply("c", Unanswered);
    scene.says(&["p: offer of c, attempt 2"]).waiting(0, 1, 0);
}

#[test]
fn an_overdue_client_waits_for_who_polls_here_to_its_end() {
    let mut scene = scene();
    scene.client_beside(Available, "c", "strict").tick(2000);
    scene.peers_reply("c", NotAsked).at(4500).poll("p", "open");
    scene.says(&[
        "peers: offer of c, attempt 1",
        "peers: offer of c, attempt 2",
        "p: offer of c, attempt 2",
    ]);
}

#[test]
fn what_a_proxy_here_answers_after_a_peers_is_beaten() {
    let mut scene = scene();
    scene.poll("p", "open").client_beside(Empty, "c", "strict");
    scene.tick(2000).peer_answers("c", "theirs");
    assert_eq!(scene.answer("p"), Beaten);
    scene.says(&[
        "p: offer of c",
        "peers: offer of c, attempt 2",
        "c: answer of theirs",
    ]);
}

#[test]
fn peers_are_not_asked_beyond_max_attempts_nor_without_time() {
    let mut scene = scene_with(|settings| settings.max_attempts = 1);
    scene.client_beside(Available, "c", "strict").tick(4999);
    scene.says(&["peers: offer of c, attempt 1"]);
    // A peer's answer needs time for the way back.
    let mut scene = scene_with(|settings| settings.client_timeout = Duration::from_millis(699));
    scene.client_beside(Available, "c", "strict");
    scene.says(&["ClientQueued"]);
}

#[test]
fn a_client_that_is_with_peers_is_within_the_bound_of_matched_ones() {
    let mut scene = scene_with(|settings| settings.max_matched_clients = 1);
    scene.client_beside(Available, "first", "strict");
    scene.client_beside(Available, "second", "strict");
    scene.says(&[
        "peers: offer of first, attempt 1",
        "second: denied, Overloaded",
    ]);
}

#[test]
fn a_drain_leaves_a_client_to_its_peers_and_to_nobody_else() {
    let mut scene = scene();
    scene
        .client_beside(Available, "lucky", "strict")
        .client_beside(Available, "unlucky", "strict")
        .client_beside(Available, "timed out", "strict");
    scene.start_draining().waiting(0, 3, 0).at(100);
    scene
        .peer_answers("lucky", "theirs")
        .peers_reply("unlucky", NoProxy)
        .peers_reply("timed out", Unanswered);
    scene.says(&[
        "peers: offer of lucky, attempt 1",
        "peers: offer of unlucky, attempt 1",
        "peers: offer of timed out, attempt 1",
        "lucky: answer of theirs",
        "unlucky: denied, Draining",
        "timed out: timed out",
    ]);
    let mut scene = self::scene();
    scene.poll("p", "open").client_beside(Empty, "c", "strict");
    scene.start_draining().tick(4999);
    scene.says(&["p: offer of c"]);
}

#[test]
fn a_client_that_leaves_is_nobodys_and_hears_of_no_peer() {
    let mut scene = scene();
    scene.poll("p", "open").client_beside(Empty, "c", "strict");
    scene.tick(2000).client_leaves("c").waiting(0, 0, 0);
    scene.peers_reply("c", NoProxy).peer_has_one_for("c");
    scene.says(&[
        "p: offer of c",
        "peers: offer of c, attempt 2",
        "ClientAbandoned",
    ]);
    assert_eq!(scene.answer("p"), ClientLeft);
}

#[test]
fn peers_that_never_reply_do_not_keep_a_client() {
    let mut scene = scene();
    scene.client_beside(Available, "c", "strict");
    scene.tick(2000).tick(5000).waiting(0, 0, 0);
    scene.says(&[
        "peers: offer of c, attempt 1",
        "peers: offer of c, attempt 2",
        "c: timed out",
    ]);
}
