//! Answers that came to another node than their polls. The node with the offer is not
//! known, so all are asked.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout_at;

use crate::broker::{Broker, SidDigest, clock};
use crate::metrics::labels::{DroppedMessage, PeerName, PrivatePoolName, StrayAnswerFate};
use crate::peers::protocol::pool_word;
use crate::proto::cluster::v1;
use crate::proto::cluster::v1::node_message::Body;
use crate::wire::proxy::Sid;
use crate::wire::session_description::SessionDescription;

use super::Cluster;
use super::convert::{self, LENGTH_MAX};
use super::members::Sender;
use super::nodes_of_pool::broker_of;
use super::stray_table::StrayProgress;

/// The time for which replies of the other nodes are awaited.
const PATIENCE: Duration = Duration::from_millis(300);

/// A stray answer of ours in progress; forgotten when dropped.
struct StraySearch<'a> {
    cluster: &'a Cluster,
    id: u64,
    progress: watch::Receiver<StrayProgress>,
}

impl Drop for StraySearch<'_> {
    fn drop(&mut self) {
        self.cluster.state().strays.end(self.id);
    }
}

impl Cluster {
    /// Asks all other nodes for the offer that the answer is for.
    pub(super) async fn search(
        &self,
        private_pool: Option<&PrivatePoolName>,
        sid: Sid,
        answer: String,
    ) -> StrayAnswerFate {
        let until = clock::now() + PATIENCE;
        let begun = self.begin_search(answer.len());
        let (Some(mut search), Some(digest)) = (begun, self.keys.digest(&sid)) else {
            return StrayAnswerFate::Unknown;
        };
        let stray = v1::StrayAnswer {
            id: search.id,
            sid_digest: digest.as_bytes().to_vec(),
            answer,
            deadline_ms: self.millis(until),
            private_pool: pool_word(private_pool),
        };
        let sent = self.send(self.subjects.answers(), Body::StrayAnswer(stray));
        if sent.is_err() {
            return StrayAnswerFate::Unknown;
        }
        let complete = search.progress.wait_for(StrayProgress::is_complete);
        let complete = timeout_at(until.into(), complete).await;
        // Some may be silent, but none of the others has the offer.
        complete.map_or(StrayAnswerFate::Unknown, |progress| {
            progress.map_or(StrayAnswerFate::Unknown, |progress| progress.fate)
        })
    }

    fn begin_search(&self, length: usize) -> Option<StraySearch<'_>> {
        let mut state = self.state();
        if !state.echo.is_heard(clock::now()) || length > LENGTH_MAX {
            return None;
        }
        let id = state.next_id();
        let names = state.members.names();
        let progress = state.strays.begin(id, names)?;
        Some(StraySearch {
            cluster: self,
            id,
            progress,
        })
    }

    /// Handles an answer that came to another node, and replies.
    pub(super) fn handle_stray(
        &self,
        broker: &Arc<Broker>,
        sender: Sender<'_>,
        stray: &v1::StrayAnswer,
    ) -> Result<(), DroppedMessage> {
        let now = clock::now();
        let node = PeerName::from(sender.node);
        let key = (node.clone(), sender.incarnation, stray.id);
        let mut state = self.state();
        let age = state.members.age(now, sender).ok_or(DroppedMessage::Late)?;
        let given = stray.deadline_ms.saturating_sub(sender.sent_at_ms);
        if age >= Duration::from_millis(given) {
            return Err(DroppedMessage::Late);
        }
        let known = state.strays.known(&key)?;
        drop(state);
        let fate = match known {
            Some(fate) => fate,
            None => deliver(broker, stray)?,
        };
        self.state().strays.remember(now, key, fate);
        let outcome = convert::outcome(fate).into();
        let id = stray.id;
        self.reply(
            &node,
            Body::StrayAnswerReply(v1::StrayAnswerReply { id, outcome }),
        );
        Ok(())
    }
}

fn deliver(
    broker: &Arc<Broker>,
    stray: &v1::StrayAnswer,
) -> Result<StrayAnswerFate, DroppedMessage> {
    let digest = SidDigest::from_bytes(&stray.sid_digest).ok_or(DroppedMessage::Malformed)?;
    if stray.answer.len() > LENGTH_MAX {
        return Err(DroppedMessage::Malformed);
    }
    let answer = match stray.answer.as_str() {
        "" => None,
        text => Some(SessionDescription::parse(text).map_err(|_| DroppedMessage::Malformed)?),
    };
    let broker = broker_of(broker, &stray.private_pool);
    Ok(broker.map_or(StrayAnswerFate::Unknown, |broker| {
        broker.stray_answer(digest, answer)
    }))
}
