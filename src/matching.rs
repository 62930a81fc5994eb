//! The matching engine: it decides which client gets which proxy, from this broker or
//! from a peer. It does no I/O, never sleeps and reads no clock: its owner calls it with
//! the current time and carries out its outputs.
//!
//! # Run loop
//!
//! The owner of a [`Matcher`] repeats these steps:
//!
//! 1. Call one `handle_*` method, or [`Matcher::handle_timeout`] at the time given by
//!    [`Matcher::poll_timeout`].
//! 2. Call [`Matcher::next_output`] until it returns `None`. Pass each reply to the
//!    request that waits for it, and ask peers if an output says so.
//! 3. Read [`Matcher::poll_timeout`] again, because it may have changed.
//!
//! `now` must never go backwards. Each `handle_*` method first carries out all timers
//! that are due, soonest first, so a timer that is served late gives nobody an advantage:
//! an event at its deadline or later is late.
//!
//! # States of a poll
//!
//! A proxy's poll is *parked* in the pool of its NAT class until a client arrives or the
//! poll's time is up. It is then *offered* the client, which is the hand-off. A poll
//! whose offer has ended stays known for a while as *closed*, so that late answers can be
//! told from unknown ones.
//!
//! # States of a client
//!
//! A client of this broker stays in the engine from its arrival to its reply, wherever
//! its offer is:
//!
//! ```text
//!                    a proxy is idle here        ┌──> handed off ──┐
//! arrival ─┬─────────────────────────────────────┘                 ├─> overdue
//!          │         a peer reports a proxy      ┌──> asked of ────┘
//!          ├─────────────────────────────────────┘    peers
//!          └─ queued ──> denied        (a proxy polls, or a peer has one: as above)
//! ```
//!
//! - *Queued* (unmatched): the offer is with nobody. The client waits for a proxy to poll
//!   here, or for a peer to report one ([`Matcher::handle_peer_supply`]), for
//!   `client_queue_wait` in all, however often peers refuse it meanwhile, and no longer than
//!   a proxy could still answer. In this state peers are asked once for each report of
//!   another proxy, until one may have had the offer.
//! - *Handed off*: a proxy here has the offer, as attempt `n`.
//! - *Asked of peers*: an [`AskPeer`] is in progress, as attempt `n`. It ends with
//!   [`Matcher::handle_peer_reply`].
//! - *Overdue*: no answer has come within `rematch_after` of the last attempt. The client
//!   gets another proxy (the rematch) if it has had fewer than `max_attempts` and there
//!   is time left: an idle proxy here, else a peer's, else the next proxy that polls here
//!   and can serve no queued client.
//!
//! A client may be handed off, asked of peers and overdue at the same time, for as many
//! attempts as `max_attempts` allows; in any of these states it is *matched*. The first
//! answer wins, and later answers are late. A failed attempt, because the proxy had gone
//! or no peer had one, does not count; if no other attempt is in progress, the client is
//! queued again. If a peer's proxy may have had the offer, the attempt counts as one.
//!
//! A client's end is an answer; a *denial*, if nobody has had its offer when its time in
//! the queue ends; a *time-out* at its deadline, or in place of a denial if a peer's
//! proxy may have had the offer; or its disconnection.
//!
//! A peer's client is a [`Borrower`]. It gets a proxy beyond the reserve at once, or
//! none. It is never queued or passed on, and never takes a poll from our own clients,
//! because these are queued only while no poll is parked that they may have.
//!
//! # Turns
//!
//! Each poll comes with its source's record ([`SourceRecord`]). Sources in a better [`Band`]
//! are before all others; now and then another one is tried, as it may have been mended.
//! Within a band, polls are served as they come, the least loaded first, until their source has
//! had its share of the pool's recent clients: then they come after all others, and such
//! sources take turns. What one source may have is limited, too ([`SupplySettings`]); at a
//! limit its new polls get no client, and its parked ones wait. A source that has failed
//! several times in a row rests, unless its pool would be left to nobody. Clients that wait are
//! served by their networks in turn. A client whose network is not known is weighed by its arrival.
//!
//! The second proxy of a client is never of a source that has had the offer, and is spared
//! where proxies are scarce until an honest first one would have answered.
//!
//! # Rules
//!
//! The operator's rules ([`crate::policy`]) apply by the marks that polls and clients come
//! with. In a pool, an arriving client looks at no more than 64 polls in the pool's order:
//! it takes the first that a rule prefers, else the first without a rule, else the first
//! that comes last, and never one that a rule denies. When a poll arrives and clients wait,
//! only denials count. So a client may be queued while polls are parked that it may not
//! have.
//!
//! # Shutdown
//!
//! An engine that is about to stop is first a *lame duck*: it parks no more polls, but
//! serves clients from the parked polls, and gives each new poll a waiting client if
//! there is one. Then it is *draining*: it makes no more matches and asks no more peers,
//! and accepts only answers that are still due.

