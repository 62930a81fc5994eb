//! Nodes whose wall clocks do not agree, or are set during service.

use std::path::PathBuf;
use std::time::Duration;

use crate::real::access::Access;
use crate::real::books::Books;
use crate::real::haproxy::Balance;
use crate::real::load::Load;
use crate::real::machine::Machine;
use crate::real::nats::Servers;
use crate::real::site::{Place, Site};
use crate::real::tell;
use crate::support::faketime::{self, set_clock};

const NODES: [&str; 3] = ["ahead", "set", "right"];

#[tokio::test]
async fn wall_clocks_play_no_part() {
    let folder = tempfile::tempdir().unwrap();
    let servers = Servers::start(folder.path(), Access::Open).await;
    let mut site = Site::without_nodes(folder, servers);
    let offset = |name: &str| site.folder().join(format!("{name}.offset"));
    let offsets = NODES.map(offset);
    for (name, offset) in NODES.into_iter().zip(&offsets) {
        set_clock(offset, if name == "ahead" { "+3600" } else { "+0" });
        let place = with_clock(site.place(Machine::HERE, name), offset.clone());
        site.start_again(place.under_load()).await;
    }
    site.all_know_all().await;
    let balancer = site.balancer(Machine::HERE, Balance::Requests).await;

    let load = Load::start("load", balancer.address, 8, Duration::from_millis(80));
    load.serves(30).await;
    for step in ["+3600", "-3600"] {
        set_clock(&offsets[1], step);
        site.logs("set", "the clock was set").await;
        load.serves(30).await;
    }
    for [asked, polled] in [["ahead", "right"], ["right", "ahead"], ["set", "right"]] {
        let what = format!("{polled} serves clients of {asked}");
        load.until(&what, |notes| {
            notes.answered_elsewhere(|a, b| (a, b) == (asked, polled)) > 0
        })
        .await;
    }

    let notes = load.end().await;
    notes.assert_sound(|_| false);
    notes.assert_answered("whatever the clocks say", |_| true);
    let books = Books::read(&site).await;
    for node in NODES {
        books.assert_balanced(Some(node), &notes);
    }
    books.assert_each_is_served_once(&notes);
    assert_eq!(books.dropped(None, "late"), 0);
    tell(&notes.figures());
    site.assert_logs_are_clean();
}

/// The offset of the node's wall clock is in a file; its other clocks are as they are.
fn with_clock(place: Place, offset: PathBuf) -> Place {
    place
        .with("LD_PRELOAD", faketime::library())
        .with("FAKETIME_TIMESTAMP_FILE", offset)
        .with("FAKETIME_NO_CACHE", "1")
        .with("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .with("NO_FAKE_STAT", "1")
}
