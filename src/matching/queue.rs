//! Clients waiting for a proxy. Their networks take turns.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::past_turns::PastTurns;
use super::policy::clients_for;
use super::requests::ClientKey;
use super::turn_order::{PartyMembers, Turn, TurnOrder};
use crate::wire::nat::NatClass;

/// The number of clients that a proxy looks at, of each class, for one that it may have.
const SEARCH_MAX: usize = 64;

/// A client's place among those who wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) class: NatClass,
    pub(super) network: Option<u64>,
    pub(super) arrival: u64,
}

/// The reason for which a client waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Nobody has had its offer.
    Queued,
    /// A proxy has had its offer and not answered in time.
    Overdue,
}

impl Wait {
    const ALL: [Self; 2] = [Self::Queued, Self::Overdue];
}

/// A client that waits, and its network.
#[derive(Clone, Copy, Debug)]
struct WaitingClient {
    key: ClientKey,
    network: Option<u64>,
}

/// By reason and class.
type ByQueue<T> = [[T; NatClass::ALL.len()]; Wait::ALL.len()];

/// The clients that wait for a proxy.
#[derive(Debug)]
pub(super) struct WaitingClients {
    queues: ByQueue<TurnOrder<u64, WaitingClient>>,
    networks: HashMap<u64, WaitingNetwork, FixedState>,
    /// The last turns of other networks.
    absent: PastTurns,
}

/// A network with clients that wait.
#[derive(Debug)]
struct WaitingNetwork {
    /// The number of its last turn.
    turn: u64,
    count: usize,
    clients: ByQueue<PartyMembers<u64, WaitingClient>>,
}

impl WaitingClients {
    pub(super) fn new(networks_max: usize) -> Self {
        Self {
            queues: ByQueue::default(),
            networks: HashMap::default(),
            absent: PastTurns::new(networks_max),
        }
    }

    pub(super) fn set_networks_max(&mut self, max: usize) {
        self.absent.set_max(max);
    }

    /// The first client that waits for this reason, that a proxy in `pool` can serve and
    /// that it may have.
    pub(super) fn first_for(
        &self,
        wait: Wait,
        pool: NatClass,
        may_have: impl Fn(ClientKey) -> bool,
    ) -> Option<ClientKey> {
        let firsts = clients_for(pool).iter().filter_map(|&class| {
            let mut clients = self.in_order(wait, class).take(SEARCH_MAX);
            clients.find(|&(_, key)| may_have(key))
        });
        firsts.min_by_key(|&(place, _)| place).map(|(_, key)| key)
    }

    /// All who wait for this reason, one network after the other.
    fn in_order(
        &self,
        wait: Wait,
        class: NatClass,
    ) -> impl Iterator<Item = ((Turn, u64), ClientKey)> {
        let firsts = self.queues[wait as usize][class as usize].firsts();
        firsts.flat_map(move |((turn, arrival), first)| {
            let network = first
                .network
                .and_then(|network| self.networks.get(&network));
            let alone = network.is_none().then_some((arrival, first));
            let mates = network.map(|network| network.clients[wait as usize][class as usize].all());
            let clients = alone.into_iter().chain(mates.into_iter().flatten());
            clients.map(move |(arrival, client)| ((turn, arrival), client.key))
        })
    }

    /// The number of clients that wait for this reason.
    pub(super) fn len(&self, wait: Wait) -> usize {
        self.queues[wait as usize].iter().map(TurnOrder::len).sum()
    }

    /// The number of those that nobody has had, of a class.
    pub(super) fn queued_of(&self, class: NatClass) -> usize {
        self.queues[Wait::Queued as usize][class as usize].len()
    }

    /// All that nobody has had.
    pub(super) fn queued(&self) -> Vec<ClientKey> {
        let classes = NatClass::ALL.into_iter();
        let clients = classes.flat_map(|class| self.in_order(Wait::Queued, class));
        clients.map(|(_, key)| key).collect()
    }

    pub(super) fn insert(&mut self, wait: Wait, place: Place, key: ClientKey) {
        let client = WaitingClient {
            key,
            network: place.network,
        };
        let queue = &mut self.queues[wait as usize][place.class as usize];
        let Some(id) = place.network else {
            queue.insert_alone(Turn::last(place.arrival), place.arrival, client);
            return;
        };
        let absent = &mut self.absent;
        let network = self.networks.entry(id).or_insert_with(|| WaitingNetwork {
            turn: absent.take(id),
            count: 0,
            clients: ByQueue::default(),
        });
        network.count += 1;
        let mates = &mut network.clients[wait as usize][place.class as usize];
        queue.insert(Some(Turn::last(network.turn)), mates, place.arrival, client);
    }

    /// Removes the client, wherever it is.
    pub(super) fn leave(&mut self, place: Place) {
        for wait in Wait::ALL {
            let queue = &mut self.queues[wait as usize][place.class as usize];
            let Some(id) = place.network else {
                queue.remove_alone(Turn::last(place.arrival), place.arrival);
                continue;
            };
            let Some(network) = self.networks.get_mut(&id) else {
                return;
            };
            let mates = &mut network.clients[wait as usize][place.class as usize];
            let turn = Some(Turn::last(network.turn));
            network.count -= usize::from(queue.remove(turn, mates, place.arrival));
            if network.count == 0 {
                self.absent.remember(id, network.turn);
                self.networks.remove(&id);
            }
        }
    }

    /// Notes that a client of the network has a proxy, as this turn. While nobody waits,
    /// nobody is served before others, and turns need not be known.
    pub(super) fn took_turn(&mut self, network: Option<u64>, turn: u64) {
        let Some(id) = network.filter(|_| self.is_anybody_waiting()) else {
            return;
        };
        let Some(network) = self.networks.get_mut(&id) else {
            return self.absent.remember(id, turn);
        };
        let from = Turn::last(std::mem::replace(&mut network.turn, turn));
        let queues = self.queues.iter_mut().flatten();
        for (queue, mates) in queues.zip(network.clients.iter().flatten()) {
            queue.change_turn(mates, Some(from), Some(Turn::last(turn)));
        }
    }

    fn is_anybody_waiting(&self) -> bool {
        self.queues.iter().flatten().any(|queue| queue.len() > 0)
    }
}
