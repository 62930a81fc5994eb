use crate::proto::federation::v1::{Pool, PoolSupply, PrivatePoolSupply};
use crate::wire::fingerprint::Fingerprint;
use crate::wire::nat::NatClass;

use super::*;

const NEED: Need = Need {
    private_pool: None,
    class: NatClass::Strict,
    fingerprint: Fingerprint::DEFAULT,
};

#[expect(clippy::disallowed_methods, reason = "an Instant to count from")]
fn start() -> Instant {
    Instant::now()
}

fn sender(incarnation: u64, sent_at_ms: u64) -> Sender<'static> {
    Sender {
        node: "b",
        incarnation,
        sent_at_ms,
    }
}

/// A word of supply with this many open proxies.
fn supply(sequence: u64, proxies: u32) -> v1::Supply {
    v1::Supply {
        sequence,
        state: State::Serving.into(),
        pools: vec![PoolSupply {
            pool: Pool::Open.into(),
            proxies,
        }],
        version: "1.2.3".to_owned(),
        ..v1::Supply::default()
    }
}

fn joined() -> NodeChange {
    NodeChange::Joined("b".into())
}

#[test]
fn a_node_that_says_what_it_has_is_asked() {
    let now = start();
    let mut members = Membership::new(now);
    assert!(!members.has_supply(now, &NEED));
    assert_eq!(
        members.supplied(now, sender(1, 0), &supply(1, 5), true),
        Ok(Heard::Change(joined()))
    );
    assert!(members.has_supply(now, &NEED));
    let chosen = members.choose(now, &NEED, &BTreeSet::new(), [0.0; 2]);
    assert_eq!(chosen, Some("b".into()));
    let status = &members.statuses(now)[0];
    assert_eq!((status.version.as_str(), status.offers_sent), ("1.2.3", 1));
}

#[test]
fn who_is_silent_for_three_seconds_has_nothing_and_is_forgotten() {
    let now = start();
    let mut members = Membership::new(now);
    members
        .supplied(now, sender(1, 0), &supply(1, 5), true)
        .unwrap();
    assert_eq!(members.expire(now + FRESH_FOR), []);
    let later = now + FRESH_FOR + Duration::from_millis(1);
    assert!(!members.has_supply(later, &NEED));
    assert_eq!(members.expire(later), [NodeChange::Lost("b".into())]);
    assert_eq!(members.len(), 0);
}

#[test]
fn words_that_are_doubled_late_or_out_of_order_are_not_heeded() {
    let now = start();
    let mut members = Membership::new(now);
    members
        .supplied(now, sender(1, 0), &supply(2, 5), true)
        .unwrap();
    for sequence in [2, 1] {
        let repeated = members.supplied(now, sender(1, 0), &supply(sequence, 9), true);
        assert_eq!(repeated, Err(DroppedMessage::Repeated));
    }
    let later = now + Duration::from_secs(4);
    let late = members.supplied(later, sender(1, 10), &supply(3, 9), true);
    assert_eq!(late, Err(DroppedMessage::Late));
    assert!(!members.has_supply(later, &NEED));
}

#[test]
fn another_process_of_the_name_takes_the_place_of_the_first() {
    let now = start();
    let mut members = Membership::new(now);
    members
        .supplied(now, sender(1, 900_000), &supply(90, 5), true)
        .unwrap();
    assert_eq!(
        members.supplied(now, sender(2, 0), &supply(1, 0), true),
        Ok(Heard::Change(joined()))
    );
    assert!(!members.has_supply(now, &NEED));
    assert_eq!(members.age(now, sender(1, 900_000)), None);
    assert_eq!(members.age(now, sender(2, 0)), Some(Duration::ZERO));
    assert_eq!(members.len(), 1);
    // The first one is still there: the operator has given two nodes one name.
    let same_name = Heard::Change(NodeChange::SameName("b".into()));
    assert_eq!(
        members.supplied(now, sender(1, 900_500), &supply(91, 5), true),
        Ok(same_name)
    );
    assert!(!members.has_supply(now, &NEED));
}

/// It may be what a process has said that is gone.
#[test]
fn who_is_not_known_is_no_node_without_a_proof() {
    let now = start();
    let mut members = Membership::new(now);
    let mut hear = |incarnation, sequence, is_proven| {
        let supply = supply(sequence, 5);
        members.supplied(now, sender(incarnation, 0), &supply, is_proven)
    };
    assert_eq!(hear(2, 1, false), Ok(Heard::Unproven));
    assert_eq!(hear(2, 1, true), Ok(Heard::Change(joined())));
    assert_eq!(hear(2, 2, false), Ok(Heard::Supply));
    // Neither an earlier process nor a later one.
    assert_eq!(hear(1, 3, false), Ok(Heard::Unproven));
    assert_eq!(hear(3, 3, false), Ok(Heard::Unproven));
    assert_eq!(hear(2, 3, false), Ok(Heard::Supply));
    assert_eq!(members.len(), 1);
}

#[test]
fn who_says_that_it_leaves_has_left() {
    let now = start();
    let mut members = Membership::new(now);
    members
        .supplied(now, sender(1, 0), &supply(1, 5), true)
        .unwrap();
    let leaves = |sequence| v1::Supply {
        state: State::Left.into(),
        ..supply(sequence, 0)
    };
    assert_eq!(
        members.supplied(now, sender(9, 0), &leaves(1), true),
        Ok(Heard::Supply)
    );
    let left = Heard::Change(NodeChange::Left("b".into()));
    assert_eq!(
        members.supplied(now, sender(1, 0), &leaves(2), true),
        Ok(left)
    );
    assert!(!members.has_supply(now, &NEED));
}

#[test]
fn there_are_no_more_nodes_than_may_be() {
    let now = start();
    let mut members = Membership::new(now);
    let names: Vec<_> = (0..=NODES_MAX).map(|number| number.to_string()).collect();
    let results: Vec<_> = names
        .iter()
        .map(|name| {
            let sender = Sender {
                node: name,
                ..sender(1, 0)
            };
            members.supplied(now, sender, &supply(1, 1), true)
        })
        .collect();
    assert_eq!(results[NODES_MAX], Err(DroppedMessage::Overloaded));
    assert!(results[..NODES_MAX].iter().all(Result::is_ok));
    assert_eq!(members.len(), NODES_MAX);
}

#[test]
fn a_word_of_supply_names_private_pools_up_to_their_maximum() {
    let now = start();
    let mut members = Membership::new(now);
    let mut word = supply(1, 0);
    let pools = (0..300).map(|number| PrivatePoolSupply {
        name: number.to_string(),
        pools: supply(0, 1).pools,
    });
    word.private_pools = pools.collect();
    members.supplied(now, sender(1, 0), &word, true).unwrap();
    let of_pool = |number: usize| Need {
        private_pool: Some(number.to_string().as_str().into()),
        ..NEED
    };
    let known = (0..300).filter(|&number| members.has_supply(now, &of_pool(number)));
    assert_eq!(known.count(), 256);
    assert!(!members.has_supply(now, &NEED));
}
