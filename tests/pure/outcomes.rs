//! Clients that come back or not.

use std::time::{Duration, Instant, UNIX_EPOCH};

use proptest::prelude::*;

use snowflake_broker::geoip::CountryCode;
use snowflake_broker::matching::{Band, SourceRecord};
use snowflake_broker::metrics::EpisodeCounts;
use snowflake_broker::metrics::labels::{EpisodeResult, MatchOutcome, Rendezvous};
use snowflake_broker::outcomes::{
    Demand, EndedMatch, MatchedProxy, OutcomeClient, Outcomes, SavedOutcomes, Settings,
};
use snowflake_broker::policy::RuleSet;
use snowflake_broker::wire::nat::NatClass;
use snowflake_broker::wire::proxy::{ProxyType, ProxyTypes};

use crate::engine::some_instant;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// The client of this number with its offer of this number.
fn client(id: u64, offer: u64) -> OutcomeClient {
    OutcomeClient {
        id: Some(id),
        earlier_id: None,
        address: None,
        offer: id * 1_000 + offer,
        voter: Some(id),
        country: CountryCode::UNKNOWN,
        class: NatClass::Strict,
        rendezvous: Rendezvous::Http,
    }
}

fn proxy(source: u64) -> MatchedProxy {
    MatchedProxy {
        source: Some(source),
        proxy_type: ProxyType::STANDALONE,
        class: NatClass::Open,
        decided: RuleSet::NONE,
    }
}

/// A client that has its answer one second after it came.
fn matched() -> (Instant, Outcomes) {
    let now = some_instant();
    let mut outcomes = Outcomes::new(now, Settings::default());
    assert_eq!(outcomes.handle_client(now, &client(1, 1)), None);
    let answered = now + seconds(1);
    assert_eq!(
        outcomes.handle_answer(answered, client(1, 1), Some(proxy(9))),
        None
    );
    (answered, outcomes)
}

fn results(ended: impl IntoIterator<Item = EndedMatch>) -> Vec<MatchOutcome> {
    ended.into_iter().map(|ended| ended.outcome).collect()
}

#[test]
fn a_match_whose_client_does_not_come_back_has_worked() {
    let (answered, mut outcomes) = matched();
    assert_eq!(outcomes.advance(answered + seconds(119)), []);
    let ended = outcomes.advance(answered + seconds(121));
    assert_eq!(results(ended), [MatchOutcome::Worked]);
    assert_eq!(outcomes.sizes(), [0, 1]);
}

#[test]
fn a_match_whose_client_comes_back_in_time_has_failed() {
    for (after, result) in [
        (7, MatchOutcome::Unknown),
        (8, MatchOutcome::Failed),
        (40, MatchOutcome::Failed),
        (41, MatchOutcome::Unknown),
        (119, MatchOutcome::Unknown),
    ] {
        let (answered, mut outcomes) = matched();
        let ended = outcomes.handle_client(answered + seconds(after), &client(1, 2));
        assert_eq!(results(ended), [result], "{after} s");
    }
}

/// Intermediaries send a request again that they think was lost.
#[test]
fn the_same_offer_again_is_no_return() {
    let (answered, mut outcomes) = matched();
    let again = outcomes.handle_client(answered + seconds(9), &client(1, 1));
    assert_eq!(again, None);
    let ended = outcomes.advance(answered + seconds(121));
    assert_eq!(results(ended), [MatchOutcome::Worked]);
}

#[test]
fn of_several_clients_behind_one_address_nothing_is_known() {
    let (answered, mut outcomes) = matched();
    let second = outcomes.handle_client(answered + seconds(3), &client(1, 2));
    assert_eq!(results(second), [MatchOutcome::Unknown]);
    let answer = outcomes.handle_answer(answered + seconds(4), client(1, 2), Some(proxy(9)));
    assert_eq!(results(answer), [MatchOutcome::Unknown]);
    // Its own return would look the same.
    outcomes.handle_client(answered + seconds(20), &client(1, 3));
    let answer = outcomes.handle_answer(answered + seconds(21), client(1, 3), Some(proxy(9)));
    assert_eq!(results(answer), [MatchOutcome::Unknown]);
    assert_eq!(outcomes.record(answered, 9), SourceRecord::default());
}

