//! Clients waiting for a proxy. Their networks take turns.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::past_turns::PastTurns;
use super::policy::clients_for;
use super::requests::ClientKey;
use super::turn_order::{Party, Turn, TurnOrder};
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

impl Place {
    fn party(self) -> Party {
        self.network.map_or(Party::Alone(self.arrival), Party::Of)
    }
}

/// A queue from which each proxy takes the first client that it can serve.
#[derive(Debug, Default)]
pub(super) struct ClientQueue([TurnOrder<u64, ClientKey>; NatClass::ALL.len()]);

impl ClientQueue {
    /// The first client that a proxy in `pool` can serve and may have.
    pub(super) fn first_for(
        &self,
        pool: NatClass,
        may_have: impl Fn(ClientKey) -> bool,
    ) -> Option<ClientKey> {
        let firsts = clients_for(pool).iter().filter_map(|&class| {
            let mut clients = self.0[class as usize].in_order().take(SEARCH_MAX);
            clients.find(|&(_, key)| may_have(key))
        });
        firsts.min_by_key(|&(place, _)| place).map(|(_, key)| key)
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(TurnOrder::len).sum()
    }

    pub(super) fn len_of(&self, class: NatClass) -> usize {
        self.0[class as usize].len()
    }

    fn insert(&mut self, turn: Turn, place: Place, key: ClientKey) {
        let order = &mut self.0[place.class as usize];
        order.insert(Some(turn), place.party(), place.arrival, key);
    }

    pub(super) fn keys(&self) -> Vec<ClientKey> {
        self.0.iter().flat_map(TurnOrder::keys).collect()
    }
}

/// The clients that wait for a proxy.
#[derive(Debug)]
pub(super) struct WaitingClients {
    /// Nobody has had their offers.
    pub(super) queued: ClientQueue,
    /// A proxy has had their offers and not answered in time.
    pub(super) overdue: ClientQueue,
    /// The last turns of networks with clients that wait, and the numbers of those.
    networks: HashMap<u64, (u64, usize), FixedState>,
    absent: PastTurns,
}

impl WaitingClients {
    pub(super) fn new(networks_max: usize) -> Self {
        Self {
            queued: ClientQueue::default(),
            overdue: ClientQueue::default(),
            networks: HashMap::default(),
            absent: PastTurns::new(networks_max),
        }
    }

    pub(super) fn set_networks_max(&mut self, max: usize) {
        self.absent.set_max(max);
    }

    pub(super) fn insert_queued(&mut self, place: Place, key: ClientKey) {
        let turn = self.enter(place);
        self.queued.insert(turn, place, key);
    }

    pub(super) fn insert_overdue(&mut self, place: Place, key: ClientKey) {
        let turn = self.enter(place);
        self.overdue.insert(turn, place, key);
    }

    /// Removes the client, wherever it is.
    pub(super) fn leave(&mut self, place: Place) {
        let turn = Some(self.turn(place));
        for queue in [&mut self.queued, &mut self.overdue] {
            let order = &mut queue.0[place.class as usize];
            if order.remove(turn, place.party(), place.arrival)
                && let Some(network) = place.network
                && let Some((turn, count)) = self.networks.get_mut(&network)
            {
                *count -= 1;
                if *count == 0 {
                    self.absent.remember(network, *turn);
                    self.networks.remove(&network);
                }
            }
        }
    }

    /// Notes that a client of the network has a proxy, as this turn.
    pub(super) fn took_turn(&mut self, network: Option<u64>, turn: u64) {
        let Some(network) = network else {
            return;
        };
        let Some((last, _)) = self.networks.get_mut(&network) else {
            return self.absent.remember(network, turn);
        };
        let from = std::mem::replace(last, turn);
        let queues = [&mut self.queued, &mut self.overdue].into_iter();
        for order in queues.flat_map(|queue| &mut queue.0) {
            order.change_turn(
                Party::Of(network),
                Some(Turn::last(from)),
                Some(Turn::last(turn)),
            );
        }
    }

    /// Counts one more client that waits. Returns its turn.
    fn enter(&mut self, place: Place) -> Turn {
        if let Some(network) = place.network {
            let absent = &mut self.absent;
            let known = self.networks.entry(network);
            let (_, count) = known.or_insert_with(|| (absent.take(network), 0));
            *count += 1;
        }
        self.turn(place)
    }

    fn turn(&self, place: Place) -> Turn {
        let Some(network) = place.network else {
            return Turn::last(place.arrival);
        };
        let turn = self.networks.get(&network).map_or(0, |&(turn, _)| turn);
        Turn::last(turn)
    }
}
