//! The explanation of what the policy does for a client.

use std::sync::Arc;
use std::time::Instant;

use crate::geoip::CountryCode;
use crate::matching::{Band, PollView, PoolView};
use crate::policy::{
    ClientFacts, Generation, Policy, PolicyMarks, PollPreference, RuleAction, RuleSet, RuleSlot,
    SAME_PLACE_NAME,
};
use crate::wire::nat::{NatClass, NatType};
use crate::wire::proxy::ProxyType;

use super::waiters::BrokerState;

/// The rules that would apply to a client, and the polls that it would get.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The policy.
    pub policy: Arc<Policy>,
    /// The rules whose conditions on clients are met, in the order of the policy. The last one
    /// is `same_country_and_network`, if the client's place is known.
    pub rules: Vec<RuleForClient>,
    /// The pools that can serve the client, in the order in which they are tried.
    pub pools: Vec<ExplainedPool>,
}

/// A rule whose conditions on clients are met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleForClient {
    /// The rule's name.
    pub name: String,
    /// Its action.
    pub action: RuleAction,
    /// The parked polls, of all pools for the client, that meet its conditions on proxies.
    pub polls: usize,
}

/// A pool as the client would find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedPool {
    /// The pool.
    pub pool: NatClass,
    /// The polls in it.
    pub parked: usize,
    /// The polls among them that no rule denies to the client.
    pub allowed: usize,
    /// The rules that count for nothing, because they favor too few of the polls that are
    /// looked at.
    pub softened: RuleSet,
    /// The rules that count for nothing, because they have had their share of the matches.
    pub spent: RuleSet,
    /// The polls that are looked at, in the order in which the client would get them.
    pub polls: Vec<ExplainedPoll>,
}

/// The kind of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExplainedPoll {
    /// The standing by the rules.
    pub preference: PollPreference,
    /// The rules that made it so.
    pub by: RuleSet,
    /// The band of the source.
    pub band: Band,
    /// The proxy's country.
    pub country: CountryCode,
    /// The type of the proxy.
    pub proxy_type: ProxyType,
    /// The NAT word of the proxy.
    pub nat: NatType,
    /// The generation of the proxy's program.
    pub generation: Generation,
}

impl BrokerState {
    pub(super) fn explain(&mut self, now: Instant, client: &ClientFacts) -> Explanation {
        let policy = Arc::clone(self.learning.rules.policy());
        let marks = self.marks_of(now, &policy, client);
        let views = self.matcher.explain(NatClass::of(client.nat), marks);
        let pools = views.iter().map(|view| ExplainedPool {
            pool: view.pool,
            parked: view.parked,
            allowed: view.allowed,
            softened: view.softened,
            spent: view.spent,
            polls: view
                .polls
                .iter()
                .filter_map(|poll| self.explained(poll))
                .collect(),
        });
        Explanation {
            rules: rules_for(&policy, marks, &views),
            pools: pools.collect(),
            policy,
        }
    }

    fn explained(&self, view: &PollView) -> Option<ExplainedPoll> {
        let details = self.details(view.key)?;
        Some(ExplainedPoll {
            preference: view.preference,
            by: view.by,
            band: view.band,
            country: details.country,
            proxy_type: details.poll.proxy_type,
            nat: details.poll.nat,
            generation: details.generation,
        })
    }
}

/// The rules for a client with these marks, with the polls that they mean.
fn rules_for(policy: &Policy, marks: PolicyMarks, views: &[PoolView]) -> Vec<RuleForClient> {
    let listed = policy.settings().rules.iter().filter_map(|rule| {
        let slot = policy.slot_of(&rule.name)?;
        let is_met = marks.rules.contains(slot);
        is_met.then_some((slot, &*rule.name, rule.action))
    });
    let has_place = policy.has_places() && marks.place.is_some();
    let same_place = (RuleSlot::SAME_PLACE, SAME_PLACE_NAME, RuleAction::Last);
    let rules = listed.chain(has_place.then_some(same_place));
    let explained = rules.map(|(slot, name, action)| RuleForClient {
        name: name.to_owned(),
        action,
        polls: views.iter().filter_map(|view| view.marked.get(&slot)).sum(),
    });
    explained.collect()
}
