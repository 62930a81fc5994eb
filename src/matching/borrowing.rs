//! Proxies that go from broker to broker: others' clients get ours, and ours get
//! others'.

use std::time::Instant;

use crate::wire::nat::NatClass;

use super::Matcher;
use super::deadlines::later;
use super::outputs::AnswerOutcome;
use super::sessions::{Borrower, ClientKey, ClientOffer, ClientState, Standing};

impl Matcher {
    /// A client of another broker asks for a proxy. The reply comes as an output,
    /// at once or later.
    pub fn handle_borrower(
        &mut self,
        now: Instant,
        borrower: Borrower,
        offer: ClientOffer,
    ) -> ClientKey {
        let latest = later(now, self.settings.client_timeout);
        let standing = Standing::Borrower {
            reserve: borrower.reserve,
            earlier_hand_offs: borrower.attempt.saturating_sub(1),
        };
        self.admit(now, offer, borrower.deadline.min(latest), standing)
    }

    /// A client asks for a proxy here while another broker has its offer already.
    /// The reply comes as an output, at once or later.
    pub fn handle_borrowing_client(
        &mut self,
        now: Instant,
        arrived: Instant,
        offer: ClientOffer,
    ) -> ClientKey {
        let deadline = later(arrived, self.settings.client_timeout);
        self.admit(now, offer, deadline, Standing::Borrowing)
    }

    /// Another broker is asked for an overdue client's second chance.
    pub fn handle_borrowing(&mut self, now: Instant, key: ClientKey) {
        self.handle_timeout(now);
        let Some(client) = self.sessions.client_mut(key) else {
            return;
        };
        if client.standing == Standing::Own {
            client.standing = Standing::Borrowing;
            client.hand_offs += 1;
            self.leave_overdue(key);
        }
    }

    /// No other broker had a proxy for the client; it does not count.
    pub fn handle_not_borrowed(&mut self, now: Instant, key: ClientKey) {
        self.handle_timeout(now);
        let Some(client) = self.sessions.client_mut(key) else {
            return;
        };
        if client.standing != Standing::Borrowing {
            return;
        }
        client.standing = Standing::Own;
        client.hand_offs -= 1;
        if client.state == ClientState::Matched {
            self.leave_overdue(key);
            self.offer_again(now, key);
        }
    }

    /// The proxy of another broker has answered the client. What ours still
    /// answer is late.
    pub fn handle_borrowed(&mut self, now: Instant, key: ClientKey) {
        self.handle_timeout(now);
        self.remove_client(now, key, AnswerOutcome::Beaten);
    }

    /// Whether the client waits for a first proxy, which no other broker was asked
    /// for.
    pub fn is_queued(&self, key: ClientKey) -> bool {
        let client = self.sessions.client(key);
        client.is_some_and(|client| {
            client.state == ClientState::Unmatched && client.standing == Standing::Own
        })
    }

    /// Whether a client of this class that came now would be given a proxy at
    /// once.
    pub fn has_idle_proxy(&self, class: NatClass) -> bool {
        self.pools.best_for(class, 0).is_some()
    }

    /// How many parked polls of a pool there are beyond a reserve.
    pub fn parked_beyond(&self, reserve: usize, pool: NatClass) -> usize {
        self.pools.len_of(pool).saturating_sub(reserve)
    }

    /// Whether a client that came at `arrived` has time for one more proxy.
    pub fn has_time(&self, now: Instant, arrived: Instant) -> bool {
        let deadline = later(arrived, self.settings.client_timeout);
        later(now, self.settings.min_answer_time) <= deadline
    }
}
