//! The bridges' health, and the choice of an address by it.

use std::sync::Arc;

use crate::bridges::health::Health;
use crate::bridges::{AddressState, BridgeHealth, NoAddress};
use crate::metrics::labels::{BridgeCondition, BridgeState};
use crate::wire::fingerprint::Fingerprint;

use super::control::BrokerControl;
use super::{Broker, Directory};

impl Broker {
    /// Chooses the address for a new client of a bridge.
    pub(super) fn choose_relay(
        &self,
        directory: &Directory,
        fingerprint: Fingerprint,
    ) -> Result<Arc<str>, NoAddress> {
        let health = self.bridge_health.load();
        directory
            .bridges
            .choose(fingerprint, &health, || self.lock().random())
    }
}

impl BrokerControl<'_> {
    /// Replaces what is known about the health of the bridges' addresses.
    pub fn set_bridge_health(self, health: BridgeHealth) {
        let health = Arc::new(health);
        for pool in self.private_pools() {
            pool.broker.bridge_health.store(Arc::clone(&health));
        }
        self.broker.bridge_health.store(health);
    }

    /// The health of the bridges' addresses, as far as it is known.
    pub fn bridge_health(self) -> Arc<BridgeHealth> {
        self.broker.bridge_health.load_full()
    }

    /// The state and health of each address of the bridges.
    pub(super) fn bridge_addresses(self) -> Vec<(BridgeState, BridgeCondition)> {
        let (directory, health) = (self.broker.directory(), self.bridge_health());
        let addresses = directory.bridges.addresses().into_iter();
        addresses
            .map(|(_, address)| {
                let condition = condition(health.health(&address.relay_url));
                (state(address.state), condition)
            })
            .collect()
    }
}

fn state(state: AddressState) -> BridgeState {
    match state {
        AddressState::Up => BridgeState::Up,
        AddressState::Drain => BridgeState::Drain,
        AddressState::Down => BridgeState::Down,
    }
}

fn condition(health: Health) -> BridgeCondition {
    match health {
        Health::Unknown => BridgeCondition::Unknown,
        Health::Well => BridgeCondition::Well,
        Health::Ailing => BridgeCondition::Ailing,
    }
}
