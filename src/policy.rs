//! The operators' rules of who shall be matched with whom: preferences, and denials.
//!
//! A rule has conditions on a client and on a proxy, and an action for a pair that meets
//! them all. [`Policy`] compares both sides on their arrival, each with the conditions on
//! it, and gives it [`PolicyMarks`]: a bit for each rule whose conditions it meets. A rule
//! applies to a pair of which both have its bit, so the matching engine needs neither
//! addresses nor countries; it has [`RulesInForce`]. `docs/policy.md` describes the rules
//! for operators.

mod conditions;
mod generation;
mod network_list;
mod rule_set;
mod rules_in_force;
mod settings;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub use conditions::{ClientFacts, NetworkLists, ProxyFacts, Whereabouts};
pub use generation::{Generation, is_go};
pub use network_list::{InvalidNetworkList, NetworkList};
pub use rule_set::{RuleSet, RuleSlot};
pub use rules_in_force::{
    CANDIDATES_MAX, Choice, PolicyMarks, PollPreference, RankedPoll, RankedPool, RuleActions,
    RulesInForce,
};
pub use settings::{
    ClientConditions, ProxyConditions, RULES_MAX, RuleAction, RuleSettings, SAME_PLACE_NAME,
    SamePlace, Settings,
};

use conditions::PairConditions;

/// The name of a rule.
pub type RuleName = Arc<str>;

/// Settings ready to be applied.
///
/// Each rule has a slot, which it keeps in later policies as long as its name is known. So
/// the marks of those who wait, and what was decided for those who were matched, mean the
/// same after a change of the rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    settings: Settings,
    lists: NetworkLists,
    rules: Vec<CompiledRule>,
    /// The names in slots, including those of rules that are gone.
    names: BTreeMap<RuleSlot, RuleName>,
    /// The slots that no rule has now; those that have had none for longest are first.
    free: VecDeque<RuleSlot>,
}

/// A rule with its slot.
#[derive(Clone, Debug, PartialEq)]
struct CompiledRule {
    slot: RuleSlot,
    conditions: PairConditions,
}

impl Policy {
    /// The policy by settings that are valid, with the content of the files that they name.
    pub fn new(settings: Settings, lists: &NetworkLists) -> Self {
        let nothing = Self {
            settings: Settings::default(),
            lists: NetworkLists::new(),
            rules: Vec::new(),
            names: BTreeMap::new(),
            free: RuleSlot::all().collect(),
        };
        nothing.followed_by(settings, lists)
    }

    /// This policy with other settings, and the same content of files.
    #[must_use]
    pub fn with_settings(&self, settings: Settings) -> Self {
        self.followed_by(settings, &self.lists)
    }

    /// The same policy in the place of this one: rules of the same name keep their slots.
    #[must_use]
    pub fn after(self, previous: &Self) -> Self {
        previous.followed_by(self.settings, &self.lists)
    }

    fn followed_by(&self, settings: Settings, lists: &NetworkLists) -> Self {
        let mut names = self.names.clone();
        let mut free = self.free.clone();
        let is_named = |name: &str| settings.rules.iter().any(|rule| rule.name == name);
        // Those of rules that have gone are given to others last.
        let gone = self.rules.iter().map(|rule| rule.slot);
        free.extend(gone.filter(|slot| !names.get(slot).is_some_and(|name| is_named(name))));
        free.retain(|slot| !names.get(slot).is_some_and(|name| is_named(name)));
        let mut slot_for = |rule: &RuleSettings| {
            let slot = self.slot_of(&rule.name).or_else(|| free.pop_front());
            // There are more slots than rules.
            let slot = slot.unwrap_or(RuleSlot::SAME_PLACE);
            names.insert(slot, rule.name.as_str().into());
            slot
        };
        let rules = settings.rules.iter().map(|rule| CompiledRule {
            slot: slot_for(rule),
            conditions: PairConditions::new(&rule.client, &rule.proxy, lists),
        });
        Self {
            rules: rules.collect(),
            settings,
            lists: lists.clone(),
            names,
            free,
        }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The content of files with networks.
    pub fn lists(&self) -> &NetworkLists {
        &self.lists
    }

    /// Returns true if no pair is treated in another way than by the engine's own order.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && !self.has_places()
    }

    /// Returns true if it matters that both are in one place.
    pub fn has_places(&self) -> bool {
        self.settings.same_country_and_network == SamePlace::Last
    }

    /// The rules whose conditions on clients this one meets.
    pub fn rules_for_client(&self, client: &ClientFacts) -> RuleSet {
        let rules = self.rules.iter();
        let met = rules.filter(|rule| rule.conditions.are_met_by_client(client));
        met.map(|rule| rule.slot).collect()
    }

    /// The rules whose conditions on proxies this one meets.
    pub fn rules_for_proxy(&self, proxy: &ProxyFacts<'_>) -> RuleSet {
        let rules = self.rules.iter();
        let met = rules.filter(|rule| rule.conditions.are_met_by_proxy(proxy));
        met.map(|rule| rule.slot).collect()
    }

    /// The actions, for the matching engine.
    pub fn actions(&self) -> RuleActions {
        let mut actions = RuleActions {
            reserve: self.settings.reserve,
            ..RuleActions::default()
        };
        let rules = self.rules.iter().zip(&self.settings.rules);
        for (rank, (compiled, rule)) in (0..).zip(rules) {
            let set = match rule.action {
                RuleAction::Deny => &mut actions.deny,
                RuleAction::Prefer => &mut actions.prefer,
                RuleAction::Last => &mut actions.last,
            };
            *set = *set | RuleSet::of(compiled.slot);
            actions.ranks[compiled.slot.index()] = rank;
            if rule.share < 1.0 {
                actions.limited.push((compiled.slot, rule.share));
            }
        }
        if self.has_places() {
            actions.last = actions.last | RuleSet::of(RuleSlot::SAME_PLACE);
            actions.ranks[RuleSlot::SAME_PLACE.index()] = u8::MAX;
        }
        actions
    }

