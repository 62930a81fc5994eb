//! The proof that a process is there. Whoever listens on the bus can repeat what a node has said
//! long after it is gone: sealed words prove who has spoken, not when.
//!
//! So a process that is not known yet is challenged, and replies with its supply and the time of
//! the challenge, on the clock of who has asked. Nobody else can seal such a reply, and one that is
//! repeated names a time that is past. Nothing has to be kept for that.

use std::time::{Duration, Instant};

use crate::broker::{Broker, clock};
use crate::proto::cluster::v1;
use crate::proto::cluster::v1::node_message::Body;

use super::Cluster;
use super::members::Sender;

/// The time within which a challenge has to be replied to.
const REPLY_WITHIN: Duration = Duration::from_secs(2);

impl Cluster {
    /// Asks a process that is not known for a proof that it is there, at most five times a second.
    pub(super) fn challenge(&self, sender: Sender<'_>) {
        if self.state().proofs.challenge(clock::now(), sender) {
            let challenge = v1::Challenge {
                incarnation: sender.incarnation,
            };
            drop(self.send_to(sender.node, Body::Challenge(challenge)));
        }
    }

    /// Replies to a challenge, if this process is meant.
    pub(super) fn reply_to_challenge(
        &self,
        broker: &Broker,
        sender: Sender<'_>,
        challenge: v1::Challenge,
    ) {
        if challenge.incarnation != self.me.incarnation {
            return;
        }
        let is_due = self.state().proofs.reply(clock::now(), sender);
        if is_due {
            let proof = v1::Proof {
                incarnation: sender.incarnation,
                asked_at_ms: sender.sent_at_ms,
            };
            self.prove(broker, sender.node, proof);
        }
    }

    /// Returns true if a word of supply is the reply to a challenge of this process.
    pub(super) fn is_proven(&self, now: Instant, supply: &v1::Supply) -> bool {
        let Some(proof) = &supply.proof else {
            return false;
        };
        let since = self.millis(now).checked_sub(proof.asked_at_ms);
        proof.incarnation == self.me.incarnation
            && since.is_some_and(|since| Duration::from_millis(since) <= REPLY_WITHIN)
    }
}
