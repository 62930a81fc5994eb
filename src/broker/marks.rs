//! The sources of requests, and their marks for the rules of the policy.

use std::time::Instant;

use crate::matching::Source;
use crate::policy::{ClientFacts, Generation, Policy, PolicyMarks, ProxyFacts, Whereabouts, is_go};
use crate::wire::proxy::ProxyPoll;

use super::arrived_poll::ProxyTraits;
use super::caller::RequestOrigin;
use super::waiters::BrokerState;

impl BrokerState {
    /// The source of a request of this origin, which counts as `factor` of them.
    pub(super) fn source_of(
        &mut self,
        now: Instant,
        origin: RequestOrigin,
        factor: u32,
    ) -> Option<Source> {
        let sources = self.sources.as_mut()?;
        let source = sources.source(now, origin, self.matcher.supply(), factor)?;
        let record = self.learning.record(now, source.id);
        Some(Source { record, ..source })
    }

    /// The number of a client as a voter.
    pub(super) fn voter(&mut self, now: Instant, origin: RequestOrigin) -> Option<u64> {
        self.sources.as_mut()?.voter(now, origin)
    }

    /// The traits of a poll of this source and from this place.
    pub(super) fn traits_of(
        &mut self,
        now: Instant,
        policy: &Policy,
        poll: &ProxyPoll,
        source: Option<Source>,
        whereabouts: Whereabouts,
    ) -> ProxyTraits {
        let type_name = poll.type_name.as_deref().unwrap_or_default();
        let returns = source
            .filter(|_| is_go(type_name))
            .map(|source| (source.id, poll.proxy_type));
        let seen = returns.map(|key| self.generations.polled(now, key));
        let generation = Generation::of(poll.nat, seen.unwrap_or_default());
        let facts = ProxyFacts {
            whereabouts,
            type_name,
            nat: poll.nat,
            generation,
        };
        ProxyTraits {
            marks: PolicyMarks {
                rules: policy.rules_for_proxy(&facts),
                place: self.place(now, policy, &whereabouts),
            },
            generation,
            returns,
        }
    }

    /// The marks of a client.
    pub(super) fn marks_of(
        &mut self,
        now: Instant,
        policy: &Policy,
        client: &ClientFacts,
    ) -> PolicyMarks {
        PolicyMarks {
            rules: policy.rules_for_client(client),
            place: self.place(now, policy, &client.whereabouts),
        }
    }

    fn place(&mut self, now: Instant, policy: &Policy, whereabouts: &Whereabouts) -> Option<u64> {
        let sources = self.sources.as_mut().filter(|_| policy.has_places())?;
        sources.place(now, whereabouts)
    }
}
