use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::listener::Settings;
use crate::listener::accounts::holder::HolderState;
use crate::listener::accounts::payer::NetworkHasher;
use crate::listener::accounts::{Bounds, Payer};

thread_local! {
    /// The number of entries examined to find a holder that must go.
    pub(super) static STEPS: Cell<usize> = const { Cell::new(0) };
}

/// True for a connection, and the time of its arrival or idling: the smallest goes first.
type Turn = (bool, u64);

/// A ledger, and its holders in the order of arrival.
struct Scene {
    ledger: Ledger,
    hasher: NetworkHasher,
    came: Vec<HolderKey>,
}

impl Scene {
    fn new(bounds: Bounds) -> Self {
        Self {
            ledger: Ledger::new(bounds),
            hasher: NetworkHasher::default(),
            came: Vec::new(),
        }
    }

    fn open(&mut self, address: IpAddr, kind: HolderKind, cost: usize) -> HolderKey {
        let path = self.hasher.of(Payer::Address(address));
        let state = Arc::new(HolderState::default());
        let key = self.ledger.open(Holder::new(path, kind, cost, state));
        self.came.push(key);
        key
    }

    fn leaving(&self) -> BTreeSet<HolderKey> {
        let holders = self.ledger.holders.iter();
        let leaving = holders.filter(|(_, holder)| holder.is_leaving);
        leaving.map(|(key, _)| key).collect()
    }

    /// All remaining holders with their position in the order of going: for an address,
    /// requests by arrival, then connections by idle time.
    fn turns(&self) -> Vec<(HolderKey, &Holder, Option<Turn>)> {
        let staying = self.came.iter().enumerate().filter_map(|(number, key)| {
            let holder = self.ledger.holders.get(*key)?;
            let turn = match holder.kind {
                HolderKind::Request => Some((false, u64::try_from(number).unwrap())),
                HolderKind::Connection => holder.idle_since.map(|since| (true, since)),
            };
            Some((*key, holder, turn)).filter(|_| !holder.is_leaving)
        });
        staying.collect()
    }

    /// The holders that a full search would choose to free this many bytes.
    fn naive_relief(&self, bytes: usize) -> BTreeSet<HolderKey> {
        let bounds = self.ledger.bounds;
        let excess = self.ledger.excess(bytes);
        let mut wanted = excess + bounds.high_water.min(bounds.bytes) / HEADROOM;
        let turns = self.turns();
        let mut weights: HashMap<u64, usize> = HashMap::new();
        for (_, holder, _) in &turns {
            let weight = weights.entry(holder.path.hashes()[0]).or_default();
            *weight += holder.weight();
        }
        let mut largest: Vec<(usize, u64)> = weights.into_iter().map(|(a, w)| (w, a)).collect();
        largest.sort_unstable_by_key(|account| Reverse(*account));
        let (mut freed, mut gone) = (0, self.leaving());
        for (_, address) in largest.into_iter().take(PAYERS_MAX) {
            let mut of_address: Vec<_> = turns
                .iter()
                .filter(|(_, holder, _)| holder.path.hashes()[0] == address)
                .filter_map(|(key, holder, turn)| Some(((*turn)?, *key, holder.weight())))
                .collect();
            of_address.sort_unstable();
            for (_, key, weight) in of_address {
                if freed < wanted {
                    freed += weight;
                    gone.insert(key);
                }
            }
            wanted = excess;
        }
        gone
    }

