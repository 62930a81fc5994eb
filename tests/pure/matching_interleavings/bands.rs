//! The records of sources: bands, growth and rest. And the ends of offers, from which the
//! records are made.

use snowflake_broker::matching::{
    AnswerOutcome, Band, OfferEnd, Output, PollReply, SourceRecord, SupplySettings,
};

use crate::matching_interleavings::scene::{scene, scene_with};

fn of(band: Band) -> SourceRecord {
    SourceRecord {
        band,
        ..SourceRecord::default()
    }
}

fn worked(worked: u32) -> SourceRecord {
    SourceRecord {
        worked,
        ..of(Band::Good)
    }
}

#[test]
fn better_bands_are_served_first() {
    let mut scene = scene();
    scene.share(|supply| supply.explore_every = 0);
    scene.source(10).record(of(Band::Bad)).poll("bad", "open");
    scene.nobody().poll("nobody", "open");
    scene.source(20).poll("unknown", "open");
    scene.source(30).record(of(Band::Good)).poll("good", "open");
    scene.source(40).record(of(Band::Good));
    scene.loaded_poll("busy", "open", 8);
    for name in ["1", "2", "3", "4", "5"] {
        scene.client(name, "strict");
    }
    scene.says(&[
        "good: offer of 1",
        "busy: offer of 2",
        "nobody: offer of 3",
        "unknown: offer of 4",
        "bad: offer of 5",
    ]);
}

#[test]
fn a_good_source_that_had_its_share_comes_after_unknown_ones() {
    let mut scene = scene();
    scene.share(|supply| {
        supply.explore_every = 0;
        supply.first_come = 1;
    });
    scene.source(10).record(of(Band::Good)).poll("a1", "open");
    scene.poll("a2", "open").source(20).poll("unknown", "open");
    scene.source(30).record(of(Band::Good)).poll("b", "open");
    for name in ["1", "2", "3", "4"] {
        scene.client(name, "strict");
    }
    scene.says(&[
        "a1: offer of 1",
        "b: offer of 2",
        "unknown: offer of 3",
        "a2: offer of 4",
    ]);
}

#[test]
fn a_new_record_counts_from_its_poll_on() {
    let mut scene = scene();
    scene.share(|supply| supply.explore_every = 0);
    scene.source(10).record(of(Band::Bad)).poll("a1", "open");
    scene.source(20).poll("b", "open");
    scene.source(10).record(of(Band::Good)).poll("a2", "open");
    scene.client("1", "strict").client("2", "strict");
    scene.says(&["a1: offer of 1", "a2: offer of 2"]);
}

/// Every other try is of an unknown source, and of a bad one.
#[test]
fn others_are_tried_now_and_then() {
    let mut scene = scene();
    scene.share(|supply| supply.explore_every = 2);
    scene.source(10).record(of(Band::Good));
    for name in ["g1", "g2", "g3", "g4"] {
        scene.poll(name, "open");
    }
    scene.source(20).record(of(Band::Bad)).poll("bad", "open");
    scene.source(30).poll("unknown", "open");
    for name in ["1", "2", "3", "4", "5", "6"] {
        scene.client(name, "strict");
    }
    scene.says(&[
        "g1: offer of 1",
        "unknown: offer of 2",
        "g2: offer of 3",
        "bad: offer of 4",
        "g3: offer of 5",
        "g4: offer of 6",
    ]);
}

#[test]
fn bad_proxies_come_after_those_of_the_next_pool() {
    let mut scene = scene_with(|settings| settings.second_chance_reserve = 1);
    scene.share(|supply| supply.explore_every = 0);
    scene.source(10).record(of(Band::Bad)).poll("bad", "strict");
    scene.source(20).poll("open", "open");
    scene.source(30).poll("other", "open");
    scene.client("1", "open");
    scene.says(&["open: offer of 1"]);
    // There is one left, which is needed for clients that no other can serve.
    scene.client("2", "open");
    scene.says(&["bad: offer of 2"]);
}

/// The clients that a source with this record gets at once, if two a minute is its limit.
fn clients_of(record: SourceRecord) -> usize {
    let mut scene = scene();
    scene.share(|supply| supply.matches_per_minute = 2);
    scene.source(10).record(record);
    let names = "a b c d e f g h i j k l m n o p q r s t u v w x y z";
    let offers = names.split(' ').map(|name| {
        scene.client(name, "strict").poll(name, "open");
        let outputs = std::iter::from_fn(|| scene.engine.next_output());
        let is_offer = |output: &Output| matches!(output, Output::Poll(_, PollReply::Offer(_)));
        outputs.filter(is_offer).count()
    });
    offers.sum()
}

#[test]
fn limits_grow_with_matches_that_worked() {
    assert_eq!(clients_of(worked(0)), 2);
    assert_eq!(clients_of(worked(1)), 4);
    assert_eq!(clients_of(worked(5)), 12);
    assert_eq!(clients_of(worked(9)), 20);
    assert_eq!(clients_of(worked(u32::MAX)), 20);
    for band in [Band::Unknown, Band::Bad] {
        let other = SourceRecord { band, ..worked(9) };
        assert_eq!(clients_of(other), 2, "{band:?}");
    }
}

const RESTS: SourceRecord = SourceRecord {
    band: Band::Bad,
    worked: 0,
    rests: true,
};

