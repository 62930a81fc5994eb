//! Loans between brokers: peers' clients get our proxies, and our clients get peers'
//! proxies.

use std::time::{Duration, Instant};

use crate::policy::RuleSet;

use super::Matcher;
use super::deadlines::later;
use super::hand_off::next_attempt_at;
use super::outputs::{AnswerOutcome, Answered, AskPeer, ClientReply};
use super::requests::{Borrower, ClientKey, ClientOffer, PeerReply, ServiceStage, SupplyHint};
use super::sessions::{Client, ClientOrigin, ClientState};

/// The time before its client's deadline at which a peer gives up, for the way back.
const PEER_MARGIN: Duration = Duration::from_millis(200);

impl Matcher {
    /// Accepts a peer's client. The reply follows as an output, immediately or later.
    pub fn handle_borrower(
        &mut self,
        now: Instant,
        borrower: Borrower,
        offer: ClientOffer,
    ) -> ClientKey {
        let latest = later(now, self.settings.client_timeout);
        let origin = ClientOrigin::Borrower {
            reserve: borrower.reserve,
            earlier_hand_offs: borrower.attempt.saturating_sub(1),
        };
        let deadline = borrower.deadline.min(latest);
        self.admit(now, offer, deadline, origin, SupplyHint::NoPeers)
    }

    /// Notes that a peer reports a proxy for the client. If the client is queued, asks the
    /// peers now, unless they were asked and one may have had the offer.
    pub fn handle_peer_supply(&mut self, now: Instant, key: ClientKey) {
        self.handle_timeout(now);
        let Some(client) = self.sessions.client_mut(key) else {
            return;
        };
        client.peers.supplied();
        let (state, queued_until) = (client.state, client.wake);
        if state == ClientState::Unmatched && self.may_ask_first(now, key) {
            self.stop_waiting(now, key, queued_until);
            self.ask_peers(now, key);
        }
    }

    /// Keeps what is left of a client's time in the queue for when the peers have refused it.
    fn stop_waiting(&mut self, now: Instant, key: ClientKey, queued_until: Option<Instant>) {
        if let (Some(client), Some(until)) = (self.sessions.client_mut(key), queued_until) {
            client.patience = until.saturating_duration_since(now);
        }
    }

    /// Handles the reply of the peers asked by an [`AskPeer`].
    pub fn handle_peer_reply(&mut self, now: Instant, key: ClientKey, reply: PeerReply) {
        self.handle_timeout(now);
        let Some(client) = self.sessions.client_mut(key) else {
            return;
        };
        if !client.peers.is_asked() {
            return;
        }
        match reply {
            PeerReply::Answered {
                answer,
                since_asked,
            } => {
                let answered = Answered {
                    answer,
                    attempts: client.attempts(),
                    since_hand_off: since_asked,
                    decided: RuleSet::NONE,
                };
                // Answers from proxies here are now late.
                self.remove_client(now, key, AnswerOutcome::Beaten);
                self.outputs.client(key, ClientReply::Answer(answered));
            }
            PeerReply::NotAsked | PeerReply::NoProxy | PeerReply::Unanswered => {
                client.peers.ended(reply == PeerReply::Unanswered);
                let until = later(now, client.patience);
                self.go_on(now, key, until, false);
            }
        }
        self.serve_released(now);
    }

    /// Returns true if peers should be asked for an unmatched client: once for each time that
    /// one reports a proxy, until one may have had the offer.
    pub(super) fn may_ask_first(&self, now: Instant, key: ClientKey) -> bool {
        let client = self.sessions.client(key);
        client.is_some_and(|client| client.peers.has_untried_supply() && self.may_ask(now, client))
    }

    /// Returns true if peers may be asked for an overdue client.
    pub(super) fn may_ask_again(&self, now: Instant, key: ClientKey) -> bool {
        let client = self.sessions.client(key);
        client.is_some_and(|client| client.peers.exist() && self.may_ask(now, client))
    }

    fn may_ask(&self, now: Instant, client: &Client) -> bool {
        let times = self.times_of_peers(client);
        self.stage != ServiceStage::Draining && times.is_some_and(|times| now <= times.last_call)
    }

    fn times_of_peers(&self, client: &Client) -> Option<PeerTimes> {
        let deadline = client.deadline.checked_sub(PEER_MARGIN)?;
        let last_call = deadline.checked_sub(self.settings.min_answer_time)?;
        Some(PeerTimes {
            deadline,
            last_call,
        })
    }

    /// Asks peers for a client, which counts as a hand-off while it lasts.
    pub(super) fn ask_peers(&mut self, now: Instant, key: ClientKey) {
        let client = self.sessions.client(key);
        let Some(times) = client.and_then(|client| self.times_of_peers(client)) else {
            return;
        };
        self.leave_queues(key);
        let Some(client) = self.sessions.ask_peers(key) else {
            return;
        };
        let ask = AskPeer {
            client: key,
            attempt: client.attempts(),
            deadline: times.deadline,
            last_call: times.last_call,
        };
        let wake = next_attempt_at(&self.settings, now, client);
        self.wake_client(key, wake);
        self.outputs.ask_peer(ask);
    }
}

/// The latest times at which peers can help a client.
struct PeerTimes {
    /// For an answer to arrive.
    deadline: Instant,
    /// For a peer to be asked.
    last_call: Instant,
}
