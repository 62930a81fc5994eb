//! Client requests, from their arrival to their reply. The engine decides each step; this
//! module carries it out.

use std::cell::LazyCell;
use std::future::pending;
use std::net::IpAddr;

use tokio::sync::oneshot::Receiver;

use crate::bridges::NoAddress;
use crate::geoip::CountryCode;
use crate::matching::{ClientKey, ClientOffer, ClientReply, SupplyHint};
use crate::metrics::ClientPollRecord;
use crate::metrics::labels::{ClientOutcome, Refusal, Rendezvous, Request};
use crate::outcomes::OutcomeClient;
use crate::policy::{ClientFacts, PolicyMarks};
use crate::wire::candidates;
use crate::wire::client::ClientPoll;
use crate::wire::session_description::SessionDescription;

use super::caller::{Caller, NoAnswer, RequestOrigin};
use super::limits::LEFT;
use super::overflow::{PeerCalls, PeerEvent, PeerWant};
use super::trace::ClientTrace;
use super::waiters::{ClientMessage, Waiter};
use super::{Broker, Guard, clock};

impl Broker {
    /// Handles a client's poll. A client that leaves before its reply is charged for it,
    /// unless the broker sent it away.
    pub async fn client_poll(
        &self,
        caller: Caller,
        rendezvous: Rendezvous,
        poll: ClientPoll,
        is_sent_away: impl Fn() -> bool,
    ) -> Result<SessionDescription, NoAnswer> {
        let directory = self.directory.load_full();
        let claimed = LazyCell::new(|| candidates::public_address(&poll.offer));
        let address = caller.address.or_else(|| *claimed);
        let record = self
            .metrics
            .begin_client_poll(rendezvous, address, poll.nat);
        let trace = ClientTrace::begin(self.tracer.as_ref(), caller.arrived, rendezvous, poll.nat);
        if !self.admits(Request::ClientPoll, caller.origin, || *claimed) {
            record.refuse(Refusal::Limit);
            trace.end(ClientOutcome::Refused);
            return Err(NoAnswer::OverLimit);
        }
        let relay_url = match self.choose_relay(&directory, poll.fingerprint) {
            Ok(relay_url) => relay_url,
            Err(no_address) => {
                let (refusal, no_answer) = no_relay(no_address);
                record.refuse(refusal);
                trace.end(ClientOutcome::Refused);
                return Err(no_answer);
            }
        };
        let offered = claimed_if_it_counts(caller.origin, &claimed);
        let known_as = caller.origin.client(|| offered);
        let country = known_as
            .or(address)
            .map_or(CountryCode::UNKNOWN, |address| {
                directory.geoip.lookup(address)
            });
        let toll = Toll {
            broker: self,
            origin: caller.origin,
            claimed: offered,
            is_sent_away,
            is_due: true,
        };
        let peers = self.overflow.as_deref().map(|overflow| {
            let want = PeerWant {
                offer: poll.offer.clone(),
                nat: poll.nat,
                fingerprint: poll.fingerprint,
                rendezvous,
                traceparent: trace.traceparent(),
            };
            PeerCalls::new(overflow, want)
        });
        let offer = ClientOffer {
            offer: poll.offer,
            nat: poll.nat,
            relay_url,
            network: None,
            marks: PolicyMarks::default(),
        };
        let facts = ClientFacts {
            whereabouts: directory.whereabouts_by_rules(address),
            nat: poll.nat,
            rendezvous: Some(rendezvous),
        };
        let supply = peers
            .as_ref()
            .map_or(SupplyHint::NoPeers, PeerCalls::supply);
        let (key, messages) = self.step(|state, now| {
            let sources = state.sources.as_mut();
            let network =
                sources.and_then(|sources| sources.network(now, caller.origin, || offered));
            let voter = state.voter(now, caller.origin);
            let numbers =
                state
                    .learning
                    .numbers(now, caller.origin, offered, poll.fingerprint, &offer.offer);
            let client = OutcomeClient {
                id: numbers.map(|numbers| numbers.id),
                earlier_id: numbers.and_then(|numbers| numbers.earlier_id),
                address: numbers.map(|numbers| numbers.address),
                offer: numbers.map_or(0, |numbers| numbers.offer),
                voter,
                country,
                class: offer.class(),
                rendezvous,
            };
            let marks = state.marks_of(now, &directory.policy, &facts);
            let offer = ClientOffer {
                network,
                marks,
                ..offer
            };
            state.add_client(
                now,
                offer,
                Some(client),
                trace.timeline(),
                |matcher, offer| matcher.handle_client(now, caller.arrived, offer, supply),
            )
        });
        let reply = self.client_reply(key, messages, peers).await;
        toll.lift();
        conclude(reply, caller, record, trace)
    }

