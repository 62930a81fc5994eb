//! The turns of sources and networks, and the limits of one.

use snowflake_broker::matching::{AnswerOutcome, MatchesElsewhere, PeerReply, SupplyHint};

use crate::matching_interleavings::scene::{scene, scene_with};

#[test]
fn a_source_is_served_as_it_comes_until_it_has_its_share() {
    let mut scene = scene();
    scene.share(|supply| supply.first_come = 2);
    scene.source(10).poll("a1", "open").poll("a2", "open");
    scene.poll("a3", "open").source(20).poll("b1", "open");
    scene.poll("b2", "open").poll("b3", "open");
    for name in ["1", "2", "3", "4", "5", "6"] {
        scene.client(name, "strict");
    }
    scene.says(&[
        "a1: offer of 1",
        "a2: offer of 2",
        "b1: offer of 3",
        "b2: offer of 4",
        "a3: offer of 5",
        "b3: offer of 6",
    ]);
}

#[test]
fn a_share_is_of_the_recent_clients_of_the_pool() {
    let mut scene = scene();
    scene.share(|supply| {
        supply.first_come = 1;
        supply.recent_clients = 2;
    });
    scene.source(10).poll("a1", "open").poll("a2", "open");
    scene.poll("restricted", "strict");
    scene.source(20).poll("b1", "open").poll("b2", "open");
    scene.client("1", "strict").client("2", "strict");
    scene.says(&["a1: offer of 1", "b1: offer of 2"]);
    // Both have had their share, in one pool, and a has the later turn.
    scene.client("3", "open").client("4", "strict");
    scene.says(&["restricted: offer of 3", "b2: offer of 4"]);
    // The first client of a is no longer recent.
    scene.poll("b3", "open");
    scene.client("5", "strict").client("6", "strict");
    scene.says(&["a2: offer of 5", "b3: offer of 6"]);
}

#[test]
fn a_source_that_had_its_share_comes_after_all_others() {
    let mut scene = scene();
    scene.share(|supply| supply.first_come = 0);
    scene.source(10).poll("a1", "open").poll("a2", "open");
    scene.poll("a3", "open").source(20).poll("b", "open");
    scene.source(30).poll("c", "open");
    scene.client("1", "strict").client("2", "strict");
    scene.client("3", "strict").client("4", "strict");
    scene.says(&[
        "a1: offer of 1",
        "b: offer of 2",
        "c: offer of 3",
        "a2: offer of 4",
    ]);
    // The others come back, and have had their clients earlier than a.
    scene.source(30).poll("c2", "open");
    scene.source(20).poll("b2", "open");
    scene.client("5", "strict").client("6", "strict");
    scene.client("7", "strict");
    scene.says(&["b2: offer of 5", "c2: offer of 6", "a3: offer of 7"]);
}

#[test]
fn of_those_served_as_they_come_the_least_loaded_is_first() {
    let mut scene = scene();
    scene.source(10).loaded_poll("busy", "open", 8);
    scene.source(20).poll("free", "open");
    scene.client("1", "strict").client("2", "strict");
    scene.says(&["free: offer of 1", "busy: offer of 2"]);
}

#[test]
fn whoever_is_not_named_is_served_as_he_comes() {
    let mut scene = scene();
    scene.share(|supply| supply.first_come = 1);
    scene.source(10).poll("a1", "open").poll("a2", "open");
    scene.poll("a3", "open").nobody().poll("n1", "open");
    scene.poll("n2", "open");
    scene.client("1", "strict").client("2", "strict");
    scene.client("3", "strict").client("4", "strict");
    scene.says(&[
        "a1: offer of 1",
        "n1: offer of 2",
        "n2: offer of 3",
        "a2: offer of 4",
    ]);
}

#[test]
fn a_single_source_gets_all_there_is() {
    let mut scene = scene();
    scene.source(10).poll("a1", "open").poll("a2", "open");
    scene.client("1", "strict").client("2", "strict");
    scene.says(&["a1: offer of 1", "a2: offer of 2"]);
}

#[test]
fn clients_of_a_minute_are_limited_even_if_others_wait() {
    let mut scene = scene();
    scene.share(|supply| supply.matches_per_minute = 2);
    scene.source(10).poll("a1", "open").poll("a2", "open");
    scene.poll("a3", "open");
    scene.client("1", "strict").client("2", "strict");
    scene.client("3", "strict");
    scene.says(&["a1: offer of 1", "a2: offer of 2", "ClientQueued"]);
    scene.poll("a4", "open").says(&["a4: OverShare(Matches)"]);
    // Its parked poll waits. Another source has the client.
    scene.waiting(1, 2, 1);
    scene.source(20).poll("b", "open");
    scene.says(&["b: offer of 3"]);
}

