//! A client's search for an answer: here, with other brokers, or both at once.
//!
//! A proxy that is idle here comes first. Without one, other brokers are asked
//! if one of them says to have a proxy, and only then the client is queued here;
//! a queued one leaves the queue for a broker that has a proxy by then.
//! Whoever has the offer and does not answer within `matching.rematch_after` gets
//! company, as long as `matching.max_attempts` allows: of an idle proxy here, else
//! of one of another broker that was not asked yet, else of the next that comes
//! here. The first answer wins; the other side hears that the client is gone.
//!
//! All of it is one future: when the client leaves, it is dropped, and with it
//! the place in the engine and the call to the other broker.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::TryFutureExt as _;
use tokio::time::sleep_until;

use crate::matching::{Answered, ClientKey, ClientOffer, ClientReply, Matcher, Stage};
use crate::metrics::labels::Rendezvous;
use crate::wire::fingerprint::Fingerprint;
use crate::wire::nat::NatClass;

use super::overflow::{Asked, Borrowed, NotBorrowed, Overflow, Wanted};
use super::trace::ClientTrace;
use super::waiters::{ClientReceivers, Guard, State, Waiter};
use super::{Broker, clock};

/// How long before its client gives up a lender is told to: for the way back.
const LENDER_MARGIN: Duration = Duration::from_millis(200);

/// A client that looks for an answer.
pub(super) struct Search<'a> {
    pub(super) broker: &'a Broker,
    pub(super) arrived: Instant,
    pub(super) offer: ClientOffer,
    pub(super) fingerprint: Fingerprint,
    pub(super) rendezvous: Rendezvous,
    pub(super) trace: &'a ClientTrace<'a>,
}

