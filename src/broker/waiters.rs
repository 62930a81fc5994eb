//! The engine's replies on their way to the requests that wait for them.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use slotmap::SecondaryMap;
use tokio::sync::oneshot::{self, Receiver, Sender};

use crate::matching::{
    AnswerOutcome, ClientKey, ClientOffer, ClientReply, Event, Matcher, Output, PollKey, PollReply,
    SidInUse,
};
use crate::metrics::Metrics;
use crate::metrics::labels::AnswerFate;
use crate::wire::proxy::ProxyPoll;

use super::Broker;
use super::trace::{Polled, Timeline, Timelines};

/// The engine and everyone who waits for it, behind the broker's one lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) matcher: Matcher,
    metrics: Arc<Metrics>,
    /// Until when the driver sleeps; an earlier deadline has to wake it.
    pub(super) driver_sleeps_until: Option<Instant>,
    polls: SecondaryMap<PollKey, (Sender<PollReply>, Polled)>,
    clients: SecondaryMap<ClientKey, Sender<ClientReply>>,
    timelines: Timelines,
}

/// A reply and the request that it is for; sent once the lock is released.
#[derive(Debug)]
pub(super) enum Delivery {
    Poll(Sender<PollReply>, PollReply),
    Client(Sender<ClientReply>, ClientReply),
}

/// Whose request it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waiter {
    Poll(PollKey),
    Client(ClientKey),
}

impl State {
    pub(super) fn new(matcher: Matcher, metrics: Arc<Metrics>) -> Self {
        Self {
            matcher,
            metrics,
            driver_sleeps_until: None,
            polls: SecondaryMap::new(),
            clients: SecondaryMap::new(),
            timelines: Timelines::default(),
        }
    }

    pub(super) fn add_poll(
        &mut self,
        now: Instant,
        arrived: Instant,
        poll: &ProxyPoll,
    ) -> Result<(Waiter, Receiver<PollReply>), SidInUse> {
        let key = self.matcher.handle_poll(now, arrived, poll)?;
        let (sender, receiver) = oneshot::channel();
        let nat = poll.nat;
        self.polls.insert(key, (sender, Polled { arrived, nat }));
        Ok((Waiter::Poll(key), receiver))
    }

    pub(super) fn add_client(
        &mut self,
        now: Instant,
        arrived: Instant,
        offer: ClientOffer,
        timeline: Option<Arc<Mutex<Timeline>>>,
    ) -> (Waiter, Receiver<ClientReply>) {
        let key = self.matcher.handle_client(now, arrived, offer);
        if let Some(timeline) = timeline {
            self.timelines.enter(now, key, timeline);
        }
        let (sender, receiver) = oneshot::channel();
        self.clients.insert(key, sender);
        (Waiter::Client(key), receiver)
    }

    fn remove(&mut self, now: Instant, waiter: Waiter) {
        match waiter {
            Waiter::Poll(key) => {
                let has_reply = self.polls.remove(key).is_none();
                if has_reply {
                    self.timelines.proxy_left(now, key);
                }
                self.matcher.handle_poll_gone(now, key);
            }
            Waiter::Client(key) => {
                self.clients.remove(key);
                self.timelines.leave(now, key);
                self.matcher.handle_client_gone(now, key);
            }
        }
    }

    /// Takes the engine's outputs: counts events, and finds for each reply who
    /// waits for it.
    pub(super) fn take_deliveries(&mut self, now: Instant) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        while let Some(output) = self.matcher.next_output() {
            let delivery = match output {
                Output::Poll(key, reply) => self.poll_delivery(now, key, reply),
                Output::Client(key, reply) => self.client_delivery(now, key, reply),
                Output::Event(event) => {
                    self.count(event);
                    None
                }
            };
            deliveries.extend(delivery);
        }
        deliveries
    }

    fn poll_delivery(&mut self, now: Instant, key: PollKey, reply: PollReply) -> Option<Delivery> {
        if matches!(&reply, PollReply::Offer(hand_off) if hand_off.attempt > 1) {
            self.metrics.rematched();
        }
        let (sender, polled) = self.polls.remove(key)?;
        if let PollReply::Offer(hand_off) = &reply {
            let taken = (key, polled);
            self.timelines
                .handed_off(now, hand_off.client, taken, hand_off.attempt);
        }
        Some(Delivery::Poll(sender, reply))
    }

    fn client_delivery(
        &mut self,
        now: Instant,
        key: ClientKey,
        reply: ClientReply,
    ) -> Option<Delivery> {
        if let ClientReply::Answer(answered) = &reply {
            self.timelines.answered(now, key, answered.since_hand_off);
        }
        self.timelines.leave(now, key);
        let sender = self.clients.remove(key)?;
        Some(Delivery::Client(sender, reply))
    }

    /// Counts what no request counts for itself: each has a record of its own
    /// that ends with its reply, or as abandoned.
    fn count(&self, event: Event) {
        match event {
            Event::ClientQueued => self.metrics.client_queued(),
            Event::HandOffFailed => self.metrics.hand_off_failed(),
            Event::Answer {
                proxy_type,
                outcome,
            } => self.metrics.proxy_answered(proxy_type, fate(outcome)),
            Event::ClientAbandoned | Event::PollAbandoned => {}
        }
    }
}

fn fate(outcome: AnswerOutcome) -> AnswerFate {
    match outcome {
        AnswerOutcome::Delivered => AnswerFate::Delivered,
        AnswerOutcome::TooLate => AnswerFate::TooLate,
        AnswerOutcome::Beaten => AnswerFate::Beaten,
        AnswerOutcome::ClientLeft => AnswerFate::ClientLeft,
        AnswerOutcome::Repeated => AnswerFate::Repeated,
        AnswerOutcome::Unknown => AnswerFate::Unknown,
    }
}

impl Delivery {
    /// Wakes the request. If it has just ended, its guard will say so.
    pub(super) fn send(self) {
        match self {
            Self::Poll(sender, reply) => drop(sender.send(reply)),
            Self::Client(sender, reply) => drop(sender.send(reply)),
        }
    }
}

/// A request's place in the engine. Dropped before the reply was taken, for
/// whatever reason, it gives the place up.
#[derive(Debug)]
pub(super) struct Guard<'a> {
    broker: &'a Broker,
    waiter: Option<Waiter>,
}

impl<'a> Guard<'a> {
    pub(super) fn new(broker: &'a Broker, waiter: Waiter) -> Self {
        Self {
            broker,
            waiter: Some(waiter),
        }
    }

    /// Waits for the reply; `None` if the broker forgot the request, which only
    /// happens when it is itself dropped.
    pub(super) async fn reply<T>(mut self, receiver: Receiver<T>) -> Option<T> {
        let reply = receiver.await.ok();
        self.waiter = None;
        reply
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter {
            self.broker.step(|state, now| state.remove(now, waiter));
        }
    }
}