    /// The connections that a full search would choose to make room for one more.
    fn naive_idle(&self) -> BTreeSet<HolderKey> {
        let idle = self.turns().into_iter().filter_map(|(key, holder, turn)| {
            let (_, since) = turn.filter(|_| holder.kind == HolderKind::Connection)?;
            let network = *holder.path.hashes().last()?;
            let connections = self.ledger.accounts[&network].connections;
            Some(((connections, network, Reverse(since)), key))
        });
        let mut gone = self.leaving();
        gone.extend(idle.max().map(|(_, key)| key));
        gone
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Open(u8, bool),
    Close(usize),
    Grow(usize, usize),
    Shrink(usize, usize),
    Idle(usize, bool),
    Stay(usize),
    Relieve(usize),
    MakeRoom,
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<usize>;
    prop_oneof![
        4 => (0..12_u8, any::<bool>()).prop_map(|(who, is_request)| Step::Open(who, is_request)),
        2 => which().prop_map(Step::Close),
        2 => (which(), 0..20_000_usize).prop_map(|(at, bytes)| Step::Grow(at, bytes)),
        2 => (which(), 0..20_000_usize).prop_map(|(at, bytes)| Step::Shrink(at, bytes)),
        4 => (which(), any::<bool>()).prop_map(|(at, is_idle)| Step::Idle(at, is_idle)),
        1 => which().prop_map(Step::Stay),
        2 => (0..20_000_usize).prop_map(Step::Relieve),
        2 => Just(Step::MakeRoom),
    ]
}

/// Four networks of IPv4 and IPv6, some with several addresses.
fn address(who: u8) -> IpAddr {
    if who.is_multiple_of(2) {
        Ipv4Addr::new(10, 0, who % 4, who).into()
    } else {
        format!("2001:db8:{}:{}::1", who % 4, who).parse().unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// After any history, the chosen holders are those that a full search finds.
    #[test]
    fn whoever_goes_is_whom_a_naive_search_finds(
        steps in prop::collection::vec(step(), 1..300),
        high_water in 20_000..300_000_usize,
    ) {
        let mut scene = Scene::new(Bounds { bytes: 150_000, high_water });
        for step in steps {
            let count = scene.came.len().max(1);
            let at = |at: usize| scene.came.get(at % count).copied().unwrap_or_default();
            match step {
                Step::Open(who, true) => drop(scene.open(address(who), HolderKind::Request, 2_000)),
                Step::Open(who, false) => drop(scene.open(address(who), HolderKind::Connection, 8_000)),
                Step::Close(which) => scene.ledger.close(at(which)),
                Step::Grow(which, bytes) => scene.ledger.add(at(which), bytes),
                Step::Shrink(which, bytes) => scene.ledger.give_back(at(which), bytes),
                Step::Idle(which, is_idle) => scene.ledger.set_idle(at(which), is_idle),
                Step::Stay(which) => scene.ledger.stay(at(which)),
                Step::Relieve(bytes) => {
                    let expected = scene.naive_relief(bytes);
                    scene.ledger.relieve(bytes);
                    prop_assert_eq!(scene.leaving(), expected);
                }
                Step::MakeRoom => {
                    let expected = scene.naive_idle();
                    scene.ledger.revoke_idle_connection();
                    prop_assert_eq!(scene.leaving(), expected);
                }
            }
            let accounts = scene.ledger.accounts.values();
            for account in accounts {
                let most = 2 * account.holders + QUEUE_SLACK + 2;
                prop_assert!(account.requests.len() <= most && account.idle.len() <= most);
            }
        }
        for key in std::mem::take(&mut scene.came) {
            scene.ledger.close(key);
        }
        prop_assert!(scene.ledger.is_empty());
    }
}

/// Regression: the connection was queued behind others that had become idle later, and
/// went after them although its idle time was longer.
#[test]
fn a_connection_that_stays_idles_anew() {
    let mut scene = Scene::new(Bounds::default());
    let [first, second] = [(); 2].map(|()| scene.open(address(0), HolderKind::Connection, 8_000));
    for key in [first, second] {
        scene.ledger.set_idle(key, true);
    }
    scene.ledger.revoke_idle_connection();
    assert_eq!(scene.leaving(), BTreeSet::from([first]));
    scene.ledger.stay(first);
    scene.ledger.revoke_idle_connection();
    assert_eq!(scene.leaving(), BTreeSet::from([second]));
    scene.ledger.revoke_idle_connection();
    assert_eq!(scene.leaving(), BTreeSet::from([first, second]));
}

const MANY: u32 = 100_000;

/// Many connections, two from each network.
fn crowd(scene: &mut Scene) -> Vec<HolderKey> {
    let addresses = (0..MANY).map(|number| {
        let [_, a, b, c] = ((number / 2) << 8 | (number % 2)).to_be_bytes();
        IpAddr::from(Ipv4Addr::new(20, a, b, c))
    });
    let connections = addresses.map(|address| scene.open(address, HolderKind::Connection, 8_000));
    connections.collect()
}

fn steps_of(what: impl FnOnce()) -> usize {
    STEPS.set(0);
    what();
    STEPS.get()
}

#[test]
fn a_full_house_is_not_searched_for_each_newcomer() {
    let mut scene = Scene::new(Bounds {
        bytes: usize::MAX,
        high_water: usize::MAX,
    });
    let crowd = crowd(&mut scene);
    let settings = Settings {
        max_connections: crowd.len(),
        max_connections_per_peer: 0,
        ..Settings::default()
    };
    let newcomer = scene.hasher.of(Payer::Address(address(0)));
    let come = |ledger: &mut Ledger| {
        steps_of(|| {
            for _ in 0..1_000 {
                ledger.admit(&newcomer, &settings, 8_000).ok();
            }
        })
    };
    // No connection is idle, all have been, all are.
    assert_eq!(come(&mut scene.ledger), 0);
    for is_idle in [true, false] {
        for key in &crowd {
            scene.ledger.set_idle(*key, is_idle);
        }
    }
    let once = come(&mut scene.ledger);
    assert!(once <= 2 * crowd.len() + 1_000, "{once}");
    assert_eq!(come(&mut scene.ledger), 0);
    for key in &crowd {
        scene.ledger.set_idle(*key, true);
    }
    let steps = come(&mut scene.ledger);
    assert!(steps <= 5_000, "{steps}");
    assert_eq!(scene.leaving().len(), 1_000);
}

#[test]
fn a_full_memory_is_not_searched_for_each_byte() {
    let weight = usize::try_from(MANY).unwrap() * 8_000;
    let mut scene = Scene::new(Bounds {
        bytes: usize::MAX,
        high_water: weight,
    });
    let crowd = crowd(&mut scene);
    let grow = |ledger: &mut Ledger| {
        steps_of(|| {
            for key in crowd.iter().take(1_000) {
                ledger.take(*key, 100).ok();
            }
        })
    };
    // First all are busy, so that none can be told to go; then all are idle. The order is
    // built once.
    let once = grow(&mut scene.ledger);
    assert!(once <= crowd.len(), "{once}");
    assert_eq!(grow(&mut scene.ledger), 0);
    for key in &crowd {
        scene.ledger.set_idle(*key, true);
    }
    let steps = grow(&mut scene.ledger);
    assert!(steps <= 10_000, "{steps}");
    assert!(!scene.leaving().is_empty());
}