/// Where a client is sent first.
enum First<'a> {
    Here(Here<'a>),
    Elsewhere(&'a dyn Overflow),
}

impl<'a> Search<'a> {
    /// The client's reply; `None` if the broker is dropped.
    pub(super) async fn run(self) -> Option<ClientReply> {
        match self.first() {
            First::Here(here) => self.here_first(here).await,
            First::Elsewhere(overflow) => self.elsewhere_first(overflow).await,
        }
    }

    /// One step of the engine, so that nobody comes between the look at the idle
    /// proxies and the decision.
    fn first(&self) -> First<'a> {
        let overflow = self.broker.overflow.as_deref();
        let class = self.class();
        let overflow = overflow.filter(|overflow| overflow.has_supply(class, self.fingerprint));
        self.broker.step(|state, now| {
            let may_ask = |matcher: &Matcher| {
                !matcher.has_idle_proxy(class)
                    && matcher.stage() != Stage::Draining
                    && matcher.has_time(now, self.arrived)
            };
            match overflow {
                Some(overflow) if may_ask(&state.matcher) => {
                    // Our own proxies are too few.
                    state.steering.denied(class);
                    First::Elsewhere(overflow)
                }
                _ => First::Here(Here::new(self.broker, self.take_place(state, now))),
            }
        })
    }

    async fn here_first(&self, mut here: Here<'a>) -> Option<ClientReply> {
        let Some(overflow) = self.broker.overflow.as_deref() else {
            return here.reply().await;
        };
        let supplied = overflow.supplied(self.class(), self.fingerprint);
        let waited = match here.reply_unless(supplied).await {
            Waited::Supplied if here.leave_queue() => {
                return self.elsewhere_first(overflow).await;
            }
            // A proxy here has its offer already.
            Waited::Supplied => here.reply_unless(pending()).await,
            waited => waited,
        };
        if let Waited::Reply(reply) = waited {
            return reply;
        }
        here.borrow();
        let asked = Arc::default();
        self.first_of(here, self.borrow(overflow, 2, &asked)).await
    }

    async fn elsewhere_first(&self, overflow: &dyn Overflow) -> Option<ClientReply> {
        let _counted = Elsewhere::begin(self.broker);
        let asked = Arc::default();
        let mut borrowing = pin!(self.borrow(overflow, 1, &asked));
        tokio::select! {
            biased;
            borrowed = &mut borrowing => return match borrowed {
                Ok(borrowed) => Some(answer(borrowed, 1)),
                Err(not_borrowed) => self.here_at_last(not_borrowed).await,
            },
            () = self.time_for_company() => {}
        }
        if self.has_idle_proxy() {
            return self.first_of(self.come_here_too(), borrowing).await;
        }
        let mut company = pin!(self.borrow(overflow, 2, &asked));
        let (other, not_borrowed) = tokio::select! {
            biased;
            borrowed = &mut borrowing => match borrowed {
                Ok(borrowed) => return Some(answer(borrowed, 1)),
                Err(not_borrowed) => (company, not_borrowed),
            },
            borrowed = &mut company => match borrowed {
                Ok(borrowed) => return Some(answer(borrowed, 2)),
                Err(not_borrowed) => (borrowing, not_borrowed),
            },
        };
        let other = other.map_err(|other| other.and(not_borrowed));
        self.first_of(self.come_here_too(), other).await
    }

    fn class(&self) -> NatClass {
        NatClass::of(self.offer.nat)
    }

    fn has_idle_proxy(&self) -> bool {
        let class = self.class();
        let step = |state: &mut State, _| state.matcher.has_idle_proxy(class);
        self.broker.step(step)
    }

    /// The queue, once others had nothing.
    async fn here_at_last(&self, not_borrowed: NotBorrowed) -> Option<ClientReply> {
        let mut here = if not_borrowed.was_offered {
            self.come_here_too()
        } else {
            self.come_here()
        };
        let reply = here.reply().await;
        Some(with_others(reply?, not_borrowed))
    }

    /// The first answer of either side; without one, what is true of both.
    async fn first_of(
        &self,
        mut here: Here<'a>,
        borrowing: impl Future<Output = Result<Borrowed, NotBorrowed>>,
    ) -> Option<ClientReply> {
        let mut borrowing = pin!(borrowing);
        let (mut reply, mut not_borrowed) = (None, None);
        while reply.is_none() || not_borrowed.is_none() {
            tokio::select! {
                biased;
                replied = here.reply(), if reply.is_none() => match replied? {
                    answer @ ClientReply::Answer(_) => return Some(answer),
                    other => reply = Some(other),
                },
                borrowed = &mut borrowing, if not_borrowed.is_none() => match borrowed {
                    Ok(borrowed) => {
                        here.leave();
                        return Some(answer(borrowed, 2));
                    }
                    Err(none) => {
                        here.not_borrowed(none);
                        not_borrowed = Some(none);
                    }
                },
            }
        }
        Some(with_others(reply?, not_borrowed?))
    }

    fn come_here(&self) -> Here<'a> {
        let place = self.broker.step(|state, now| self.take_place(state, now));
        Here::new(self.broker, place)
    }

    /// While another broker has the offer already.
    fn come_here_too(&self) -> Here<'a> {
        let (timeline, offer) = (self.trace.timeline(), self.offer.clone());
        let place = self.broker.step(|state, now| {
            state.add_client(now, offer, timeline, |matcher, offer| {
                matcher.handle_borrowing_client(now, self.arrived, offer)
            })
        });
        Here::new(self.broker, place)
    }

    fn take_place(&self, state: &mut State, now: Instant) -> (ClientKey, ClientReceivers) {
        let (timeline, offer) = (self.trace.timeline(), self.offer.clone());
        state.add_client(now, offer, timeline, |matcher, offer| {
            matcher.handle_client(now, self.arrived, offer)
        })
    }

    async fn borrow(
        &self,
        overflow: &dyn Overflow,
        attempt: usize,
        asked: &Arc<Asked>,
    ) -> Result<Borrowed, NotBorrowed> {
        let settings = self.broker.matching();
        let client_deadline = self.arrived + settings.client_timeout;
        let before = |span| client_deadline.checked_sub(span).unwrap_or(self.arrived);
        let wanted = Wanted {
            offer: self.offer.offer.clone(),
            nat: self.offer.nat,
            fingerprint: self.fingerprint,
            rendezvous: self.rendezvous,
            attempt,
            deadline: before(LENDER_MARGIN),
            last_call: before(LENDER_MARGIN + settings.min_answer_time),
            traceparent: self.trace.traceparent(),
            asked: Arc::clone(asked),
        };
        let began = clock::now();
        let borrowed = overflow.borrow(&wanted).await;
        // Where there is nobody to ask there is nothing to tell of it.
        if borrowed
            .as_ref()
            .map_or_else(|none| none.was_asked, |_| true)
        {
            self.trace.borrowed(began, borrowed.is_ok());
        }
        borrowed
    }

    /// Returns when a broker that is asked has been silent for too long, if then
    /// somebody else may be asked.
    async fn time_for_company(&self) {
        let settings = self.broker.matching();
        if settings.max_attempts > 1 {
            sleep_until((clock::now() + settings.rematch_after).into()).await;
        } else {
            pending::<()>().await;
        }
    }
}