#[test]
fn after_a_minute_the_parked_poll_gets_a_client_that_waits() {
    let mut scene = scene_with(|settings| {
        settings.proxy_timeout = std::time::Duration::from_mins(2);
    });
    scene.share(|supply| supply.matches_per_minute = 1);
    scene.source(10).poll("a1", "open").poll("a2", "open");
    scene.client("1", "strict").says(&["a1: offer of 1"]);
    scene.tick(59_500);
    scene.says(&["1: timed out"]);
    scene.client("2", "strict").says(&["ClientQueued"]);
    assert_eq!(scene.next_at(), Some(60_000));
    scene.tick(60_000).says(&["a2: offer of 2"]);
}

#[test]
fn offers_without_an_answer_are_limited_until_there_is_one() {
    let mut scene = scene();
    scene.share(|supply| supply.unanswered = 1);
    scene.source(10).poll("a1", "open").poll("a2", "open");
    scene.client("1", "strict").client("2", "strict");
    scene.says(&["a1: offer of 1", "ClientQueued"]);
    scene
        .poll("a3", "open")
        .says(&["a3: OverShare(Unanswered)"]);
    assert_eq!(scene.answer("a1"), AnswerOutcome::Delivered);
    scene.says(&["1: answer of a1", "a2: offer of 2"]);
}

#[test]
fn a_peers_answer_frees_the_source_of_the_silent_proxy_at_once() {
    let mut scene = scene();
    scene.share(|supply| supply.unanswered = 1);
    scene.source(10).poll("a1", "open").poll("a2", "open");
    scene.client_beside(SupplyHint::Empty, "1", "strict");
    scene.says(&["a1: offer of 1"]);
    scene.tick(2_000).says(&["peers: offer of 1, attempt 2"]);
    scene.client("2", "strict").says(&["ClientQueued"]);
    scene.peer_answers("1", "theirs");
    scene.says(&["1: answer of theirs", "a2: offer of 2"]);
}

#[test]
fn parked_polls_are_limited() {
    let mut scene = scene();
    scene.share(|supply| supply.parked_per_source = 2);
    scene.source(10).poll("a1", "open").poll("a2", "strict");
    scene.poll("a3", "open").says(&["a3: OverShare(Parked)"]);
    scene.source(20).poll("b", "open").says(&[]);
    // A client that waits is served all the same.
    scene.client("1", "strict").client("2", "strict");
    scene.client("3", "strict").source(10);
    scene.poll("a4", "open");
    scene.says(&[
        "a1: offer of 1",
        "b: offer of 2",
        "ClientQueued",
        "a4: offer of 3",
    ]);
}

#[test]
fn a_network_has_no_more_than_some_sources() {
    let mut scene = scene();
    scene.share(|supply| {
        supply.matches_per_minute = 1;
        supply.sources_per_network = 2;
    });
    scene.source(10).poll("a", "open");
    scene.client("1", "strict").says(&["a: offer of 1"]);
    // Parked polls do not count, so that nobody locks his neighbours out by parking.
    scene.source(11).poll("b", "open").poll("b2", "open");
    scene.client("2", "strict").says(&["b: offer of 2"]);
    scene.source(12).poll("c", "open");
    scene.says(&["c: OverShare(Network)"]);
    scene.source(20).poll("d", "open").says(&[]);
}

#[test]
fn matches_at_other_nodes_count_and_so_does_their_growth() {
    let mut scene = scene();
    scene.share(|supply| {
        supply.matches_per_minute = 2;
        supply.sources_per_network = 2;
        supply.first_come = 1;
    });
    let matches = |source, network, growth| MatchesElsewhere {
        source,
        growth,
        network,
    };
    scene.source(10).elsewhere(matches(2, 2, 0));
    scene.poll("a", "open").says(&["a: OverShare(Matches)"]);
    scene.source(11).elsewhere(matches(1, 4, 0));
    scene.poll("b", "open").says(&["b: OverShare(Network)"]);
    // Whose matches work elsewhere has as much more as if they had been made here, of the
    // share that is served first, too.
    scene.source(20).elsewhere(matches(0, 0, 2));
    scene.poll("c1", "open").poll("c2", "open");
    scene.source(30).poll("d", "open");
    for name in ["1", "2", "3"] {
        scene.client(name, "strict");
    }
    scene.says(&["c1: offer of 1", "c2: offer of 2", "d: offer of 3"]);
    scene.source(40).elsewhere(matches(3, 3, 2));
    scene.poll("e", "open").says(&[]).waiting(0, 3, 1);
}

#[test]
fn limits_that_are_lifted_serve_who_waits() {
    let mut scene = scene();
    scene.share(|supply| supply.matches_per_minute = 1);
    scene.source(10).poll("a1", "open").poll("a2", "open");
    scene.client("1", "strict").client("2", "strict");
    scene.says(&["a1: offer of 1", "ClientQueued"]);
    scene.share(|supply| supply.matches_per_minute = 0);
    scene.says(&["a2: offer of 2"]);
}

#[test]
fn networks_of_clients_take_turns() {
    let mut scene = scene();
    scene
        .network(1)
        .client("a1", "strict")
        .client("a2", "strict");
    scene
        .client("a3", "strict")
        .network(2)
        .client("b", "strict");
    scene.says(&["ClientQueued"; 4]);
    for name in ["p", "q", "r", "s"] {
        scene.poll(name, "open");
    }
    scene.says(&[
        "p: offer of a1",
        "q: offer of b",
        "r: offer of a2",
        "s: offer of a3",
    ]);
}

