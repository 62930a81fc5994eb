//! The policy in force, by whose names the matches of rules are counted.

use std::sync::Arc;

use crate::metrics::Metrics;
use crate::metrics::labels::RuleResult;
use crate::policy::{Policy, RuleSet};

/// Counts matches for the rules that had a part in them.
#[derive(Debug)]
pub(super) struct RuleCounter {
    policy: Arc<Policy>,
    metrics: Arc<Metrics>,
}

impl RuleCounter {
    pub(super) fn new(policy: Arc<Policy>, metrics: Arc<Metrics>) -> Self {
        metrics.rules_configured(policy.counted_names());
        Self { policy, metrics }
    }

    /// The policy in force.
    pub(super) fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Replaces the policy. Series of rules whose slots others have got end.
    pub(super) fn set(&mut self, policy: Policy) {
        let gone = self.policy.known_names();
        let gone = gone.filter(|name| !policy.knows(name));
        self.metrics.rules_forgotten(gone);
        self.metrics.rules_configured(policy.counted_names());
        self.policy = Arc::new(policy);
    }

    /// Counts a result for rules. One that is gone by now counts under its name.
    pub(super) fn count(&self, rules: RuleSet, result: RuleResult) {
        for name in self.policy.names_of(rules) {
            self.metrics.rule_counted(name, result);
        }
    }
}
