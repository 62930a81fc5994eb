//! Client requests, from their arrival to their reply. The engine decides each step; this
//! module carries it out.

use std::cell::LazyCell;
use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot::Receiver;

use crate::bridges::NoAddress;
use crate::geoip::CountryCode;
use crate::matching::{ClientKey, ClientOffer, ClientReply, SupplyHint};
use crate::metrics::ClientPollRecord;
use crate::metrics::labels::{ClientOutcome, Refusal, Rendezvous, Request};
use crate::outcomes::OutcomeClient;
use crate::policy::ClientFacts;
use crate::wire::candidates;
use crate::wire::client::ClientPoll;
use crate::wire::fingerprint::Fingerprint;
use crate::wire::nat::NatClass;
use crate::wire::session_description::SessionDescription;

use super::caller::{Caller, NoAnswer, RequestOrigin};
use super::limits::LEFT;
use super::overflow::{PeerCalls, PeerEvent, PeerWant};
use super::trace::ClientTrace;
use super::waiters::{BrokerState, ClientMessage, Waiter};
use super::{Broker, Directory, Guard, clock};

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
        let relay_url = match self.admit(&directory, caller, poll.fingerprint, || *claimed) {
            Ok(relay_url) => relay_url,
            Err((refusal, no_answer)) => {
                record.refuse(refusal);
                trace.end(ClientOutcome::Refused);
                return Err(no_answer);
            }
        };
        let offered = claimed_if_it_counts(caller.origin, &claimed);
        let toll = Toll {
            broker: self,
            origin: caller.origin,
            claimed: offered,
            is_sent_away,
            is_due: true,
        };
        let peers = self.peer_calls(&poll, rendezvous, &trace);
        let admitted = AdmittedPoll {
            caller,
            rendezvous,
            address,
            offered,
            relay_url,
            poll,
        };
        let (key, messages) = self.enter(admitted, &directory, peers.as_ref(), &trace);
        let reply = self.client_reply(key, messages, peers).await;
        toll.lift();
        conclude(reply, caller, record, trace)
    }

    /// Returns the address of the bridge that the client wants, if the client is within its
    /// limits.
    fn admit(
        &self,
        directory: &Directory,
        caller: Caller,
        bridge: Fingerprint,
        claimed: impl FnOnce() -> Option<IpAddr>,
    ) -> Result<Arc<str>, (Refusal, NoAnswer)> {
        if !self.admits(Request::ClientPoll, caller.origin, claimed) {
            return Err((Refusal::Limit, NoAnswer::OverLimit));
        }
        let quota = self.client_quota.load();
        if quota.as_ref().is_some_and(|quota| !quota.admits()) {
            return Err((Refusal::Limit, NoAnswer::PoolOverLimit));
        }
        self.choose_relay(directory, bridge).map_err(no_relay)
    }

    /// The calls to peers that the client may need.
    fn peer_calls(
        &self,
        poll: &ClientPoll,
        rendezvous: Rendezvous,
        trace: &ClientTrace<'_>,
    ) -> Option<PeerCalls<'_>> {
        let overflow = self.overflow.as_deref()?;
        let want = PeerWant {
            offer: poll.offer.clone(),
            nat: poll.nat,
            fingerprint: poll.fingerprint,
            rendezvous,
            traceparent: trace.traceparent(),
        };
        Some(PeerCalls::new(overflow, want))
    }

    /// Passes a client to the engine. What is looked up of it is looked up before the lock is
    /// taken.
    fn enter(
        &self,
        admitted: AdmittedPoll,
        directory: &Directory,
        peers: Option<&PeerCalls<'_>>,
        trace: &ClientTrace<'_>,
    ) -> (ClientKey, Receiver<ClientMessage>) {
        let country = admitted.country(directory);
        let facts = admitted.facts(directory);
        let supply = peers.map_or(SupplyHint::NoPeers, PeerCalls::supply);
        let arrived = admitted.caller.arrived;
        self.step(|state, now| {
            let tracked = admitted.tracked(now, state, country);
            let offer = ClientOffer {
                network: admitted.network(now, state),
                marks: state.marks_of(now, &directory.policy, &facts),
                nat: admitted.poll.nat,
                offer: admitted.poll.offer,
                relay_url: admitted.relay_url,
            };
            state.add_client(
                now,
                offer,
                Some(tracked),
                trace.timeline(),
                |matcher, offer| matcher.handle_client(now, arrived, offer, supply),
            )
        })
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

/// A client's poll within its limits, whose bridge is known.
struct AdmittedPoll {
    caller: Caller,
    rendezvous: Rendezvous,
    /// The client's address, or else the one in its offer.
    address: Option<IpAddr>,
    /// The address in its offer, if that stands for the client.
    offered: Option<IpAddr>,
    relay_url: Arc<str>,
    poll: ClientPoll,
}

impl AdmittedPoll {
    fn country(&self, directory: &Directory) -> CountryCode {
        let known_as = self.caller.origin.client(|| self.offered);
        known_as
            .or(self.address)
            .map_or(CountryCode::UNKNOWN, |address| {
                directory.geoip.lookup(address)
            })
    }

    /// The facts that rules of the policy ask for.
    fn facts(&self, directory: &Directory) -> ClientFacts {
        ClientFacts {
            whereabouts: directory.whereabouts_by_rules(self.address),
            nat: self.poll.nat,
            rendezvous: Some(self.rendezvous),
        }
    }

    /// The number of the network with which the client takes turns.
    fn network(&self, now: Instant, state: &mut BrokerState) -> Option<u64> {
        let sources = state.sources.as_mut()?;
        sources.network(now, self.caller.origin, || self.offered)
    }

    /// The client as it is known if it comes back.
    fn tracked(
        &self,
        now: Instant,
        state: &mut BrokerState,
        country: CountryCode,
    ) -> OutcomeClient {
        let (origin, poll) = (self.caller.origin, &self.poll);
        let voter = state.voter(now, origin);
        let learning = &mut state.learning;
        let numbers = learning.numbers(now, origin, self.offered, poll.fingerprint, &poll.offer);
        OutcomeClient {
            id: numbers.map(|numbers| numbers.id),
            earlier_id: numbers.and_then(|numbers| numbers.earlier_id),
            address: numbers.map(|numbers| numbers.address),
            offer: numbers.map_or(0, |numbers| numbers.offer),
            voter,
            country,
            class: NatClass::of(poll.nat),
            rendezvous: self.rendezvous,
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
