use std::net::{Ipv4Addr, Ipv6Addr};

use futures_util::FutureExt as _;
use proptest::prelude::*;
use tokio::runtime::Builder;
use tokio::time::advance;

use super::*;

fn address(number: usize) -> IpAddr {
    Ipv4Addr::from(u32::try_from(0x0a00_0000 + number).unwrap()).into()
}

/// Each stranger connects from its own address.
fn strangers(slots: &Arc<CallerSlots>, count: usize) -> Vec<CallerSlot> {
    let slots = (0..count).map(|number| slots.admit(address(number)).slot);
    slots.map(Option::unwrap).collect()
}

#[expect(clippy::disallowed_methods, reason = "the paused clock of this test")]
fn now() -> std::time::Instant {
    Instant::now().into_std()
}

fn has_to_go(slot: &CallerSlot) -> bool {
    slot.holder().has_to_go().now_or_never().is_some()
}

#[tokio::test(start_paused = true)]
async fn the_oldest_unknown_caller_makes_room() {
    let slots = Arc::new(CallerSlots::default());
    let strangers = strangers(&slots, SLOTS_MAX - KEPT_FOR_KNOWN);
    slots.accepted(&strangers[0].holder);
    let last_free = slots.admit(address(5_000));
    assert_eq!(last_free.limit, None);
    let limited = slots.admit(address(5_001));
    assert_eq!(limited.limit, Some(SlotLimit::All));
    assert!(limited.slot.is_some());
    assert!(!has_to_go(&strangers[0]), "it is known");
    assert!(has_to_go(&strangers[1]));
    assert!(!has_to_go(&strangers[2]));
}

#[tokio::test(start_paused = true)]
async fn known_callers_have_places_that_strangers_cannot_take() {
    let slots = Arc::new(CallerSlots::default());
    let mut known = strangers(&slots, SLOTS_MAX);
    // All but the last fifty before the limit were disconnected; they connect again.
    known.retain(|slot| !has_to_go(slot));
    for number in 0..SLOTS_MAX {
        for slot in &known {
            slots.accepted(&slot.holder);
        }
        if known.len() == SLOTS_MAX {
            break;
        }
        known.extend(slots.admit(address(10_000 + number)).slot);
    }
    assert_eq!(known.len(), SLOTS_MAX);
    let one_more = slots.admit(address(1));
    assert!(one_more.slot.is_none());
    assert_eq!(one_more.limit, Some(SlotLimit::All));
    assert!(known.iter().all(|slot| !has_to_go(slot)));
    drop(known.pop());
    assert!(slots.admit(address(1)).slot.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_network_has_twenty() {
    let slots = Arc::new(CallerSlots::default());
    let there = |host: u16| {
        let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, host);
        slots.admit(address.into())
    };
    let first: Vec<CallerSlot> = (0..20).map(|host| there(host).slot.unwrap()).collect();
    let one_more = there(20);
    assert_eq!(one_more.limit, Some(SlotLimit::Network));
    assert!(one_more.slot.is_some());
    assert!(has_to_go(&first[0]));
    assert_eq!(first.iter().filter(|slot| has_to_go(slot)).count(), 1);
    let elsewhere: IpAddr = "2001:db8:0:2::1".parse().unwrap();
    assert_eq!(slots.admit(elsewhere).limit, None);
    for slot in &first {
        slots.accepted(&slot.holder);
    }
    // The last of the twenty made room for itself and is the only unknown caller.
    let last = one_more.slot.unwrap();
    let next = there(21);
    assert!(has_to_go(&last) && next.slot.is_some());
    slots.accepted(&next.slot.as_ref().unwrap().holder);
    assert!(there(22).slot.is_none());
}

#[tokio::test(start_paused = true)]
async fn this_machine_has_as_many_as_there_are() {
    let slots = Arc::new(CallerSlots::default());
    let ours: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
    let mut open = Vec::new();
    for _ in 0..SLOTS_MAX - KEPT_FOR_KNOWN {
        let admission = slots.admit(ours);
        assert_eq!(admission.limit, None);
        open.extend(admission.slot);
    }
    assert_eq!(slots.admit(ours).limit, Some(SlotLimit::All));
}

#[tokio::test(start_paused = true)]
async fn ten_seconds_are_for_saying_who_calls() {
    let slots = Arc::new(CallerSlots::default());
    let [silent, known] = [1, 2].map(|n| slots.admit(address(n)).slot.unwrap());
    advance(UNKNOWN_MAX.checked_sub(Duration::from_millis(1)).unwrap()).await;
    assert!(!has_to_go(&silent));
    slots.accepted(&known.holder);
    advance(Duration::from_millis(2)).await;
    assert!(has_to_go(&silent));
    assert!(!has_to_go(&known));
    advance(Duration::from_hours(1)).await;
    assert!(!has_to_go(&known));
}

#[tokio::test(start_paused = true)]
async fn who_guesses_on_has_to_go() {
    let slots = Arc::new(CallerSlots::default());
    let [stranger, known] = [1, 2].map(|n| slots.admit(address(n)).slot.unwrap());
    slots.accepted(&known.holder);
    for _ in 1..REFUSALS_MAX {
        stranger.holder.refused();
        known.holder.refused();
    }
    assert!(!has_to_go(&stranger));
    stranger.holder.refused();
    known.holder.refused();
    assert!(has_to_go(&stranger));
    assert!(!has_to_go(&known));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_comes_before_the_end() {
    let slots = Arc::new(CallerSlots::default());
    let slot = slots.admit(address(1)).slot.unwrap();
    let patience = || slot.holder.patience(now());
    assert_eq!(patience(), UNKNOWN_MAX / 2);
    for _ in 0..100 {
        advance(patience()).await;
        assert!(!has_to_go(&slot));
    }
    slots.accepted(&slot.holder);
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

    /// After any sequence of arrivals and departures, no known caller is disconnected,
    /// the limits hold, and nothing is left of callers that are gone.
    #[test]
    fn the_numbers_hold(steps in prop::collection::vec(step(), 1..3_000)) {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let _entered = runtime.enter();
        let slots = Arc::new(CallerSlots::default());
        let mut open: Vec<CallerSlot> = Vec::new();
        for step in steps {
            match step {
                Step::Come(from) => open.extend(slots.admit(address(from)).slot),
                Step::Accept(which) if !open.is_empty() => {
                    slots.accepted(&open[which % open.len()].holder);
                }
                Step::Leave(which) if !open.is_empty() => {
                    let at = which % open.len();
                    drop(open.swap_remove(at));
                }
                _ => {}
            }
            open.retain(|slot| !slot.holder.sent_away.is_cancelled());
            let taken = slots.taken();
            prop_assert_eq!(taken.callers.len(), open.len());
            prop_assert!(taken.callers.len() <= SLOTS_MAX);
            prop_assert!(taken.unknown.len() <= SLOTS_MAX - KEPT_FOR_KNOWN);
            prop_assert!(taken.by_network.values().all(|&of| of <= PER_NETWORK_MAX));
            prop_assert_eq!(taken.by_network.values().sum::<usize>(), open.len());
        }
        open.clear();
        let taken = slots.taken();
        prop_assert!(taken.callers.is_empty() && taken.unknown.is_empty());
        prop_assert!(taken.by_network.is_empty());
    }
}
