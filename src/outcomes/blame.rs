//! The blame for offers that nobody answers: the proxies', or the client's.

use super::MatchedProxy;
use crate::policy::RuleSet;
use crate::wire::nat::NatClass;
use crate::wire::proxy::ProxyType;

/// The blame of a proxy that alone has left a client's offers unanswered.
const WHOLE: f64 = 1.0;
/// The blame of each of several that have: more likely than all of them, the client is to
/// blame, whose offers may be such that nobody can answer them.
const SHARED: f64 = 0.25;
/// The most proxies that are remembered of a client.
const REMEMBERED_MAX: usize = 4;

/// A change of the blame of a proxy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct BlameChange {
    pub(super) proxy: MatchedProxy,
    /// Negative if it is to blame for less than was thought.
    pub(super) weight: f64,
}

/// A proxy that has left an offer unanswered, without what is not needed to judge it.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    source: Option<u64>,
    proxy_type: ProxyType,
    class: NatClass,
    /// True if the client had a vote against it.
    is_blamed: bool,
}

/// The proxies that have left a client's offers unanswered since its last answer.
///
/// The first one is blamed at once, since many clients get no second proxy. Once a second
/// one has failed, too, both share the blame with the client. An answer shows that the client
/// was not at fault: then each has all the blame. So whoever swallows offers gains only from
/// clients that nobody answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Suspects(Vec<Suspect>);

impl Suspects {
    /// Adds a proxy. `has_vote` is true if the client has a vote against it.
    pub(super) fn add(&mut self, proxy: MatchedProxy, has_vote: bool) -> Vec<BlameChange> {
        let is_same = |suspect: &Suspect| proxy.source.is_some() && suspect.source == proxy.source;
        if self.0.iter().any(is_same) {
            return Vec::new();
        }
        let suspect = Suspect {
            source: proxy.source,
            proxy_type: proxy.proxy_type,
            class: proxy.class,
            is_blamed: has_vote,
        };
        let changes = match self.0.len() {
            0 => vec![suspect.change(WHOLE)],
            1 => vec![self.0[0].change(SHARED - WHOLE), suspect.change(SHARED)],
            _ => vec![suspect.change(SHARED)],
        };
        if self.0.len() < REMEMBERED_MAX {
            self.0.push(suspect);
        }
        changes.into_iter().flatten().collect()
    }

    /// Forgets all, because another proxy has answered the client.
    pub(super) fn convict(&mut self) -> Vec<BlameChange> {
        let suspects = std::mem::take(&mut self.0);
        if suspects.len() < 2 {
            return Vec::new();
        }
        let changes = suspects
            .iter()
            .map(|suspect| suspect.change(WHOLE - SHARED));
        changes.flatten().collect()
    }
}

impl Suspect {
    fn change(&self, weight: f64) -> Option<BlameChange> {
        let proxy = MatchedProxy {
            source: self.source,
            proxy_type: self.proxy_type,
            class: self.class,
            decided: RuleSet::NONE,
        };
        self.is_blamed.then_some(BlameChange { proxy, weight })
    }
}
