//! The matching engine: which client gets which proxy, here or with a peer. It
//! opens nothing, sleeps never and reads no clock; it is stepped with `now` and
//! says what is to be done.
//!
//! # The run loop
//!
//! Whoever owns a [`Matcher`]
//!
//! 1. calls one `handle_*` method, or [`Matcher::handle_timeout`] when the time
//!    of [`Matcher::poll_timeout`] has come,
//! 2. then takes [`Matcher::next_output`] until it is `None`: passes each reply on
//!    to the request that waits for it, and asks peers where an output says so,
//! 3. then looks at [`Matcher::poll_timeout`] again, for it may have moved.
//!
//! `now` must not run backwards. Each `handle_*` first does what time has made
//! due, soonest first, so that nobody gains by a timer that is served late: what
//! comes at its deadline or after is late, whoever looked first.
//!
//! # The states of a poll
//!
//! A proxy's poll is *parked* in the pool of its NAT until a client comes or its
//! time is up. It is then *offered* the client: the hand-off. A poll whose offer
//! has ended is remembered a while as *closed*, to tell late answers from unknown
//! ones.
//!
//! # The states of a client
//!
//! A client of ours is in the engine from its arrival to its reply, wherever its
//! offer is:
//!
//! ```text
//!                    a proxy is idle here        ┌──> handed off ──┐
//! arrival ─┬─────────────────────────────────────┘                 ├─> overdue
//!          │         a peer says to have one     ┌──> asked of ────┘
//!          ├─────────────────────────────────────┘    peers
//!          └─ queued ──> denied        (a proxy polls, or a peer has one: as above)
//! ```
//!
//! - *Queued* (unmatched): nobody has its offer. It waits for a proxy that polls
//!   here, or for a peer to have one ([`Matcher::handle_peer_supply`]), for
//!   `client_queue_wait` and no longer than a proxy could still answer. Peers are
//!   asked in this state once: then they had nothing, whatever they say.
//! - *Handed off*: a proxy here has its offer, as attempt `n`.
//! - *Asked of peers*: an [`AskPeer`] is under way, as attempt `n`. It ends by
//!   [`Matcher::handle_peer_reply`].
//! - *Overdue*: `rematch_after` after its last attempt began there is no answer.
//!   It gets one more proxy (the rematch) if it has had fewer than `max_attempts`
//!   and time is left: one that is idle here, else of peers, else the next that
//!   polls here and serves nobody who is queued.
//!
//! Handed off, asked and overdue go together, in any number that `max_attempts`
//! allows; to be in one of them is to be *matched*. The first answer wins, and
//! what comes after it is late. An attempt that comes to nothing, because the proxy
//! was gone or no peer had one, does not count; if it was the last one under way,
//! the client is queued again. One of peers after which a proxy may have had the
//! offer does count, as one.
//!
//! A client ends with an answer; *denied* if nobody has had its offer when its
//! place in the queue ends; *timed out* at its deadline, or where it would be
//! denied and a peer's proxy may have had the offer; or by leaving.
//!
//! A client of another broker is a [`Borrower`]: it gets a proxy beyond the
//! reserve at once, or none; it is never queued or passed on, and never takes a
//! poll from our own clients, who are queued whenever no poll is parked for them.
//!
//! # The end
//!
//! An engine that is about to stop is first a *lame duck*: it parks no poll, but
//! clients are served from those that are parked, and a poll that comes is given
//! a client that waits for one. Then it is *draining*: nobody is matched any
//! more, no peer is asked, and only the answers still due are taken.

mod deadlines;
mod ending;
mod hand_off;
mod outputs;
mod peers;
mod policy;
mod pool;
mod queue;
mod requests;
mod sessions;
mod settings;
mod snapshot;

use std::time::Instant;

use crate::wire::nat::NatClass;
use crate::wire::proxy::{ProxyPoll, ProxyType, Sid};
use crate::wire::session_description::SessionDescription;

pub use outputs::{
    AnswerOutcome, Answered, AskPeer, ClientReply, Denied, HandOff, MatchingEvent, NoMatch, Output,
    ParkedPoll, PollReply, Snapshot,
};
pub use policy::pools_for;
pub use requests::{
    Borrower, ClientKey, ClientOffer, PeerReply, PollKey, ServiceStage, SupplyHint,
};
pub use settings::Settings;

use deadlines::{Deadlines, Timer, later};
use outputs::Outputs;
use pool::Pools;
use queue::ClientQueue;
use sessions::{Client, ClientOrigin, ClientState, PeerAttempts, Poll, PollState, Sessions};

/// A poll whose `Sid` is parked already or waits for its answer to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Sid is already in use")]
pub struct SidInUse;

/// The engine. See the [module's documentation](self) for how to run it.
#[derive(Debug)]
pub struct Matcher {
    settings: Settings,
    sessions: Sessions,
    pools: Pools,
    queued: ClientQueue,
    overdue: ClientQueue,
    deadlines: Deadlines,
    outputs: Outputs,
    arrivals: u64,
    stage: ServiceStage,
}

