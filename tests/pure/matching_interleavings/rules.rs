//! Rules of the policy in the engine: preferences, denials and what they leave alone.

use snowflake_broker::matching::{Output, PollReply};
use snowflake_broker::policy::PollPreference::{Denied, Last, Neutral, Preferred};
use snowflake_broker::policy::{NetworkLists, Policy, PolicyMarks, RuleSet};
use snowflake_broker::wire::nat::NatClass;

use crate::matching_interleavings::scene::{Scene, scene};

fn policy(reserve: usize) -> Policy {
    let rule = |action| {
        format!("[[rules]]\nname = '{action}'\naction = '{action}'\nproxy.types = ['a']\n")
    };
    let rules: String = ["deny", "prefer", "last"].map(rule).concat();
    let settings = toml::from_str(&format!("reserve = {reserve}\n{rules}")).expect("rules");
    Policy::new(settings, &NetworkLists::new())
}

fn ruled(reserve: usize) -> (Scene, impl Fn(&[&str]) -> PolicyMarks) {
    let mut scene = scene();
    let policy = policy(reserve);
    scene.engine.set_rules(policy.actions());
    let marks = move |names: &[&str]| PolicyMarks {
        rules: names
            .iter()
            .filter_map(|name| policy.slot_of(name))
            .collect(),
        place: None,
    };
    (scene, marks)
}

#[test]
fn a_client_gets_preferred_polls_first_and_last_ones_last() {
    let (mut scene, marks) = ruled(0);
    scene.marks(marks(&["last"])).poll("last", "open");
    scene.marks(marks(&[])).poll("neutral", "open");
    scene
        .marks(marks(&["deny", "prefer"]))
        .poll("denied", "open");
    scene.marks(marks(&["prefer"])).poll("preferred", "open");
    scene.marks(marks(&["deny", "prefer", "last"]));
    for name in ["1", "2", "3", "4"] {
        scene.client(name, "strict");
    }
    scene.says(&[
        "preferred: offer of 1",
        "neutral: offer of 2",
        "last: offer of 3",
        "ClientQueued",
    ]);
    // A client that the rules are not about gets what is left.
    scene.marks(marks(&[])).client("5", "strict");
    scene.says(&["denied: offer of 5"]);
}

#[test]
fn a_client_that_waits_takes_any_poll_but_a_denied_one() {
    let (mut scene, marks) = ruled(0);
    scene.marks(marks(&["deny", "last"])).client("c", "strict");
    scene.marks(marks(&["deny"])).poll("denied", "open");
    scene.says(&["ClientQueued"]);
    scene.marks(marks(&["last"])).poll("last", "open");
    scene.says(&["last: offer of c"]).waiting(0, 1, 1);
}

#[test]
fn a_second_proxy_is_never_a_denied_one() {
    let (mut scene, marks) = ruled(0);
    scene.marks(marks(&[])).poll("first", "open");
    scene.marks(marks(&["deny"])).poll("denied", "open");
    scene.client("c", "strict").tick(2_000);
    scene.says(&["first: offer of c"]);
    scene.poll("also denied", "open").says(&[]);
    scene.marks(marks(&[])).poll("second", "open");
    scene.says(&["second: offer of c, attempt 2"]);
}

#[test]
fn preferences_are_of_one_pool() {
    let (mut scene, marks) = ruled(0);
    scene.marks(marks(&["prefer"])).poll("open", "open");
    scene.marks(marks(&["last"])).poll("strict", "strict");
    scene.marks(marks(&["prefer", "last"])).client("c", "open");
    scene.says(&["strict: offer of c"]);
}

/// The rules that decided a match and those that were softened, by name.
fn part_in_match(scene: &mut Scene) -> (RuleSet, RuleSet) {
    let outputs = std::iter::from_fn(|| scene.engine.next_output());
    let hand_offs = outputs.filter_map(|output| match output {
        Output::Poll(_, PollReply::Offer(hand_off)) => Some((hand_off.decided, hand_off.softened)),
        _ => None,
    });
    hand_offs.last().expect("a match")
}

#[test]
fn a_match_says_which_rules_decided_it() {
    let (mut scene, marks) = ruled(1);
    let of = |names| marks(names).rules;
    scene
        .marks(marks(&["last"]))
        .poll("last", "open")
        .poll("other", "open");
    scene.marks(marks(&["last"])).client("1", "strict");
    // All are last, which favors nobody.
    assert_eq!(part_in_match(&mut scene), (RuleSet::NONE, of(&["last"])));
    scene.marks(marks(&["prefer"])).poll("preferred", "open");
    scene
        .marks(marks(&["prefer", "last"]))
        .client("2", "strict");
    assert_eq!(
        part_in_match(&mut scene),
        (of(&["prefer", "last"]), RuleSet::NONE)
    );
}

#[test]
fn an_explanation_is_the_order_in_which_a_client_would_be_served() {
    let (mut scene, marks) = ruled(0);
    scene.marks(marks(&["last"])).poll("last", "open");
    scene.marks(marks(&["deny"])).poll("denied", "open");
    scene.marks(marks(&["prefer"])).poll("preferred", "open");
    let client = marks(&["deny", "prefer", "last"]);
    let pools = scene.engine.explain(NatClass::Strict, client);
    let [pool] = &pools[..] else {
        panic!("{pools:?}")
    };
    assert_eq!((pool.parked, pool.allowed), (3, 2));
    assert!(pool.marked.values().all(|&count| count == 1));
    let order: Vec<_> = pool.polls.iter().map(|poll| poll.preference).collect();
    assert_eq!(order, [Preferred, Last, Denied]);
    assert_eq!((pool.softened, pool.spent), (RuleSet::NONE, RuleSet::NONE));
    let of_all: usize = scene.engine.explain(NatClass::Open, client).len();
    assert_eq!(of_all, 3);
}

#[test]
fn an_explanation_tells_which_rules_count_for_nothing() {
    let (mut scene, marks) = ruled(2);
    let softened = marks(&["prefer"]);
    scene.marks(softened).poll("preferred", "open");
    scene.marks(marks(&[])).poll("other", "open");
    let [pool] = &scene.engine.explain(NatClass::Strict, softened)[..] else {
        panic!("strict clients have one pool")
    };
    assert_eq!(pool.softened, softened.rules);
    let all = pool.polls.iter().all(|poll| poll.preference == Neutral);
    assert!(all, "{pool:?}");
}