/// A school was taken for one client two minutes after its last offer, and its next two
/// clients for one that came back: the proxy lost a vote.
#[test]
fn a_crowd_is_one_after_a_quiet_while() {
    let (answered, mut outcomes) = matched();
    for number in 2..10 {
        let now = answered + seconds(number);
        outcomes.handle_client(now, &client(1, number));
    }
    let quiet = answered + seconds(900);
    outcomes.advance(quiet);
    assert_eq!(outcomes.sizes()[0], 0);
    outcomes.handle_client(quiet, &client(1, 20));
    let answer = outcomes.handle_answer(quiet + seconds(1), client(1, 20), Some(proxy(9)));
    assert_eq!(results(answer), [MatchOutcome::Unknown]);
    assert_eq!(
        outcomes.handle_client(quiet + seconds(21), &client(1, 21)),
        None
    );
    assert_eq!(outcomes.record(quiet, 9), SourceRecord::default());
    // It fades: later there may be only one of them.
    let later = quiet + Duration::from_hours(1);
    outcomes.advance(later);
    outcomes.handle_client(later, &client(1, 30));
    outcomes.handle_answer(later + seconds(1), client(1, 30), Some(proxy(9)));
    let ended = outcomes.handle_client(later + seconds(21), &client(1, 31));
    assert_eq!(results(ended), [MatchOutcome::Failed]);
}

#[test]
fn a_crowd_is_one_after_a_change_of_the_key() {
    let (answered, mut outcomes) = matched();
    outcomes.handle_client(answered + seconds(1), &client(1, 2));
    let later = answered + seconds(300);
    outcomes.advance(later);
    let renamed = OutcomeClient {
        id: Some(77),
        earlier_id: Some(1),
        ..client(1, 3)
    };
    outcomes.handle_client(later, &renamed);
    let answer = outcomes.handle_answer(later + seconds(1), renamed, Some(proxy(9)));
    assert_eq!(results(answer), [MatchOutcome::Unknown]);
}

#[test]
fn a_client_that_comes_while_another_waits_is_another() {
    let now = some_instant();
    let mut outcomes = Outcomes::new(now, Settings::default());
    outcomes.handle_client(now, &client(1, 1));
    outcomes.handle_client(now + seconds(1), &client(1, 2));
    let answer = outcomes.handle_answer(now + seconds(2), client(1, 1), Some(proxy(9)));
    assert_eq!(results(answer), [MatchOutcome::Unknown]);
}

#[test]
fn a_client_is_known_after_a_change_of_the_key() {
    let (answered, mut outcomes) = matched();
    let renamed = OutcomeClient {
        id: Some(77),
        earlier_id: Some(1),
        ..client(1, 2)
    };
    let ended = outcomes.handle_client(answered + seconds(20), &renamed);
    assert_eq!(results(ended), [MatchOutcome::Failed]);
    assert_eq!(outcomes.sizes()[0], 1);
    outcomes.advance(answered + seconds(200));
    assert_eq!(outcomes.sizes()[0], 0);
}

/// Serves a client through a source each minute; `has_worked` says which are connected.
fn serve(outcomes: &mut Outcomes, start: Instant, clients: &[(u64, bool)]) -> Instant {
    let mut now = start;
    for (place, &(id, has_worked)) in clients.iter().enumerate() {
        let offer = 2 * place as u64;
        outcomes.handle_client(now, &client(id, offer));
        outcomes.handle_answer(now + seconds(1), client(id, offer), Some(proxy(9)));
        if !has_worked {
            outcomes.handle_client(now + seconds(21), &client(id, offer + 1));
        }
        now += seconds(150);
        outcomes.advance(now);
    }
    now
}

#[test]
fn whoever_answers_without_connecting_is_bad() {
    let start = some_instant();
    let mut outcomes = Outcomes::new(start, Settings::default());
    let others: Vec<_> = (100..140).map(|id| (id, true)).collect();
    let now = serve(&mut outcomes, start, &others);
    assert_eq!(outcomes.record(now, 9).band, Band::Good);
    let mut outcomes = Outcomes::new(start, Settings::default());
    let all: Vec<_> = (1..8).map(|id| (id, false)).collect();
    let now = serve(&mut outcomes, start, &all);
    assert_eq!(outcomes.record(now, 9).band, Band::Bad);
    outcomes.set_settings(Settings {
        learn: false,
        ..Settings::default()
    });
    assert_eq!(outcomes.record(now, 9), SourceRecord::default());
}