    /// Carries out the engine's instructions for a client until it has the reply; `None`
    /// if the broker is dropped. Dropping the future removes the client from the engine
    /// and cancels its calls to peers.
    pub(super) async fn client_reply(
        &self,
        key: ClientKey,
        mut messages: Receiver<ClientMessage>,
        mut peers: Option<PeerCalls<'_>>,
    ) -> Option<ClientReply> {
        let mut guard = Guard::new(self, Waiter::Client(key));
        loop {
            tokio::select! {
                biased;
                message = &mut messages => match message.ok()? {
                    ClientMessage::Reply(reply) => {
                        guard.finish();
                        return Some(reply);
                    }
                    ClientMessage::AskPeer { ask, at, next } => {
                        messages = next;
                        if let Some(peers) = &mut peers {
                            peers.call(ask, at);
                        }
                    }
                },
                event = next_event(&mut peers) => self.step(|state, now| match event {
                    PeerEvent::Supplied => state.matcher.handle_peer_supply(now, key),
                    PeerEvent::Replied { asked_at, reply } => {
                        state.peer_replied(now, key, asked_at, reply);
                    }
                }),
            }
        }
    }
}

/// Counts the reply to a client, and returns what it hears.
fn conclude(
    reply: Option<ClientReply>,
    caller: Caller,
    record: ClientPollRecord<'_>,
    trace: ClientTrace<'_>,
) -> Result<SessionDescription, NoAnswer> {
    match reply {
        Some(ClientReply::Answer(answered)) => {
            let since_request = clock::now().saturating_duration_since(caller.arrived);
            record.matched(answered.attempts, answered.since_hand_off, since_request);
            trace.end(ClientOutcome::Matched);
            Ok(answered.answer)
        }
        Some(ClientReply::TimedOut) => {
            record.timed_out();
            trace.end(ClientOutcome::TimedOut);
            Err(NoAnswer::TimedOut)
        }
        Some(ClientReply::Denied(_)) | None => {
            record.denied();
            trace.end(ClientOutcome::Denied);
            Err(NoAnswer::NoProxies)
        }
    }
}

fn no_relay(no_address: NoAddress) -> (Refusal, NoAnswer) {
    match no_address {
        NoAddress::UnknownBridge => (Refusal::UnknownBridge, NoAnswer::UnknownBridge),
        NoAddress::BridgeDraining => (Refusal::BridgeDraining, NoAnswer::BridgeDraining),
    }
}

async fn next_event(peers: &mut Option<PeerCalls<'_>>) -> PeerEvent {
    match peers {
        Some(peers) => peers.next_event().await,
        None => pending().await,
    }
}

fn claimed_if_it_counts(
    origin: RequestOrigin,
    claimed: &LazyCell<Option<IpAddr>, impl FnOnce() -> Option<IpAddr>>,
) -> Option<IpAddr> {
    let counts = origin.counts_offered_address();
    counts.then(|| **claimed).flatten()
}

/// Charges a client that leaves before its reply, on drop: the proxy that has its offer
/// waits for it in vain.
struct Toll<'a, F: Fn() -> bool> {
    broker: &'a Broker,
    origin: RequestOrigin,
    claimed: Option<IpAddr>,
    /// Returns true if the client leaves because the broker sent it away.
    is_sent_away: F,
    is_due: bool,
}

impl<F: Fn() -> bool> Toll<'_, F> {
    /// Cancels the charge, because the client stayed.
    fn lift(mut self) {
        self.is_due = false;
    }
}

impl<F: Fn() -> bool> Drop for Toll<'_, F> {
    fn drop(&mut self) {
        if self.is_due && !(self.is_sent_away)() {
            // One token was already taken on arrival.
            let (origin, claimed) = (self.origin, self.claimed);
            self.broker
                .charge(Request::ClientPoll, origin, claimed, LEFT - 1);
        }
    }
}
