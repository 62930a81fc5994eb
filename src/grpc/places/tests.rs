use std::net::{Ipv4Addr, Ipv6Addr};

use futures_util::FutureExt as _;
use proptest::prelude::*;
use tokio::time::advance;

use super::*;

fn address(number: usize) -> IpAddr {
    Ipv4Addr::from(u32::try_from(0x0a00_0000 + number).unwrap()).into()
}

/// Comes from an address of its own.
fn strangers(places: &Arc<Places>, count: usize) -> Vec<Place> {
    let places = (0..count).map(|number| places.admit(address(number)).place);
    places.map(Option::unwrap).collect()
}

fn has_to_go(place: &Place) -> bool {
    place.caller().has_to_go().now_or_never().is_some()
}

#[tokio::test(start_paused = true)]
async fn the_oldest_unknown_caller_makes_room() {
    let places = Arc::new(Places::default());
    let strangers = strangers(&places, PLACES_MAX - KEPT_FOR_KNOWN);
    places.accepted(&strangers[0].caller);
    let last_free = places.admit(address(5_000));
    assert_eq!(last_free.crowd, None);
    let crowded = places.admit(address(5_001));
    assert_eq!(crowded.crowd, Some(Crowd::All));
    assert!(crowded.place.is_some());
    assert!(!has_to_go(&strangers[0]), "it is known");
    assert!(has_to_go(&strangers[1]));
    assert!(!has_to_go(&strangers[2]));
}

#[tokio::test(start_paused = true)]
async fn known_callers_have_places_that_strangers_cannot_take() {
    let places = Arc::new(Places::default());
    let mut known = strangers(&places, PLACES_MAX);
    // Who came before the fifty-first last was sent away: they come again.
    known.retain(|place| !has_to_go(place));
    for number in 0..PLACES_MAX {
        for place in &known {
            places.accepted(&place.caller);
        }
        if known.len() == PLACES_MAX {
            break;
        }
        known.extend(places.admit(address(10_000 + number)).place);
    }
    assert_eq!(known.len(), PLACES_MAX);
    let one_more = places.admit(address(1));
    assert!(one_more.place.is_none());
    assert_eq!(one_more.crowd, Some(Crowd::All));
    assert!(known.iter().all(|place| !has_to_go(place)));
    drop(known.pop());
    assert!(places.admit(address(1)).place.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_network_has_twenty() {
    let places = Arc::new(Places::default());
    let there = |host: u16| {
        let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, host);
        places.admit(address.into())
    };
    let first: Vec<Place> = (0..20).map(|host| there(host).place.unwrap()).collect();
    let one_more = there(20);
    assert_eq!(one_more.crowd, Some(Crowd::Network));
    assert!(one_more.place.is_some());
    assert!(has_to_go(&first[0]));
    assert_eq!(first.iter().filter(|place| has_to_go(place)).count(), 1);
    let elsewhere: IpAddr = "2001:db8:0:2::1".parse().unwrap();
    assert_eq!(places.admit(elsewhere).crowd, None);
    for place in &first {
        places.accepted(&place.caller);
    }
    // The last of the twenty is the one that made room, and the only unknown.
    let last = one_more.place.unwrap();
    let next = there(21);
    assert!(has_to_go(&last) && next.place.is_some());
    places.accepted(&next.place.as_ref().unwrap().caller);
    assert!(there(22).place.is_none());
}

#[tokio::test(start_paused = true)]
async fn this_machine_has_as_many_as_there_are() {
    let places = Arc::new(Places::default());
    let ours: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
    let mut open = Vec::new();
    for _ in 0..PLACES_MAX - KEPT_FOR_KNOWN {
        let admission = places.admit(ours);
        assert_eq!(admission.crowd, None);
        open.extend(admission.place);
    }
    assert_eq!(places.admit(ours).crowd, Some(Crowd::All));
}

#[tokio::test(start_paused = true)]
async fn ten_seconds_are_for_saying_who_calls() {
    let places = Arc::new(Places::default());
    let [silent, known] = [1, 2].map(|n| places.admit(address(n)).place.unwrap());
    advance(UNKNOWN_MAX.checked_sub(Duration::from_millis(1)).unwrap()).await;
    assert!(!has_to_go(&silent));
    places.accepted(&known.caller);
    advance(Duration::from_millis(2)).await;
    assert!(has_to_go(&silent));
    assert!(!has_to_go(&known));
    advance(Duration::from_hours(1)).await;
    assert!(!has_to_go(&known));
}

#[tokio::test(start_paused = true)]
async fn who_guesses_on_has_to_go() {
    let places = Arc::new(Places::default());
    let [stranger, known] = [1, 2].map(|n| places.admit(address(n)).place.unwrap());
    places.accepted(&known.caller);
    for _ in 1..REFUSALS_MAX {
        stranger.caller.refused();
        known.caller.refused();
    }
    assert!(!has_to_go(&stranger));
    stranger.caller.refused();
    known.caller.refused();
    assert!(has_to_go(&stranger));
    assert!(!has_to_go(&known));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_comes_before_the_end() {
    let places = Arc::new(Places::default());
    let place = places.admit(address(1)).place.unwrap();
    let patience = || place.caller.patience(clock::now());
    assert_eq!(patience(), UNKNOWN_MAX / 2);
    for _ in 0..100 {
        advance(patience()).await;
        assert!(!has_to_go(&place));
    }
    places.accepted(&place.caller);
    assert_eq!(patience(), Duration::MAX);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Come(usize),
    Accept(usize),
    Leave(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..80_usize).prop_map(Step::Come),
        1 => any::<usize>().prop_map(Step::Accept),
        1 => any::<usize>().prop_map(Step::Leave),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever comes and goes: nobody who is known is sent away, the numbers hold,
    /// and nothing is left of who has gone.
    #[test]
    fn the_numbers_hold(steps in prop::collection::vec(step(), 1..3_000)) {
        let places = Arc::new(Places::default());
        let mut open: Vec<Place> = Vec::new();
        for step in steps {
            match step {
                Step::Come(from) => open.extend(places.admit(address(from)).place),
                Step::Accept(which) if !open.is_empty() => {
                    places.accepted(&open[which % open.len()].caller);
                }
                Step::Leave(which) if !open.is_empty() => {
                    let at = which % open.len();
                    drop(open.swap_remove(at));
                }
                _ => {}
            }
            open.retain(|place| !place.caller.sent_away.is_cancelled());
            let taken = places.taken();
            prop_assert_eq!(taken.callers.len(), open.len());
            prop_assert!(taken.callers.len() <= PLACES_MAX);
            prop_assert!(taken.unknown.len() <= PLACES_MAX - KEPT_FOR_KNOWN);
            prop_assert!(taken.by_network.values().all(|&of| of <= PER_NETWORK_MAX));
            prop_assert_eq!(taken.by_network.values().sum::<usize>(), open.len());
        }
        open.clear();
        let taken = places.taken();
        prop_assert!(taken.callers.is_empty() && taken.unknown.is_empty());
        prop_assert!(taken.by_network.is_empty());
    }
}