fn answer(borrowed: Borrowed, attempts: usize) -> ClientReply {
    ClientReply::Answer(Answered {
        answer: borrowed.answer,
        attempts,
        since_hand_off: borrowed.since_asked,
    })
}

/// What the client hears that has no answer from either side.
fn with_others(here: ClientReply, not_borrowed: NotBorrowed) -> ClientReply {
    match here {
        ClientReply::Denied(_) if not_borrowed.was_offered => ClientReply::TimedOut,
        other => other,
    }
}

/// What comes first to a client that waits here.
enum Waited {
    Reply(Option<ClientReply>),
    /// Its proxy is silent for too long.
    Overdue,
    /// Another broker has a proxy.
    Supplied,
}

/// A client's place in the engine.
struct Here<'a> {
    broker: &'a Broker,
    key: ClientKey,
    guard: Guard<'a>,
    receivers: ClientReceivers,
}

impl<'a> Here<'a> {
    fn new(broker: &'a Broker, (key, receivers): (ClientKey, ClientReceivers)) -> Self {
        Self {
            broker,
            key,
            guard: Guard::new(broker, Waiter::Client(key)),
            receivers,
        }
    }

    /// The reply; `None` if the broker is dropped. To be asked for until it comes.
    async fn reply(&mut self) -> Option<ClientReply> {
        self.guard.reply(&mut self.receivers.reply).await
    }

    /// The reply, unless another broker may be asked before it comes.
    async fn reply_unless(&mut self, supplied: impl Future<Output = ()>) -> Waited {
        let is_reply_near = self.receivers.overdue.is_terminated();
        tokio::select! {
            biased;
            reply = self.guard.reply(&mut self.receivers.reply) => Waited::Reply(reply),
            // Without its sender, the reply is on its way.
            Ok(()) = &mut self.receivers.overdue, if !is_reply_near => Waited::Overdue,
            () = supplied => Waited::Supplied,
        }
    }

    /// Gives the place in the queue up; whether there was one still.
    fn leave_queue(&mut self) -> bool {
        let step = |state: &mut State, now| state.leave_queue(now, self.key);
        let has_left = self.broker.step(step);
        if has_left {
            self.guard.finish();
        }
        has_left
    }

    /// Another broker is asked.
    fn borrow(&self) {
        let step = |matcher: &mut Matcher, now| matcher.handle_borrowing(now, self.key);
        self.broker.step(|state, now| step(&mut state.matcher, now));
    }

    /// Another broker had no answer.
    fn not_borrowed(&self, not_borrowed: NotBorrowed) {
        if !not_borrowed.was_offered {
            let step = |matcher: &mut Matcher, now| matcher.handle_not_borrowed(now, self.key);
            self.broker.step(|state, now| step(&mut state.matcher, now));
        }
    }

    /// Another broker has answered.
    fn leave(mut self) {
        self.broker.step(|state, now| state.borrowed(now, self.key));
        self.guard.finish();
    }
}

/// Counts a client that is with other brokers, so that a drain waits for it.
struct Elsewhere<'a>(&'a Broker);

impl<'a> Elsewhere<'a> {
    fn begin(broker: &'a Broker) -> Self {
        broker.elsewhere.fetch_add(1, Ordering::Relaxed);
        Self(broker)
    }
}

impl Drop for Elsewhere<'_> {
    fn drop(&mut self) {
        self.0.elsewhere.fetch_sub(1, Ordering::Relaxed);
        self.0.stepped.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use tokio::sync::oneshot;

    use crate::broker::driver::tests::broker;

    use super::*;

    /// The sender of `overdue` goes before the reply is sent: whoever looks in between
    /// must not look twice.
    #[tokio::test]
    async fn a_reply_on_its_way_is_waited_for_though_another_broker_has_a_proxy() {
        let broker = broker();
        let (reply_sender, reply) = oneshot::channel();
        let (_, overdue) = oneshot::channel();
        let place = (ClientKey::default(), ClientReceivers { reply, overdue });
        let mut here = Here::new(&broker, place);
        let waited = here.reply_unless(ready(())).await;
        assert!(matches!(waited, Waited::Supplied));
        let replies = async { reply_sender.send(ClientReply::TimedOut) };
        let (waited, sent) = tokio::join!(here.reply_unless(pending()), replies);
        assert!(sent.is_ok());
        assert!(matches!(waited, Waited::Reply(Some(ClientReply::TimedOut))));
    }
}
