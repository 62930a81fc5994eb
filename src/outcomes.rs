//! The outcomes of matches, as far as the broker can see them: a client whose match failed
//! comes back 8 to 40 s after its answer, and one that is connected does not. From this
//! follows which sources of proxies work, and how many tries clients need.
//!
//! Pure: the caller passes the time, and keyed hashes instead of addresses. The tables are
//! bounded. A client is known for two minutes after its last request, a network with several
//! clients for an hour, and a source for a day.

mod blame;
mod crowds;
mod demand;
mod episodes;
mod kinds;
mod saved;
mod settings;
mod sources;
mod tally;
mod visitors;
mod votes;

use std::time::{Instant, SystemTime};

use crate::geoip::CountryCode;
use crate::matching::SourceRecord;
use crate::metrics::labels::{MatchOutcome, Rendezvous};
use crate::metrics::{EpisodeCounts, HourlyHash};
use crate::policy::RuleSet;
use crate::wire::nat::NatClass;
use crate::wire::proxy::{ProxyType, ProxyTypes};

pub use demand::Demand;
pub use kinds::MatchKind;
pub use saved::{InvalidSavedOutcomes, SavedOutcomes};
pub use settings::Settings;

use blame::BlameChange;
use kinds::Kinds;
use sources::{Evidence, SourceHistories};
use visitors::{Ended, RecentClients};
use votes::Votes;

/// A client, without its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutcomeClient {
    /// Stands for its address and the bridge that it wants; `None` if the address is not
    /// known, and then nor is the outcome.
    pub id: Option<u64>,
    /// The number that stood for them before the last change of the key.
    pub earlier_id: Option<u64>,
    /// Stands for its address alone, if that is known.
    pub address: Option<HourlyHash>,
    /// Stands for its offer.
    pub offer: u64,
    /// Stands for its address as a voter on sources. `None` if nobody vouches for the
    /// address, since whoever can invent one could vote as often as he likes.
    pub voter: Option<u64>,
    /// Its country.
    pub country: CountryCode,
    /// Its NAT class.
    pub class: NatClass,
    /// The way on which its request came.
    pub rendezvous: Rendezvous,
}

/// A proxy of this broker that had an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatchedProxy {
    /// Its source, if that is known.
    pub source: Option<u64>,
    /// Its type.
    pub proxy_type: ProxyType,
    /// The class of the pool from which it came.
    pub class: NatClass,
    /// The rules of the policy that decided the match.
    pub decided: RuleSet,
}

/// The numbers of matches with each outcome. All that were answered are worked, failed,
/// unknown or open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutcomeTotals {
    /// Matches that were answered in time.
    pub answered: u64,
    /// Answered matches whose client did not come back.
    pub worked: u64,
    /// Answered matches whose client came back.
    pub failed: u64,
    /// Answered matches whose outcome cannot be known.
    pub unknown: u64,
    /// Offers that were not answered in time.
    pub unanswered: u64,
}

/// A match whose outcome has become known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedMatch {
    /// The client.
    pub client: OutcomeClient,
    /// The proxy; `None` if it is a peer's.
    pub proxy: Option<MatchedProxy>,
    /// The outcome.
    pub outcome: MatchOutcome,
}

impl OutcomeTotals {
    fn count(&mut self, outcome: MatchOutcome) {
        *match outcome {
            MatchOutcome::Worked => &mut self.worked,
            MatchOutcome::Failed => &mut self.failed,
            MatchOutcome::Unknown => &mut self.unknown,
            MatchOutcome::Unanswered => &mut self.unanswered,
        } += 1;
    }
}

/// The outcomes of matches, and what is known of sources by them.
#[derive(Debug)]
pub struct Outcomes {
    settings: Settings,
    visitors: RecentClients,
    sources: SourceHistories,
    kinds: Kinds,
    votes: Votes,
    totals: OutcomeTotals,
}

impl Outcomes {
    /// Knows nothing yet.
    pub fn new(now: Instant, settings: Settings) -> Self {
        Self {
            visitors: RecentClients::new(now, settings.max_clients),
            sources: SourceHistories::new(now, settings.max_sources),
            kinds: Kinds::new(now),
            votes: Votes::new(now),
            totals: OutcomeTotals::default(),
            settings,
        }
    }

