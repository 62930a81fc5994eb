//! Order of preference among polls and clients.

use crate::matching_interleavings::scene::{scene, scene_with};

#[test]
fn lowest_clients_first_then_first_come() {
    let mut scene = scene();
    scene
        .loaded_poll("busy", "open", 2)
        .loaded_poll("first", "open", 1);
    scene.loaded_poll("second", "open", 1).poll("free", "open");
    scene.client("a", "strict").client("b", "strict");
    scene.client("c", "strict").client("d", "strict");
    scene.says(&[
        "free: offer of a",
        "first: offer of b",
        "second: offer of c",
        "busy: offer of d",
    ]);
}

#[test]
fn pool_order_spares_the_scarce() {
    let mut scene = scene();
    scene.poll("open", "open").poll("moderate", "moderate");
    scene.loaded_poll("strict", "strict", 9);
    scene
        .client("a", "open")
        .client("b", "open")
        .client("c", "open");
    scene.says(&[
        "strict: offer of a",
        "moderate: offer of b",
        "open: offer of c",
    ]);
}

#[test]
fn moderate_client_tries_moderate_then_open() {
    let mut scene = scene();
    scene.poll("strict", "strict").poll("open", "open");
    scene.loaded_poll("moderate", "moderate", 9);
    scene.client("a", "moderate").client("b", "moderate");
    scene.says(&["moderate: offer of a", "open: offer of b"]);
    scene.client("c", "moderate").says(&["ClientQueued"]);
}

#[test]
fn strict_client_takes_only_open() {
    let mut scene = scene();
    scene.poll("strict", "strict").poll("moderate", "moderate");
    scene.client("a", "strict").poll("open", "open");
    scene.says(&["ClientQueued", "open: offer of a"]);
}

/// Checks each of the 36 pairs of words against the protocol's table.
#[test]
fn nat_words_decide_who_can_meet() {
    let words = [
        "open",
        "unrestricted",
        "moderate",
        "strict",
        "restricted",
        "unknown",
    ];
    for proxy in words {
        for client in words {
            let meet = match proxy {
                "open" | "unrestricted" => true,
                "moderate" => matches!(client, "open" | "unrestricted" | "moderate"),
                _ => matches!(client, "open" | "unrestricted"),
            };
            let mut client_comes = scene_with(|settings| settings.client_queue_max = 0);
            client_comes.poll("p", proxy).client("c", client);
            let offered = ["p: offer of c"];
            let denied = ["c: denied, NoProxy"];
            client_comes.says(if meet { &offered } else { &denied });
            let mut proxy_comes = scene();
            proxy_comes.client("c", client).poll("p", proxy);
            proxy_comes.waiting(usize::from(!meet), usize::from(meet), usize::from(!meet));
        }
    }
}

#[test]
fn words_of_both_generations_share_a_pool() {
    let mut scene = scene();
    scene
        .loaded_poll("open", "open", 1)
        .poll("unrestricted", "unrestricted");
    scene.client("a", "restricted").client("b", "unknown");
    scene.says(&["unrestricted: offer of a", "open: offer of b"]);
}