#[test]
fn one_client_cannot_vote_a_proxy_down() {
    let start = some_instant();
    let mut outcomes = Outcomes::new(start, Settings::default());
    let others: Vec<_> = (100..110).map(|id| (id, true)).collect();
    let now = serve(&mut outcomes, start, &others);
    let attacks = [(1, false); 100];
    let now = serve(&mut outcomes, now, &attacks);
    assert_eq!(outcomes.record(now, 9).band, Band::Good);
    for _ in 0..50 {
        outcomes.handle_unanswered(now, &client(2, 1), &proxy(9));
    }
    let record = outcomes.record(now, 9);
    assert_eq!((record.band, record.rests), (Band::Good, false));
}

/// A client asks with new offers, each of which goes to one of these sources in vain.
fn ask_in_vain(outcomes: &mut Outcomes, start: Instant, id: u64, sources: &[u64]) -> Instant {
    let mut now = start;
    for (place, &source) in sources.iter().enumerate() {
        let client = client(id, place as u64);
        outcomes.handle_client(now, &client);
        now += seconds(5);
        outcomes.handle_unanswered(now, &client, &proxy(source));
        outcomes.handle_refusal(now, &client);
        now += seconds(10);
    }
    now
}

/// A client whose offers nobody can answer used to cost every proxy that had one a vote, and
/// three such clients their places.
#[test]
fn clients_whose_offers_nobody_can_answer_are_to_blame_themselves() {
    let mut now = some_instant();
    let mut outcomes = Outcomes::new(now, Settings::default());
    for (number, id) in (1..=6).enumerate() {
        let mut sources = [1, 2, 3, 4];
        sources.rotate_left(number % 4);
        now = ask_in_vain(&mut outcomes, now, id, &sources);
    }
    for source in 1..=4 {
        let record = outcomes.record(now, source);
        let expected = (Band::Unknown, false);
        assert_eq!((record.band, record.rests), expected, "{source}");
    }
    assert_eq!(outcomes.totals().unanswered, 24);
}

#[test]
fn a_single_proxy_that_does_not_answer_is_blamed_at_once() {
    let mut now = some_instant();
    let mut outcomes = Outcomes::new(now, Settings::default());
    for id in 1..=3 {
        assert!(!outcomes.record(now, 9).rests, "{id}");
        now = ask_in_vain(&mut outcomes, now, id, &[9, 9]);
    }
    assert!(outcomes.record(now, 9).rests);
}

/// Whoever swallows offers is found out, though other proxies have failed the same clients.
#[test]
fn an_answer_shows_that_the_proxies_were_to_blame() {
    let start = some_instant();
    let mut outcomes = Outcomes::new(start, Settings::default());
    let mut now = start;
    for id in 1..=3 {
        assert!(!outcomes.record(now, 9).rests, "{id}");
        now = ask_in_vain(&mut outcomes, now, id, &[9, 100 + id]);
        outcomes.handle_client(now, &client(id, 7));
        outcomes.handle_answer(now, client(id, 7), Some(proxy(50)));
    }
    assert!(outcomes.record(now, 9).rests);
    // The slower of two that have an offer is not excused by later failures.
    for id in 1..=3 {
        outcomes.handle_unanswered(now, &client(id, 7), &proxy(60 + id % 2));
        outcomes.handle_unanswered(now, &client(id, 7), &proxy(70));
    }
    assert!(outcomes.record(now, 70).rests);
}

#[test]
fn who_invents_addresses_has_no_vote() {
    let now = some_instant();
    let mut outcomes = Outcomes::new(now, Settings::default());
    for id in 0..100 {
        let nobody = OutcomeClient {
            voter: None,
            ..client(id, 1)
        };
        outcomes.handle_unanswered(now, &nobody, &proxy(9));
    }
    assert_eq!(outcomes.record(now, 9), SourceRecord::default());
    assert_eq!(outcomes.totals().unanswered, 100);
}

/// Whatever became of its request.
#[test]
fn a_client_is_known_for_two_minutes_after_its_request_or_its_answer() {
    let start = some_instant();
    let knows = |outcomes: &mut Outcomes, now| {
        outcomes.advance(now);
        outcomes.sizes()[0]
    };
    let later = |count| start + seconds(count);
    let came = || {
        let mut outcomes = Outcomes::new(start, Settings::default());
        outcomes.handle_client(start, &client(1, 1));
        outcomes
    };
    let mut refused = came();
    refused.handle_refusal(later(5), &client(1, 1));
    let mut unanswered = came();
    unanswered.handle_unanswered(later(5), &client(1, 1), &proxy(9));
    for outcomes in [&mut came(), &mut refused, &mut unanswered] {
        assert_eq!(knows(outcomes, later(119)), 1);
        assert_eq!(knows(outcomes, later(121)), 0);
    }
    let mut answered = came();
    answered.handle_answer(later(5), client(1, 1), Some(proxy(9)));
    assert_eq!(knows(&mut answered, later(124)), 1);
    assert_eq!(knows(&mut answered, later(126)), 0);
}