mod answers;
mod busy;
mod deadlines;
mod ending;
mod explanation;
mod hand_off;
mod outputs;
mod parking;
mod past_turns;
mod peers;
mod policy;
mod pool;
mod queue;
mod requests;
mod sessions;
mod settings;
mod shares;
mod snapshot;
mod source_networks;
mod sources;
mod stand_ins;
mod standing;
mod supply;
mod turn_order;

use std::collections::BTreeSet;
use std::time::Instant;

use crate::policy::{Choice, PolicyMarks, RulesInForce};
use crate::wire::nat::NatClass;
use crate::wire::proxy::ProxyPoll;

pub use explanation::{PollView, PoolView};
pub use outputs::{
    AnswerOutcome, Answered, AskPeer, ClientReply, Denied, HandOff, MatchingEvent, NoMatch,
    OfferEnd, Output, OverShare, ParkedPoll, PollReply, Snapshot,
};
pub use policy::pools_for;
pub use requests::{
    Band, Borrower, ClientKey, ClientOffer, MatchTally, MatchesElsewhere, PeerReply, PollKey,
    ServiceStage, Source, SourceRecord, SupplyHint,
};
pub use settings::Settings;
pub use supply::SupplySettings;

use deadlines::{Deadlines, Timer, later};
use outputs::Outputs;
use pool::Pools;
use queue::WaitingClients;
use sessions::{Client, ClientOrigin, ClientState, PeerAttempts, Poll, PollState, Sessions};
use sources::SourceTable;
use standing::SourceKey;

/// The error for a poll whose `Sid` is already parked or has an answer outstanding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Sid is already in use")]
pub struct SidInUse;

/// The engine. The [module documentation](self) describes how to run it.
#[derive(Debug)]
pub struct Matcher {
    settings: Settings,
    sessions: Sessions,
    sources: SourceTable,
    /// The sources that may have clients again, and have polls that wait for that.
    released: BTreeSet<(u64, SourceKey)>,
    pools: Pools,
    /// The rules of the policy.
    rules: RulesInForce,
    waiting: WaitingClients,
    deadlines: Deadlines,
    outputs: Outputs,
    arrivals: u64,
    /// The number of idle polls that got a client.
    taken: u64,
    stage: ServiceStage,
}

impl Matcher {
    /// Creates an engine without polls or clients.
    pub fn new(settings: Settings) -> Self {
        let supply = SupplySettings::default();
        Self {
            settings,
            sessions: Sessions::default(),
            waiting: WaitingClients::new(supply.max_client_networks),
            sources: SourceTable::new(supply),
            released: BTreeSet::new(),
            pools: Pools::default(),
            rules: RulesInForce::default(),
            deadlines: Deadlines::default(),
            outputs: Outputs::default(),
            arrivals: 0,
            taken: 0,
            stage: ServiceStage::default(),
        }
    }

