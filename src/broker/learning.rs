//! Passes what the engine does on to the outcomes, and what follows from them to the metrics
//! and to the next polls.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use slotmap::SecondaryMap;

use super::caller::RequestOrigin;
use super::client_hasher::{ClientHasher, ClientNumbers};
use super::limits::LimitKey;
use super::rule_counter::RuleCounter;
use crate::matching::{ClientKey, ClientReply, OfferEnd, PollKey, SourceRecord};
use crate::metrics::labels::{MatchOutcome, RuleResult};
use crate::metrics::{ClientFigures, EpisodeCounts, MatchEnd, Metrics};
use crate::outcomes::{EndedMatch, MatchedProxy, OutcomeClient, Outcomes, Settings};
use crate::wire::fingerprint::Fingerprint;
use crate::wire::nat::NatClass;
use crate::wire::session_description::SessionDescription;

/// An offer that a proxy has.
#[derive(Clone, Copy, Debug)]
struct HandedOff {
    key: ClientKey,
    /// `None` for a peer's client.
    client: Option<OutcomeClient>,
    proxy: MatchedProxy,
}

/// The outcomes, and the offers from which they follow.
#[derive(Debug)]
pub(super) struct Learning {
    pub(super) outcomes: Outcomes,
    hasher: Option<ClientHasher>,
    /// The offers that have not ended, by their polls.
    handed_off: SecondaryMap<PollKey, HandedOff>,
    /// The proxies whose answer is the next reply to a client.
    answered: SecondaryMap<ClientKey, MatchedProxy>,
    metrics: Arc<Metrics>,
    /// The policy, for whose rules the outcomes count, too.
    pub(super) rules: RuleCounter,
}

impl Learning {
    /// Without a key, all outcomes are unknown.
    pub(super) fn new(now: Instant, metrics: Arc<Metrics>, rules: RuleCounter) -> Self {
        Self {
            outcomes: Outcomes::new(now, Settings::default()),
            hasher: None,
            handed_off: SecondaryMap::new(),
            answered: SecondaryMap::new(),
            metrics,
            rules,
        }
    }

    /// Knows clients by hashes from now on. `key` is random.
    pub(super) fn start(&mut self, now: Instant, settings: Settings, key: LimitKey) {
        self.outcomes = Outcomes::new(now, settings);
        self.hasher = Some(ClientHasher::new(now, key));
    }

    /// The numbers of a client of this address and its offer.
    pub(super) fn numbers(
        &mut self,
        now: Instant,
        origin: RequestOrigin,
        offered: Option<IpAddr>,
        bridge: Fingerprint,
        offer: &SessionDescription,
    ) -> Option<ClientNumbers> {
        let hasher = self.hasher.as_mut()?;
        let address = origin.client(|| offered)?;
        let is_vouched_for = matches!(origin, RequestOrigin::Sender(_));
        Some(hasher.client(now, (address, is_vouched_for), bridge, offer))
    }

    /// Notes a client's request.
    pub(super) fn came(&mut self, now: Instant, client: &OutcomeClient) {
        let ended = self.outcomes.handle_client(now, client);
        self.count_all(ended);
    }

    /// The different clients of the last two minutes, by class.
    pub(super) fn clients(&self) -> Vec<ClientFigures> {
        let demand = self.outcomes.demand();
        let classes = NatClass::ALL.into_iter();
        classes
            .map(|class| ClientFigures {
                class,
                recent: demand.recent(class),
                unserved: demand.unserved(class),
            })
            .collect()
    }

    /// The record of a source whose poll has come.
    pub(super) fn record(&self, now: Instant, source: u64) -> SourceRecord {
        self.outcomes.record(now, source)
    }

    /// Returns true if the proxies of a source are parked as strict ones, whatever they say.
    pub(super) fn counts_as_strict(&self, now: Instant, source: u64) -> bool {
        self.outcomes.counts_as_strict(now, source)
    }

    /// Notes that a proxy has a client's offer.
    pub(super) fn handed_off(
        &mut self,
        poll: PollKey,
        key: ClientKey,
        client: Option<OutcomeClient>,
        proxy: MatchedProxy,
    ) {
        let handed_off = HandedOff { key, client, proxy };
        self.handed_off.insert(poll, handed_off);
    }

    /// Notes the end of a proxy's offer.
    pub(super) fn offer_ended(&mut self, now: Instant, poll: PollKey, end: OfferEnd) {
        let Some(handed_off) = self.handed_off.remove(poll) else {
            return;
        };
        let HandedOff { key, client, proxy } = handed_off;
        match (end, client) {
            (OfferEnd::Answered, _) => {
                self.answered.insert(key, proxy);
            }
            (OfferEnd::Unanswered, Some(client)) => {
                let ended = self.outcomes.handle_unanswered(now, &client, &proxy);
                self.count(ended);
            }
            (OfferEnd::Unanswered, None) | (OfferEnd::Void, _) => {}
        }
    }

    /// Notes the reply to a client.
    pub(super) fn replied(
        &mut self,
        now: Instant,
        key: ClientKey,
        client: Option<OutcomeClient>,
        reply: &ClientReply,
    ) {
        let proxy = self.answered.remove(key);
        let Some(client) = client else {
            return;
        };
        match reply {
            ClientReply::Answer(_) => {
                let ended = self.outcomes.handle_answer(now, client, proxy);
                self.count_all(ended);
            }
            ClientReply::TimedOut | ClientReply::Denied(_) => {
                self.outcomes.handle_refusal(now, &client);
            }
        }
    }

    /// Counts the matches that have worked, and the episodes of clients. Forgets what is old.
    pub(super) fn advance(&mut self, now: Instant) {
        if let Some(hasher) = &mut self.hasher {
            hasher.advance(now);
        }
        let ended = self.outcomes.advance(now);
        self.count_all(ended);
        let episodes = self.outcomes.take_episodes();
        if episodes != EpisodeCounts::default() {
            let [clients, _] = self.outcomes.sizes();
            self.metrics.count_episodes(&episodes, clients);
        }
    }

    fn count_all(&self, ended: impl IntoIterator<Item = EndedMatch>) {
        for ended in ended {
            self.count(ended);
        }
    }

    fn count(&self, ended: EndedMatch) {
        let EndedMatch {
            client,
            proxy,
            outcome,
        } = ended;
        if let (Some(proxy), Some(result)) = (proxy, for_rules(outcome)) {
            self.rules.count(proxy.decided, result);
        }
        self.metrics.match_ended(MatchEnd {
            outcome,
            client: client.class,
            country: client.country,
            address: client.address,
            proxy: proxy.map(|proxy| (proxy.proxy_type, proxy.class)),
            rendezvous: client.rendezvous,
        });
    }
}

/// The result for rules that decided a match with this outcome.
fn for_rules(outcome: MatchOutcome) -> Option<RuleResult> {
    match outcome {
        MatchOutcome::Worked => Some(RuleResult::Worked),
        MatchOutcome::Failed | MatchOutcome::Unanswered => Some(RuleResult::Failed),
        MatchOutcome::Unknown => None,
    }
}