#[test]
fn kinds_are_saved_and_nobody_else() {
    let start = some_instant();
    let mut outcomes = Outcomes::new(start, Settings::default());
    let clients: Vec<_> = (100..130).map(|id| (id, id % 3 > 0)).collect();
    let now = serve(&mut outcomes, start, &clients);
    let wall = UNIX_EPOCH + seconds(1_000_000);
    let text = outcomes.saved(now, wall).encode();
    assert_eq!(
        text,
        "{\"version\":1,\"saved\":1000000,\"kinds\":[{\"proxy_type\":\"standalone\",\
         \"proxy\":\"open\",\"client\":\"strict\",\"country\":\"??\",\"worked\":24.0,\
         \"failed\":16.0}]}\n"
    );
    let saved = SavedOutcomes::decode(text.as_bytes()).unwrap();
    let mut next = Outcomes::new(now, Settings::default());
    let day = Duration::from_hours(24);
    next.restore(now, wall + day, &saved, &ProxyTypes::default());
    let half = next.saved(now, wall).encode();
    assert!(half.contains("\"worked\":16.0,\"failed\":8.0"), "{half}");
}

#[test]
fn a_kind_of_few_is_not_saved() {
    let start = some_instant();
    let mut outcomes = Outcomes::new(start, Settings::default());
    let now = serve(&mut outcomes, start, &[(1, true), (2, true)]);
    let saved = outcomes.saved(now, UNIX_EPOCH);
    assert!(saved.encode().contains("\"kinds\":[]"));
}

#[test]
fn what_is_saved_by_another_release_is_refused() {
    let refused = |text: &str| {
        SavedOutcomes::decode(text.as_bytes())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(refused("{"), "the saved outcomes are damaged");
    assert_eq!(
        refused("{\"version\":2,\"saved\":0,\"kinds\":[]}"),
        "the saved outcomes have version 2, and this release reads version 1"
    );
}

proptest! {
    /// The books balance, and nothing is left after two minutes.
    #[test]
    fn every_answered_match_has_one_result(
        steps in prop::collection::vec((0..4_u64, 0..3_u64, 0..60_u64, any::<bool>()), 0..200),
        max_clients in 0..5_usize,
    ) {
        let mut now = some_instant();
        let settings = Settings { max_clients, ..Settings::default() };
        let mut outcomes = Outcomes::new(now, settings);
        let mut ended = 0;
        let mut episodes = Vec::new();
        for (id, offer, pause, is_answered) in steps {
            now += seconds(pause);
            ended += outcomes.advance(now).len();
            let client = client(id, offer);
            ended += outcomes.handle_client(now, &client).iter().count();
            if is_answered {
                ended += outcomes.handle_answer(now, client, Some(proxy(id))).iter().count();
            } else {
                outcomes.handle_refusal(now, &client);
            }
            let known = outcomes.sizes()[0];
            prop_assert!(known <= max_clients);
            let demand = outcomes.demand();
            prop_assert_eq!(demand.recent(NatClass::Strict), known);
            prop_assert!(demand.unserved(NatClass::Strict) <= known);
            episodes.push(outcomes.take_episodes());
            let [begun, decided] = sums(&episodes);
            prop_assert!(decided <= begun && begun <= decided + known as u64);
        }
        ended += outcomes.advance(now + seconds(300)).len();
        let totals = outcomes.totals();
        prop_assert_eq!(totals.answered, totals.worked + totals.failed + totals.unknown);
        prop_assert_eq!(totals.answered, ended as u64);
        prop_assert_eq!(outcomes.sizes()[0], 0);
        episodes.push(outcomes.take_episodes());
        let [begun, decided] = sums(&episodes);
        prop_assert_eq!(begun, decided);
        let worked: u64 = episodes.iter().map(|counts| counts.tries().count()).sum();
        prop_assert_eq!(worked, totals.worked);
        prop_assert_eq!(outcomes.demand(), Demand::default());
    }
}

/// The episodes that began, and those with a result.
fn sums(counts: &[EpisodeCounts]) -> [u64; 2] {
    counts.iter().fold([0, 0], |[begun, decided], counts| {
        let results = EpisodeResult::ALL.map(|result| counts.with_result(result));
        [
            begun + counts.begun(),
            decided + results.iter().sum::<u64>(),
        ]
    })
}
