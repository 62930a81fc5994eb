//! The outcomes of the requests to A, as their senders saw them, in the terms of A's
//! metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// A kind of request. Private pools have counters of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Client,
    AmpClient,
    Proxy,
    Answer,
    PoolClient,
    PoolProxy,
    PoolAnswer,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// Its outcome, as its reply says.
    Known(&'static str),
    /// Its sender left before the reply.
    Left,
    /// It was sent without its end, so that it can only be refused, if it was counted at all.
    Unfinished,
    /// The connection ended before the reply, and not by its sender.
    Lost,
    /// No connection could be made.
    Unreached,
    /// The reply was for somebody else, or was damaged.
    Wrong,
}

/// Counts. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Tally(Arc<Mutex<BTreeMap<(Kind, Fate), u64>>>);

impl Tally {
    pub(crate) fn add(&self, kind: Kind, fate: Fate) {
        self.add_many(kind, fate, 1);
    }

    pub(crate) fn add_many(&self, kind: Kind, fate: Fate, count: u64) {
        *self.0.lock().unwrap().entry((kind, fate)).or_default() += count;
    }

    /// Counts a request anew that has been counted already.
    pub(crate) fn correct(&self, kind: Kind, before: Fate, now: Fate) {
        let mut counts = self.0.lock().unwrap();
        *counts.get_mut(&(kind, before)).unwrap() -= 1;
        *counts.entry((kind, now)).or_default() += 1;
    }

    pub(crate) fn count(&self, kind: Kind, fate: Fate) -> u64 {
        let counts = self.0.lock().unwrap();
        counts.get(&(kind, fate)).copied().unwrap_or_default()
    }

    /// The requests of a kind with a reply.
    pub(crate) fn replied(&self, kind: Kind) -> u64 {
        self.sum(|of, fate| of == kind && matches!(fate, Fate::Known(_)))
    }

    /// The requests of all kinds with this fate.
    pub(crate) fn all(&self, fate: Fate) -> u64 {
        self.sum(|_, of| of == fate)
    }

    fn sum(&self, is_meant: impl Fn(Kind, Fate) -> bool) -> u64 {
        let counts = self.0.lock().unwrap();
        let meant = counts
            .iter()
            .filter(|((kind, fate), _)| is_meant(*kind, *fate));
        meant.map(|(_, count)| count).sum()
    }
}