#[test]
fn a_source_that_rests_gets_no_client_while_others_are_parked() {
    let mut scene = scene();
    scene.source(20).poll("b", "open");
    scene.source(10).record(RESTS).poll("a", "open");
    scene.says(&["a: OverShare(Resting)"]);
}

/// Where clients are many, no poll is parked for long. Else whoever swallows offers would never
/// rest when it does most harm.
#[test]
fn a_source_that_rests_gets_no_client_while_others_are_served() {
    let mut scene = scene();
    scene.source(20).client("1", "strict").poll("b", "open");
    scene.client("2", "strict");
    scene.source(10).record(RESTS).poll("a", "open");
    scene.says(&[
        "ClientQueued",
        "b: offer of 1",
        "ClientQueued",
        "a: OverShare(Resting)",
    ]);
}

/// All proxies of a pool rested for minutes, and clients were denied though they polled.
#[test]
fn the_last_sources_of_a_pool_do_not_rest() {
    let mut scene = scene();
    scene.source(10).record(RESTS);
    scene.client("1", "strict").poll("a", "open");
    scene.says(&["ClientQueued", "a: offer of 1"]);
    scene.source(20).record(RESTS).poll("b", "open");
    scene.source(30).record(RESTS).poll("c", "open");
    // In another pool there may be somebody who works.
    scene.source(40).poll("strict", "strict");
    scene.source(50).record(RESTS).poll("d", "strict");
    scene.client("2", "strict").source(60).record(RESTS);
    scene.poll("e", "open");
    scene.says(&[
        "c: OverShare(Resting)",
        "d: OverShare(Resting)",
        "b: offer of 2",
    ]);
    scene.client("3", "strict").says(&["e: offer of 3"]);
}

#[test]
fn sources_rest_until_a_minute_after_the_last_client_of_another() {
    let mut scene = scene();
    scene.source(70).poll("f", "open").client("1", "strict");
    scene.answer("f");
    scene.source(80).record(RESTS);
    scene.tick(59_999).poll("g", "open");
    scene.tick(60_000).poll("h", "open").client("2", "strict");
    scene.says(&[
        "f: offer of 1",
        "1: answer of f",
        "g: OverShare(Resting)",
        "h: offer of 2",
    ]);
}

#[test]
fn an_answer_in_time_ends_an_offer() {
    let mut scene = scene();
    scene.poll("p", "open").client("c", "strict");
    assert_eq!(scene.answer("p"), AnswerOutcome::Delivered);
    scene.offers_end(&[("p", OfferEnd::Answered)]);
    scene.answer("p");
    scene.tick(40_000).offers_end(&[]);
}

#[test]
fn a_proxy_that_had_too_little_time_has_not_failed() {
    let mut scene = scene();
    scene.poll("mute", "open").client("c", "strict");
    scene.tick(3_000).poll("late", "open");
    scene.tick(5_000);
    scene.offers_end(&[("mute", OfferEnd::Unanswered), ("late", OfferEnd::Void)]);
    scene.answer("late");
    scene.tick(40_000).offers_end(&[]);
}

#[test]
fn an_offer_is_unanswered_when_its_client_has_timed_out() {
    let mut scene = scene();
    scene.poll("p", "open").client("c", "strict");
    scene.tick(4_999).offers_end(&[]);
    scene.tick(5_000);
    scene.offers_end(&[("p", OfferEnd::Unanswered)]);
    assert_eq!(scene.at(5_100).answer("p"), AnswerOutcome::TooLate);
    scene.tick(40_000).offers_end(&[]);
}

/// A proxy whose client left, or had another answer, has 30 s to show that it works.
#[test]
fn a_proxy_that_never_answers_is_found_out_though_its_client_was_served() {
    let mut scene = scene();
    scene
        .poll("mute", "open")
        .poll("slow", "open")
        .poll("good", "open");
    scene.client("c", "strict").client("left", "strict");
    scene.tick(2_000);
    assert_eq!(scene.answer("good"), AnswerOutcome::Delivered);
    scene.client_leaves("left");
    scene.offers_end(&[("good", OfferEnd::Answered)]);
    assert_eq!(scene.at(9_000).answer("slow"), AnswerOutcome::ClientLeft);
    scene.offers_end(&[("slow", OfferEnd::Void)]);
    scene.tick(31_999).offers_end(&[]);
    scene.tick(32_000);
    scene.offers_end(&[("mute", OfferEnd::Unanswered)]);
}

/// Else it could avoid that by polling under the same name again.
#[test]
fn a_proxy_that_never_answers_is_found_out_when_it_comes_again() {
    let mut scene = scene();
    scene.poll("mute", "open").client("c", "strict");
    scene.client_leaves("c").offers_end(&[]);
    scene.poll("mute", "open");
    let mut ends = 0;
    while let Some(output) = scene.engine.next_output() {
        ends += usize::from(format!("{output:?}").contains("Unanswered"));
    }
    assert_eq!(ends, 1);
}

#[test]
fn who_declines_has_failed_and_who_leaves_has_not() {
    let mut scene = scene();
    scene.poll("p", "open").client("c", "strict");
    scene.decline("p");
    scene.offers_end(&[("p", OfferEnd::Unanswered)]);
    scene.poll("q", "open").proxy_leaves("q");
    scene.offers_end(&[("q", OfferEnd::Void)]);
}

#[test]
fn by_default_one_in_twenty_is_tried() {
    assert_eq!(SupplySettings::default().explore_every, 20);
}