    /// The names of rules, including those that are gone since they decided something.
    pub fn names_of(&self, rules: RuleSet) -> impl Iterator<Item = &str> {
        rules.iter().filter_map(|slot| match slot {
            RuleSlot::SAME_PLACE => Some(SAME_PLACE_NAME),
            slot => self.names.get(&slot).map(|name| &**name),
        })
    }

    /// The slot of the rule of this name.
    pub fn slot_of(&self, name: &str) -> Option<RuleSlot> {
        let mut names = self.names.iter();
        names
            .find(|(_, known)| &***known == name)
            .map(|(&slot, _)| slot)
    }

    /// The names of the rules that are counted now.
    pub fn counted_names(&self) -> impl Iterator<Item = &str> {
        let rules = self.settings.rules.iter().map(|rule| &*rule.name);
        rules.chain(self.has_places().then_some(SAME_PLACE_NAME))
    }

    /// The names that have slots.
    pub fn known_names(&self) -> impl Iterator<Item = &str> {
        self.names.values().map(|name| &**name)
    }

    /// Returns true if a rule of this name is, or was of late, part of the policy.
    pub fn knows(&self, name: &str) -> bool {
        name == SAME_PLACE_NAME || self.slot_of(name).is_some()
    }
}

impl Default for Policy {
    /// No rules.
    fn default() -> Self {
        Self::new(Settings::default(), &NetworkLists::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::nat::NatType;
    use crate::wire::rendezvous_method::Rendezvous;

    fn policy(names: &[&str]) -> Policy {
        let rule = |name: &&str| {
            format!("[[rules]]\nname = '{name}'\naction = 'last'\nproxy.types = ['{name}']\n")
        };
        let text: String = names.iter().map(rule).collect();
        Policy::new(toml::from_str(&text).unwrap(), &NetworkLists::new())
    }

    fn marks(policy: &Policy, type_name: &str) -> RuleSet {
        policy.rules_for_proxy(&ProxyFacts {
            whereabouts: Whereabouts::default(),
            type_name,
            nat: NatType::Unknown,
            generation: Generation::Unknown,
        })
    }

    #[test]
    fn a_rule_keeps_its_slot_as_long_as_its_name_is_known() {
        let first = policy(&["a", "b", "c"]);
        let second = policy(&["c", "d", "a"]).after(&first);
        for name in ["a", "c"] {
            assert_eq!(marks(&first, name), marks(&second, name), "{name}");
        }
        let b = marks(&first, "b");
        assert!(marks(&second, "b").is_empty() && !marks(&second, "d").meets(b));
        assert_eq!(second.names_of(b).collect::<Vec<_>>(), ["b"]);
        let third = policy(&["b"]).after(&second);
        assert_eq!(marks(&third, "b"), b);
        assert!(third.knows("d") && !third.knows("e"));
    }

    #[test]
    fn slots_are_given_to_others_only_after_all_the_rest() {
        let names: Vec<String> = (0..200).map(|number| number.to_string()).collect();
        let mut last = policy(&["first"]);
        let first = marks(&last, "first");
        for (number, name) in (1..).zip(&names) {
            last = policy(&[name]).after(&last);
            let known = last.names_of(first).next() == Some("first");
            assert_eq!(known, number < RuleSlot::COUNT, "{number}");
            assert!(last.names.len() <= RuleSlot::COUNT);
            assert_eq!(marks(&last, name).len(), 1);
        }
    }

    #[test]
    fn a_full_list_follows_a_full_list() {
        let name = |number: usize| number.to_string();
        let lists = [0, 1, 2].map(|list| {
            let names: Vec<String> = (0..RULES_MAX)
                .map(|rule| name(list * RULES_MAX + rule))
                .collect();
            policy(&names.iter().map(String::as_str).collect::<Vec<_>>())
        });
        let [first, second, third] = lists;
        let third = third.after(&second.after(&first));
        let slots: RuleSet = third.rules.iter().map(|rule| rule.slot).collect();
        assert_eq!(slots.len(), RULES_MAX);
        assert!(!slots.contains(RuleSlot::SAME_PLACE));
    }

    #[test]
    fn the_order_of_the_list_is_kept_for_the_engine() {
        let text = "same_country_and_network = 'last'\n\
            [[rules]]\nname = 'a'\naction = 'deny'\nproxy.types = ['a']\n\
            [[rules]]\nname = 'b'\naction = 'prefer'\nshare = 0.5\nproxy.types = ['a']\n\
            client.nat = ['open']\n";
        let policy = Policy::new(toml::from_str(text).unwrap(), &NetworkLists::new());
        let actions = policy.actions();
        let names = |rules| policy.names_of(rules).collect::<Vec<_>>();
        assert_eq!(names(actions.deny), ["a"]);
        assert_eq!(names(actions.prefer), ["b"]);
        assert_eq!(names(actions.last), [SAME_PLACE_NAME]);
        assert_eq!(actions.limited.len(), 1);
        let client = ClientFacts {
            whereabouts: Whereabouts::default(),
            nat: NatType::Strict,
            rendezvous: Some(Rendezvous::Http),
        };
        assert_eq!(names(policy.rules_for_client(&client)), ["a"]);
        assert_eq!(
            policy.counted_names().collect::<Vec<_>>(),
            ["a", "b", SAME_PLACE_NAME]
        );
    }
}