#[test]
fn a_second_chance_is_never_with_the_same_source() {
    let mut scene = scene();
    scene.source(10).poll("a1", "open").poll("a2", "open");
    scene.client("1", "strict").says(&["a1: offer of 1"]);
    scene.tick(2_000).says(&[]);
    scene.poll("a3", "open").says(&[]);
    scene.source(20).poll("b", "open");
    scene.says(&["b: offer of 1, attempt 2"]);
}

#[test]
fn a_scarce_pool_gives_a_second_chance_only_when_honest_proxies_are_late() {
    let mut scene = scene_with(|settings| settings.second_chance_reserve = 2);
    scene.source(10).poll("a", "open");
    scene.client("1", "strict").says(&["a: offer of 1"]);
    scene.source(20).poll("b", "open");
    scene.tick(2_000).says(&[]);
    assert_eq!(scene.next_at(), Some(3_750));
    scene.tick(3_750).says(&["b: offer of 1, attempt 2"]);
}

/// Peers that were not asked, or have nobody, do not put it off.
#[test]
fn a_scarce_pool_gives_a_second_chance_in_time_beside_peers() {
    for reply in [PeerReply::NotAsked, PeerReply::NoProxy] {
        let mut scene = scene_with(|settings| settings.second_chance_reserve = 2);
        scene.source(10).poll("a", "open");
        scene.client_beside(SupplyHint::Empty, "1", "strict");
        scene.says(&["a: offer of 1"]).source(20).poll("b", "open");
        scene.tick(2_000).peers_reply("1", reply);
        scene.says(&["peers: offer of 1, attempt 2"]);
        assert_eq!(scene.next_at(), Some(3_750));
        scene.tick(3_750).says(&["b: offer of 1, attempt 2"]);
    }
}

#[test]
fn a_pool_that_fills_gives_a_second_chance() {
    let mut scene = scene_with(|settings| settings.second_chance_reserve = 2);
    scene.source(10).poll("a", "open");
    scene.client("1", "strict").says(&["a: offer of 1"]);
    scene.tick(2_000).source(20).poll("b", "open");
    scene.source(30).poll("c", "open").says(&[]);
    scene.source(40).poll("d", "open");
    scene.says(&["d: offer of 1, attempt 2"]);
}

#[test]
fn who_cannot_answer_passes_the_client_on_at_once() {
    let mut scene = scene();
    scene.source(10).poll("a1", "open").poll("a2", "open");
    scene.client("1", "strict").says(&["a1: offer of 1"]);
    scene.source(20).poll("b", "open");
    assert_eq!(scene.decline("a1"), AnswerOutcome::Declined);
    scene.says(&["b: offer of 1"]);
    // The proxy has said its word.
    assert_eq!(scene.answer("a1"), AnswerOutcome::Repeated);
    assert_eq!(scene.decline("nobody"), AnswerOutcome::Unknown);
}

/// Some offers are such that no proxy can answer them: they would go through all.
#[test]
fn as_many_decline_a_client_as_it_has_attempts() {
    let mut scene = scene();
    for (name, source) in [("a", 10), ("b", 20), ("c", 30)] {
        scene.source(source).poll(name, "open");
    }
    scene.client("1", "strict").says(&["a: offer of 1"]);
    assert_eq!(scene.decline("a"), AnswerOutcome::Declined);
    scene.says(&["b: offer of 1"]);
    assert_eq!(scene.decline("b"), AnswerOutcome::Declined);
    scene.says(&["1: denied, NoProxy"]);
    scene.client("2", "strict").says(&["c: offer of 2"]);
}

/// Else whoever has a network would always be among those who are served as they come.
#[test]
fn a_network_that_had_its_share_comes_after_all_others() {
    let mut scene = scene();
    scene.share(|supply| {
        supply.first_come = 1;
        supply.sources_per_network = 2;
    });
    scene
        .source(10)
        .poll("a", "open")
        .source(11)
        .poll("b", "open");
    scene.client("1", "strict").client("2", "strict");
    scene.says(&["a: offer of 1", "b: offer of 2"]);
    scene
        .source(12)
        .poll("c", "open")
        .source(20)
        .poll("d", "open");
    scene.client("3", "strict").says(&["d: offer of 3"]);
    scene.client("4", "strict").says(&["c: offer of 4"]);
}

/// Polls that get no client are no reserve, nor are many of one source.
#[test]
fn a_reserve_is_of_sources_that_may_have_clients() {
    let mut scene = scene_with(|settings| settings.second_chance_reserve = 2);
    scene.source(10).poll("a", "open");
    scene.client("1", "strict").says(&["a: offer of 1"]);
    scene.source(20).poll("b1", "open").poll("b2", "open");
    scene.poll("b3", "open").tick(2_000).says(&[]);
    scene.tick(3_750).says(&["b1: offer of 1, attempt 2"]);
}
