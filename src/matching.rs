//! Who gets whom: the matching engine. It opens nothing, sleeps never and reads
//! no clock; it is stepped with `now` and says what is to be done.
//!
//! # The run loop
//!
//! Whoever owns a [`Matcher`]
//!
//! 1. calls one `handle_*` method, or [`Matcher::handle_timeout`] when the time
//!    of [`Matcher::poll_timeout`] has come,
//! 2. then takes [`Matcher::next_output`] until it is `None`, passing each reply
//!    on to the request that waits for it,
//! 3. then looks at [`Matcher::poll_timeout`] again, for it may have moved.
//!
//! `now` must not run backwards. Each `handle_*` first does what time has made
//! due, soonest first, so that nobody gains by a timer that is served late: what
//! comes at its deadline or after is late, whoever looked first.
//!
//! # What happens to a poll and to a client
//!
//! A proxy's poll is *parked* in the pool of its NAT until a client comes or its
//! time is up. It is then *offered* the client: the hand-off. A client that
//! finds no proxy is *queued* for a moment, in case one polls. A client without
//! an answer some time after its hand-off is *overdue*, and gets a second chance
//! with one more proxy. The first answer wins. A poll whose offer has ended is
//! remembered a while as *closed*, to tell late answers from unknown ones.
//!
//! # Other brokers
//!
//! A client of another broker is a [`Borrower`]: it gets a proxy beyond the
//! reserve at once, or none; it is never queued, and never takes a poll from our
//! own clients, who are queued whenever no poll is parked for them. And a client
//! of ours may be answered by another broker's proxy. The engine asks nobody: it
//! is told that somebody else has the client's offer, which counts as a hand-off,
//! and what came of it.
//!
//! # How it ends
//!
//! An engine that is about to stop is first a *lame duck*: it parks no poll, but
//! clients are served from those that are parked, and a poll that comes is given
//! a client that waits for one. Then it is *draining*: nobody is matched any
//! more, and only the answers still due are taken.

mod borrowing;
mod deadlines;
mod ending;
mod hand_off;
mod outputs;
mod policy;
mod pool;
mod queue;
mod sessions;
mod settings;

use std::time::{Duration, Instant};

use crate::wire::nat::{NatClass, NatType};
use crate::wire::proxy::{ProxyPoll, ProxyType, Sid};
use crate::wire::session_description::SessionDescription;

pub use ending::Stage;
pub use outputs::{
    AnswerOutcome, Answered, ClientReply, Denied, Event, HandOff, NoMatch, Output, PollReply,
};
pub use policy::pools_for;
pub use sessions::{Borrower, ClientKey, ClientOffer, PollKey};
pub use settings::Settings;

use deadlines::{Deadlines, Timer, later};
use outputs::Outputs;
use pool::Pools;
use queue::ClientQueue;
use sessions::{Client, ClientState, Poll, PollState, Sessions, Standing};

/// How long a poll is remembered after its offer has ended, so that a late
/// answer is known as one: the slowest proxies take a few seconds.
const CLOSED_POLL_MEMORY: Duration = Duration::from_secs(30);

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
    stage: Stage,
}

/// What is waiting at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// How many polls of each type and NAT are parked, where there are any.
    pub parked: Vec<(ProxyType, NatType, usize)>,
    /// How many clients are queued for a proxy.
    pub queued_clients: usize,
    /// How many clients wait for the answer of a proxy that has their offer.
    pub matched_clients: usize,
}

/// A poll that waits for a client, without what names its proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParkedPoll {
    /// What the proxy runs in.
    pub proxy_type: ProxyType,
    /// How the proxy can be reached.
    pub nat: NatType,
    /// How many clients the proxy says that it serves.
    pub clients: u64,
    /// Rises with each poll and client that comes.
    pub arrival: u64,
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
            stage: Stage::default(),
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
        if self.stage == Stage::Draining {
            self.end_poll(key, NoMatch::LameDuck);
        } else if let Some(client) = self.take_client_for(now, NatClass::of(poll.nat)) {
            self.hand_off(now, key, client);
        } else if self.stage == Stage::LameDuck {
            self.end_poll(key, NoMatch::LameDuck);
        } else if self.pools.len() >= self.settings.max_parked_polls {
            self.end_poll(key, NoMatch::Overloaded);
        } else {
            self.park(key);
        }
        Ok(key)
    }

    /// A client asks for a proxy; its request arrived at `arrived`. The reply
    /// comes as an output, at once or later.
    pub fn handle_client(
        &mut self,
        now: Instant,
        arrived: Instant,
        offer: ClientOffer,
    ) -> ClientKey {
        let deadline = later(arrived, self.settings.client_timeout);
        self.admit(now, offer, deadline, Standing::Own)
    }

    fn admit(
        &mut self,
        now: Instant,
        offer: ClientOffer,
        deadline: Instant,
        standing: Standing,
    ) -> ClientKey {
        self.handle_timeout(now);
        let arrival = self.next_arrival();
        let key = self.sessions.insert_client(Client {
            offer,
            standing,
            arrival,
            deadline,
            state: ClientState::Unmatched,
            attempts: Vec::new(),
            hand_offs: standing.earlier_hand_offs(),
            wake: None,
        });
        if !self.serves(standing) {
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
        self.outputs.event(Event::Answer {
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
                self.outputs.event(Event::PollAbandoned);
            }
            PollState::Offered(offered) => {
                self.sessions.remove_poll(key);
                self.outputs.event(Event::HandOffFailed);
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
            self.outputs.event(Event::ClientAbandoned);
        }
    }

    /// When [`Self::handle_timeout`] is due.
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

    /// The poll, if it is parked.
    pub fn parked_poll(&self, key: PollKey) -> Option<ParkedPoll> {
        let poll = self.sessions.poll(key)?;
        matches!(poll.state, PollState::Parked).then_some(ParkedPoll {
            proxy_type: poll.proxy_type,
            nat: poll.nat,
            clients: poll.clients,
            arrival: poll.arrival,
        })
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What is waiting.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            parked: self.pools.counts(),
            queued_clients: self.queued.len(),
            matched_clients: self.sessions.matched_clients(),
        }
    }

    /// Whether nothing waits and nothing is remembered: every poll and client
    /// has ended, and the memory of the closed polls with them.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
            && self.pools.len() == 0
            && self.queued.len() == 0
            && self.overdue.len() == 0
            && self.deadlines.next().is_none()
    }

    /// How many clients of each class are queued for a proxy.
    pub fn queued_by_class(&self) -> Vec<(NatClass, usize)> {
        let classes = NatClass::ALL.into_iter();
        classes
            .map(|class| (class, self.queued.len_of(class)))
            .collect()
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