    /// Accepts a proxy's poll whose request arrived at `arrived`, from `source` if that is
    /// known, with marks for the rules of the policy. The reply follows as an output,
    /// immediately or later.
    pub fn handle_poll(
        &mut self,
        now: Instant,
        arrived: Instant,
        poll: &ProxyPoll,
        source: Option<Source>,
        marks: PolicyMarks,
    ) -> Result<PollKey, SidInUse> {
        self.handle_timeout(now);
        if self.sessions.is_in_use(&poll.sid) {
            return Err(SidInUse);
        }
        let source = source.map(|source| self.enter(now, source));
        let arrival = self.next_arrival();
        if let Some((closed, _)) = self.sessions.poll_by_sid(&poll.sid) {
            self.forget_closed(closed);
        }
        let key = self.sessions.insert_poll(Poll {
            sid: poll.sid,
            proxy_type: poll.proxy_type,
            nat: poll.nat,
            clients: poll.clients,
            source,
            marks,
            arrival,
            deadline: later(arrived, self.settings.proxy_timeout),
            state: PollState::Parked,
        });
        if self.stage == ServiceStage::Draining {
            self.end_poll(key, NoMatch::NotParked);
        } else if let Some(limit) = source.and_then(|source| self.refusal(now, source, poll.nat)) {
            self.end_poll(key, NoMatch::OverShare(limit));
        } else if let Some(client) =
            self.take_client_for(now, NatClass::of(poll.nat), source, marks)
        {
            self.hand_off(now, Choice::without_rules(key), client);
        } else if self.stage == ServiceStage::LameDuck {
            self.end_poll(key, NoMatch::NotParked);
        } else if self.pools.len() >= self.settings.max_parked_polls {
            self.end_poll(key, NoMatch::Overloaded);
        } else if source.is_some_and(|source| self.sources.is_parking_full(source.key)) {
            self.end_poll(key, NoMatch::OverShare(OverShare::Parked));
        } else {
            self.park(key);
        }
        Ok(key)
    }

    /// Accepts a client whose request arrived at `arrived`. `supply` says whether peers
    /// have proxies for it. The reply follows as an output, immediately or later.
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
            tried: Vec::new(),
            hand_offs: origin.earlier_hand_offs(),
            declines: 0,
            last_hand_off: now,
            is_held_back: false,
            peers: PeerAttempts::none_yet(supply),
            patience: self.settings.client_queue_wait,
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

    /// Handles the end of a poll's request before its reply was taken, because the proxy
    /// disconnected. If the poll was handed an offer, the next proxy gets it.
    pub fn handle_poll_gone(&mut self, now: Instant, key: PollKey) {
        self.handle_timeout(now);
        let Some(poll) = self.sessions.poll(key) else {
            return;
        };
        match poll.state {
            PollState::Parked => {
                self.unpark(key);
                self.remove_poll(key);
                self.outputs.event(MatchingEvent::PollAbandoned);
            }
            PollState::Offered(offered) => {
                let source = poll.source;
                self.sessions.remove_poll(key);
                self.settle(source);
                self.offer_ended(key, OfferEnd::Void);
                self.outputs.event(MatchingEvent::HandOffFailed);
                self.forget_attempt(offered.client, source);
                self.retry(now, offered.client, key);
            }
            PollState::Closed(_) => {}
        }
        self.serve_released(now);
    }

    /// Handles the end of a client's request before its reply was taken.
    pub fn handle_client_gone(&mut self, now: Instant, key: ClientKey) {
        self.handle_timeout(now);
        if self
            .remove_client(now, key, AnswerOutcome::ClientLeft)
            .is_some()
        {
            self.outputs.event(MatchingEvent::ClientAbandoned);
        }
        self.serve_released(now);
    }

    /// The time at which [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let expiry = self.sources.poll_timeout();
        expiry.into_iter().chain(self.deadlines.next()).min()
    }

    /// Carries out all timers that are due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(key) = self.sessions.next_to_forget(now) {
            self.forget_closed(key);
        }
        self.serve_released(now);
        while self.expire_or_wake(now) {
            self.serve_released(now);
        }
    }

    /// Carries out the first timer, if it is due. At the same moment limits end first.
    fn expire_or_wake(&mut self, now: Instant) -> bool {
        let expiry = self.sources.next_expiry().filter(|&at| at <= now);
        let timer = self.deadlines.next().filter(|&at| at <= now);
        if expiry.is_some_and(|expiry| timer.is_none_or(|timer| expiry <= timer)) {
            self.expire_match();
            return true;
        }
        let Some(timer) = self.deadlines.pop_due(now) else {
            return false;
        };
        match timer {
            Timer::Poll(_, key) => {
                self.unpark(key);
                self.end_poll(key, NoMatch::Idle);
            }
            Timer::Client(_, key) => self.handle_client_timer(now, key),
        }
        true
    }

    /// Returns the next reply or event, in the order of their occurrence.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.next()
    }

    /// Replaces the settings. Polls and clients already waiting keep their deadlines.
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// The current settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    fn next_arrival(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }
}