impl Matcher {
    /// An engine in which nothing waits.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            sessions: Sessions::default(),
            pools: Pools::default(),
            queued: ClientQueue::default(),
            overdue: ClientQueue::default(),
            deadlines: Deadlines::default(),
            outputs: Outputs::default(),
            arrivals: 0,
            stage: ServiceStage::default(),
        }
    }

    /// A proxy polls; its request arrived at `arrived`. The reply comes as an
    /// output, at once or later.
    pub fn handle_poll(
        &mut self,
        now: Instant,
        arrived: Instant,
        poll: &ProxyPoll,
    ) -> Result<PollKey, SidInUse> {
        self.handle_timeout(now);
        if self.sessions.is_in_use(&poll.sid) {
            return Err(SidInUse);
        }
        let arrival = self.next_arrival();
        let key = self.sessions.insert_poll(Poll {
            sid: poll.sid,
            proxy_type: poll.proxy_type,
            nat: poll.nat,
            clients: poll.clients,
            arrival,
            deadline: later(arrived, self.settings.proxy_timeout),
            state: PollState::Parked,
        });
        if self.stage == ServiceStage::Draining {
            self.end_poll(key, NoMatch::NotParked);
        } else if let Some(client) = self.take_client_for(now, NatClass::of(poll.nat)) {
            self.hand_off(now, key, client);
        } else if self.stage == ServiceStage::LameDuck {
            self.end_poll(key, NoMatch::NotParked);
        } else if self.pools.len() >= self.settings.max_parked_polls {
            self.end_poll(key, NoMatch::Overloaded);
        } else {
            self.park(key);
        }
        Ok(key)
    }

    /// A client asks for a proxy; its request arrived at `arrived`, and peers have
    /// so much for it. The reply comes as an output, at once or later.
    pub fn handle_client(
        &mut self,
        now: Instant,
        arrived: Instant,
        offer: ClientOffer,
        supply: SupplyHint,
    ) -> ClientKey {
        let deadline = later(arrived, self.settings.client_timeout);
        self.admit(now, offer, deadline, ClientOrigin::Own, supply)
    }

    fn admit(
        &mut self,
        now: Instant,
        offer: ClientOffer,
        deadline: Instant,
        origin: ClientOrigin,
        supply: SupplyHint,
    ) -> ClientKey {
        self.handle_timeout(now);
        let arrival = self.next_arrival();
        let key = self.sessions.insert_client(Client {
            offer,
            origin,
            arrival,
            deadline,
            state: ClientState::Unmatched,
            offered_to: Vec::new(),
            hand_offs: origin.earlier_hand_offs(),
            peers: PeerAttempts::none_yet(supply),
            wake: None,
        });
        if !self.serves(origin) {
            self.deny(key, Denied::Draining);
        } else if deadline <= now {
            self.deny(key, Denied::NoTimeLeft);
        } else if self.sessions.matched_clients() >= self.settings.max_matched_clients {
            self.deny(key, Denied::Overloaded);
        } else {
            let until = later(now, self.settings.client_queue_wait);
            self.match_or_queue(now, key, until);
        }
        key
    }

    /// A proxy answers the offer that it was handed under `sid`.
    pub fn handle_answer(
        &mut self,
        now: Instant,
        sid: &Sid,
        answer: SessionDescription,
    ) -> AnswerOutcome {
        self.handle_timeout(now);
        let (proxy_type, outcome) = match self.sessions.poll_by_sid(sid) {
            None => (ProxyType::Unknown, AnswerOutcome::Unknown),
            Some((key, poll)) => {
                let proxy_type = poll.proxy_type;
                let outcome = match poll.state {
                    PollState::Parked => AnswerOutcome::Unknown,
                    PollState::Closed(outcome) => outcome,
                    PollState::Offered(offered) => self.deliver(now, key, offered, answer),
                };
                (proxy_type, outcome)
            }
        };
        self.outputs.event(MatchingEvent::Answer {
            proxy_type,
            outcome,
        });
        outcome
    }

    /// The request of a poll has ended before its reply was taken: the proxy's
    /// connection is gone. If it was handed an offer, the next proxy gets it.
    pub fn handle_poll_gone(&mut self, now: Instant, key: PollKey) {
        self.handle_timeout(now);
        let Some(poll) = self.sessions.poll(key) else {
            return;
        };
        match poll.state {
            PollState::Parked => {
                self.unpark(key);
                self.sessions.remove_poll(key);
                self.outputs.event(MatchingEvent::PollAbandoned);
            }
            PollState::Offered(offered) => {
                self.sessions.remove_poll(key);
                self.outputs.event(MatchingEvent::HandOffFailed);
                self.retry(now, offered.client, key);
            }
            PollState::Closed(_) => {}
        }
    }

    /// The request of a client has ended before its reply was taken.
    pub fn handle_client_gone(&mut self, now: Instant, key: ClientKey) {
        self.handle_timeout(now);
        if self
            .remove_client(now, key, AnswerOutcome::ClientLeft)
            .is_some()
        {
            self.outputs.event(MatchingEvent::ClientAbandoned);
        }
    }

    /// The time at which [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Does all that is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.sessions.forget_closed(now);
        while let Some(timer) = self.deadlines.pop_due(now) {
            match timer {
                Timer::Poll(_, key) => {
                    self.unpark(key);
                    self.end_poll(key, NoMatch::Idle);
                }
                Timer::Client(_, key) => self.handle_client_timer(now, key),
            }
        }
    }

    /// The next reply or event, in the order in which they came about.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.next()
    }

    /// Replaces the settings; what waits already keeps its deadlines.
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    fn next_arrival(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    fn park(&mut self, key: PollKey) {
        let Some(poll) = self.sessions.poll(key) else {
            return;
        };
        self.pools.insert(key, poll);
        let timer = Timer::Poll(poll.arrival, key);
        self.deadlines.insert(poll.deadline, timer);
    }

    fn unpark(&mut self, key: PollKey) {
        let Some(poll) = self.sessions.poll(key) else {
            return;
        };
        self.pools.remove(poll);
        let timer = Timer::Poll(poll.arrival, key);
        self.deadlines.remove(poll.deadline, timer);
    }

    fn end_poll(&mut self, key: PollKey, reason: NoMatch) {
        self.sessions.remove_poll(key);
        self.outputs.poll(key, PollReply::NoMatch(reason));
    }
}