    /// Replaces the settings.
    pub fn set_settings(&mut self, settings: Settings) {
        self.visitors.set_max(settings.max_clients);
        self.sources.set_max(settings.max_sources);
        self.settings = settings;
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The totals since the start.
    pub fn totals(&self) -> OutcomeTotals {
        self.totals
    }

    /// The numbers of clients and of sources that are known.
    pub fn sizes(&self) -> [usize; 2] {
        [self.visitors.len(), self.sources.len()]
    }

    /// The different clients of the last two minutes.
    pub fn demand(&self) -> Demand {
        self.visitors.demand()
    }

    /// The episodes of clients that began or were decided since the last call.
    pub fn take_episodes(&mut self) -> EpisodeCounts {
        self.visitors.take_episodes()
    }

    /// Handles a client's request. If it was matched before, this may show that the match
    /// has failed.
    pub fn handle_client(&mut self, now: Instant, client: &OutcomeClient) -> Option<EndedMatch> {
        let ended = self.visitors.came(now, client)?;
        Some(self.end(now, ended))
    }

    /// Handles a proxy's answer, which the client has in time. Returns a match whose result
    /// cannot be known any more: this one or the client's last one.
    pub fn handle_answer(
        &mut self,
        now: Instant,
        client: OutcomeClient,
        proxy: Option<MatchedProxy>,
    ) -> Option<EndedMatch> {
        self.totals.answered += 1;
        let blame = self.visitors.convict(&client);
        self.change_blame(now, &client, &blame);
        let ended = self.visitors.answered(now, client, proxy)?;
        Some(self.end(now, ended))
    }

    /// Handles a reply to a client that is not an answer.
    pub fn handle_refusal(&mut self, now: Instant, client: &OutcomeClient) {
        self.visitors.refused(now, client);
    }

    /// Handles an offer that the proxy did not answer in time. If others have not answered
    /// the client either, the client is more likely to blame.
    pub fn handle_unanswered(
        &mut self,
        now: Instant,
        client: &OutcomeClient,
        proxy: &MatchedProxy,
    ) -> EndedMatch {
        let has_vote = self.takes_vote(now, client, proxy, false);
        let blame = self.visitors.unanswered(client, *proxy, has_vote);
        self.change_blame(now, client, &blame);
        self.ended(*client, Some(*proxy), MatchOutcome::Unanswered)
    }

    /// Forgets what is old. Returns the matches that have worked, because their clients did
    /// not come back.
    pub fn advance(&mut self, now: Instant) -> Vec<EndedMatch> {
        self.sources.advance(now);
        self.votes.advance(now);
        let ended = self.visitors.advance(now).into_iter();
        ended.map(|ended| self.end(now, ended)).collect()
    }

    /// The record with which a poll of this source goes to the engine.
    pub fn record(&self, now: Instant, source: u64) -> SourceRecord {
        if !self.settings.learn {
            return SourceRecord::default();
        }
        self.sources
            .record(now, source, self.kinds.share_of_all(now))
    }

    /// Returns true if a proxy of this source that says it is open serves only clients that
    /// a strict one can serve.
    pub fn counts_as_strict(&self, now: Instant, source: u64) -> bool {
        self.settings.learn && self.sources.counts_as_strict(now, source)
    }

    /// The knowledge of kinds of matches, to be saved.
    pub fn saved(&self, now: Instant, wall: SystemTime) -> SavedOutcomes {
        SavedOutcomes::new(wall, self.kinds.all(now))
    }

    /// Continues with what an earlier process knew of kinds of matches.
    pub fn restore(
        &mut self,
        now: Instant,
        wall: SystemTime,
        saved: &SavedOutcomes,
        types: &ProxyTypes,
    ) {
        let age = saved.age(wall);
        for (kind, counts) in saved.kinds(types) {
            self.kinds.restore(now, age, kind, counts);
        }
    }

    fn end(&mut self, now: Instant, (open, outcome): Ended) -> EndedMatch {
        let (client, proxy) = (open.client, open.proxy);
        let evidence = match outcome {
            MatchOutcome::Worked => Some(Evidence::Worked),
            MatchOutcome::Failed => {
                let weight = self.kinds.weight_of_failure(now, client.country);
                Some(Evidence::CameBack { weight })
            }
            MatchOutcome::Unknown | MatchOutcome::Unanswered => None,
        };
        if let (Some(proxy), Some(evidence)) = (&proxy, evidence)
            && self.takes_vote(now, &client, proxy, evidence == Evidence::Worked)
        {
            self.judge(now, &client, proxy, evidence);
        }
        self.ended(client, proxy, outcome)
    }

    fn ended(
        &mut self,
        client: OutcomeClient,
        proxy: Option<MatchedProxy>,
        outcome: MatchOutcome,
    ) -> EndedMatch {
        self.totals.count(outcome);
        EndedMatch {
            client,
            proxy,
            outcome,
        }
    }

    /// Takes the client's vote for the source of a proxy, or against it. Returns true if it
    /// had one.
    fn takes_vote(
        &mut self,
        now: Instant,
        client: &OutcomeClient,
        proxy: &MatchedProxy,
        is_for: bool,
    ) -> bool {
        let (Some(voter), Some(source)) = (client.voter, proxy.source) else {
            return false;
        };
        self.votes.is_first(now, voter, source, is_for)
    }

    fn change_blame(&mut self, now: Instant, client: &OutcomeClient, changes: &[BlameChange]) {
        for change in changes {
            let weight = change.weight;
            self.judge(now, client, &change.proxy, Evidence::Unanswered { weight });
        }
    }

    /// Counts a result, for which the client had a vote, for the kind of match and for the
    /// source.
    fn judge(
        &mut self,
        now: Instant,
        client: &OutcomeClient,
        proxy: &MatchedProxy,
        evidence: Evidence,
    ) {
        let Some(source) = proxy.source else {
            return;
        };
        let kind = MatchKind {
            proxy_type: proxy.proxy_type,
            proxy: proxy.class,
            client: client.class,
            country: client.country,
        };
        let (has_worked, weight) = evidence.for_kinds();
        self.kinds.add(now, kind, has_worked, weight);
        let prior = self.kinds.share_of(now, kind.proxy_type, kind.proxy);
        let classes = (kind.proxy, kind.client);
        self.sources.add(now, source, classes, evidence, prior);
    }
}
