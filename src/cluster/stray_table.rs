//! Stray answers in progress, and the outcomes that are remembered.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::metrics::labels::{DroppedMessage, PeerName, StrayAnswerFate};
use crate::proto::cluster::v1;

use super::convert;
use super::members::Sender;

/// The time for which the outcome of another node's stray answer is remembered, in case its
/// message is doubled.
const REMEMBERED_FOR: Duration = Duration::from_secs(3);
/// The maximum number of remembered outcomes, and of our own stray answers in progress.
const STRAYS_MAX: usize = 10_000;

/// The replies to a stray answer of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StrayProgress {
    /// The nodes that have not replied.
    waiting_for: BTreeSet<PeerName>,
    pub(super) fate: StrayAnswerFate,
}

/// The stray answers in progress: ours, and the outcomes of other nodes'.
#[derive(Debug, Default)]
pub(super) struct Strays {
    ours: HashMap<u64, watch::Sender<StrayProgress>>,
    remembered: HashMap<StrayKey, (Instant, StrayAnswerFate)>,
}

/// A stray answer of a process of a node.
pub(super) type StrayKey = (PeerName, u64, u64);

impl Strays {
    /// Begins a stray answer of ours, if there are not too many. Replies of these nodes are
    /// awaited.
    pub(super) fn begin(
        &mut self,
        id: u64,
        waiting_for: BTreeSet<PeerName>,
    ) -> Option<watch::Receiver<StrayProgress>> {
        if waiting_for.is_empty() || self.ours.len() >= STRAYS_MAX {
            return None;
        }
        let (sender, progress) = watch::channel(StrayProgress {
            waiting_for,
            fate: StrayAnswerFate::Unknown,
        });
        self.ours.insert(id, sender);
        Some(progress)
    }

    /// Ends a stray answer of ours.
    pub(super) fn end(&mut self, id: u64) {
        self.ours.remove(&id);
    }

    /// The outcome of another node's stray answer, if its message has come before; an error if
    /// too many are remembered.
    pub(super) fn known(&self, key: &StrayKey) -> Result<Option<StrayAnswerFate>, DroppedMessage> {
        let known = self.remembered.get(key).map(|(_, fate)| *fate);
        if known.is_none() && self.remembered.len() >= STRAYS_MAX {
            return Err(DroppedMessage::Overloaded);
        }
        Ok(known)
    }

    /// Remembers the outcome of another node's stray answer.
    pub(super) fn remember(&mut self, now: Instant, key: StrayKey, fate: StrayAnswerFate) {
        self.remembered.insert(key, (now + REMEMBERED_FOR, fate));
    }

    /// Forgets the outcomes that are too old.
    pub(super) fn expire(&mut self, now: Instant) {
        self.remembered.retain(|_, (until, _)| *until > now);
    }

    /// Handles a node's reply to a stray answer of ours.
    pub(super) fn replied(&self, sender: Sender<'_>, reply: v1::StrayAnswerReply) {
        let Some(ours) = self.ours.get(&reply.id) else {
            return;
        };
        let fate = convert::fate(reply.outcome());
        ours.send_if_modified(|progress| progress.replied(sender.node, fate));
    }

    pub(super) fn len(&self) -> usize {
        self.ours.len()
    }
}

impl StrayProgress {
    fn replied(&mut self, node: &str, fate: StrayAnswerFate) -> bool {
        let was_waited_for = self.waiting_for.remove(&PeerName::from(node));
        if was_waited_for && fate != StrayAnswerFate::Unknown {
            self.fate = fate;
        }
        was_waited_for
    }

    pub(super) fn is_complete(&self) -> bool {
        self.waiting_for.is_empty() || self.fate != StrayAnswerFate::Unknown
    }
}
