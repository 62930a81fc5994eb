//! The proxies that were here in the last minutes, by keyed hashes of their networks, so that
//! volunteers can ask whether theirs is seen.
//!
//! A table is filled for ten minutes, under a key of its own; the one before is kept beside
//! it. Whoever shares a network may ask about it, so matches are told by the minute only:
//! otherwise a neighbour could see when somebody uses Snowflake.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use ipnet::IpNet;

use crate::metrics::labels::Refusal;
use crate::networks::smallest;
use crate::wire::nat::NatClass;
use crate::wire::proxy::{ProxyType, ProxyTypes};

use super::limits::LimitKey;
use super::lock::{Mutex, MutexGuard};
use super::{Broker, RequestOrigin, clock};

/// The time for which a table is filled, and for which a proxy counts as seen.
const PERIOD: Duration = Duration::from_mins(10);
/// The most networks in a table, of which there are two. Full, each has 3.4 MB: 131,072 places
/// of 25 bytes.
const NETWORKS_MAX: usize = 100_000;
const MINUTE: u64 = 60;
/// The network of programs on this machine.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The recent proxies of a network, if the broker knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sighted {
    /// There were some.
    Seen(Sighting),
    /// There was none.
    NotSeen,
    /// They are not remembered, or there were too many networks for that.
    Forgotten,
    /// An intermediary does not say whose request it forwards.
    Hidden,
}

/// Proxies of one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// The pools in which their polls were.
    pub nats: Vec<NatClass>,
    /// The types of programs.
    pub types: Vec<ProxyType>,
    /// The reasons for which polls were refused.
    pub refusals: Vec<Refusal>,
    /// The clients that they were handed until the last full minute.
    pub matches: u32,
}

/// An event of a proxy.
#[derive(Clone, Copy, Debug)]
pub(super) enum SightedAct {
    /// It polls for a pool.
    Poll(NatClass, ProxyType),
    /// A poll is refused.
    Refusal(Refusal),
    /// A poll gets a client.
    Match,
}

/// The proxies of the present period and the one before.
#[derive(Debug)]
pub(super) struct Sightings {
    types: ProxyTypes,
    since: Instant,
    recent: SightingTable,
    previous: Option<SightingTable>,
}

#[derive(Debug)]
struct SightingTable {
    key: LimitKey,
    networks: HashMap<u64, SightedNetwork, FixedState>,
    /// True if there were more networks than places.
    is_full: bool,
}

/// The proxies of a network in a period. Sets are bits, by the places in their lists.
#[derive(Clone, Copy, Debug, Default)]
struct SightedNetwork {
    /// The last event, in seconds from the start of the period.
    last: u16,
    nats: u8,
    types: u32,
    refusals: u32,
    /// The matches of earlier minutes, and those of this minute.
    matches: u16,
    new_matches: u16,
    minute: u8,
}

impl Broker {
    /// Remembers proxies for a while, for [`Self::sighted`]. `key` is random.
    #[must_use]
    pub fn remembering_proxies(mut self, key: LimitKey) -> Self {
        let types = self.metrics.proxy_types().clone();
        self.sightings = Some(Mutex::new(Sightings::new(clock::now(), types, key)));
        self
    }

    /// The recent proxies of whoever asks.
    pub fn sighted(&self, asks: RequestOrigin) -> Sighted {
        match (self.sightings(), network(asks)) {
            (Some(mut sightings), Some(network)) => sightings.find(clock::now(), network),
            (Some(_), None) => Sighted::Hidden,
            (None, _) => Sighted::Forgotten,
        }
    }

    /// Notes a poll that was refused before it was understood.
    pub fn refused_unread(&self, origin: RequestOrigin, reason: Refusal) {
        self.note(origin, SightedAct::Refusal(reason));
    }

    /// Notes an event of a proxy, if proxies are remembered.
    pub(super) fn note(&self, origin: RequestOrigin, act: SightedAct) {
        if let (Some(mut sightings), Some(network)) = (self.sightings(), network(origin)) {
            sightings.note(clock::now(), network, act);
        }
    }

    /// Forgets proxies whose time is over.
    pub(super) fn forget_sightings(&self) {
        if let Some(mut sightings) = self.sightings() {
            sightings.advance(clock::now());
        }
    }

    /// Each change leaves the tables whole, so a panic elsewhere does not matter.
    fn sightings(&self) -> Option<MutexGuard<'_, Sightings>> {
        let sightings = self.sightings.as_ref()?.lock();
        Some(sightings.unwrap_or_else(PoisonError::into_inner))
    }
}

/// The network that an origin belongs to. An address that a stranger claims to forward for is
/// not believed.
fn network(origin: RequestOrigin) -> Option<IpNet> {
    match origin {
        RequestOrigin::Sender(address) | RequestOrigin::Unconfirmed { peer: address, .. } => {
            Some(smallest(address))
        }
        RequestOrigin::Local => Some(smallest(HERE)),
        RequestOrigin::Intermediary(_) | RequestOrigin::Queue => None,
    }
}

impl Sightings {
    fn new(now: Instant, types: ProxyTypes, key: LimitKey) -> Self {
        Self {
            types,
            since: now,
            recent: SightingTable::new(key),
            previous: None,
        }
    }

    fn note(&mut self, now: Instant, network: IpNet, act: SightedAct) {
        self.advance(now);
        let seconds = self.seconds(now);
        let types = &self.types;
        let noted = match act {
            // Refused polls cost their sender nothing, and would fill the places of others.
            SightedAct::Refusal(_) => self.recent.find_mut(network),
            SightedAct::Poll(..) | SightedAct::Match => self.recent.place(network),
        };
        let Some(noted) = noted else {
            return;
        };
        noted.last = u16::try_from(seconds).unwrap_or(u16::MAX);
        match act {
            SightedAct::Poll(nat, r#type) => {
                noted.nats |= 1 << nat as u8;
                let place = types.iter().position(|it| it == r#type);
                noted.types |= place.map_or(0, |place| 1 << place);
            }
            SightedAct::Refusal(reason) => noted.refusals |= 1 << reason as u32,
            SightedAct::Match => noted.count_match(minute(seconds)),
        }
    }

    fn find(&mut self, now: Instant, network: IpNet) -> Sighted {
        self.advance(now);
        let seconds = self.seconds(now);
        let recent = self.recent.find(network);
        let previous = self.previous.as_ref();
        let earlier = previous.and_then(|table| table.find(network));
        let is_seen = recent.is_some() || earlier.is_some_and(|it| u64::from(it.last) > seconds);
        let is_full = self.recent.is_full || previous.is_some_and(|table| table.is_full);
        if is_seen {
            let [recent, earlier] = [recent, earlier].map(Option::unwrap_or_default);
            Sighted::Seen(self.sighting(recent, earlier, minute(seconds)))
        } else if is_full {
            Sighted::Forgotten
        } else {
            Sighted::NotSeen
        }
    }

    /// The proxies of a network in the present period and in the one before.
    fn sighting(&self, recent: SightedNetwork, earlier: SightedNetwork, minute: u8) -> Sighting {
        let nats = u32::from(recent.nats | earlier.nats);
        let types = recent.types | earlier.types;
        let refusals = recent.refusals | earlier.refusals;
        Sighting {
            nats: members(nats, NatClass::ALL),
            types: members(types, self.types.iter()),
            refusals: members(refusals, Refusal::ALL),
            matches: recent.matches_before(minute) + earlier.all_matches(),
        }
    }

    /// Starts a new period when the present one is over.
    fn advance(&mut self, now: Instant) {
        while now.saturating_duration_since(self.since) >= PERIOD {
            let next = SightingTable::new(self.recent.key.next());
            self.previous = Some(std::mem::replace(&mut self.recent, next));
            self.since += PERIOD;
        }
    }

    /// The seconds since the start of the period.
    fn seconds(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.since).as_secs()
    }
}

/// The members of a set, of which each bit stands for the item at its place.
fn members<T>(set: u32, all: impl IntoIterator<Item = T>) -> Vec<T> {
    let is_member = |place: usize| set >> place & 1 == 1;
    let all = all.into_iter().enumerate();
    all.filter_map(|(place, item)| is_member(place).then_some(item))
        .collect()
}

/// The minute of a second of a period. There are ten.
fn minute(seconds: u64) -> u8 {
    u8::try_from(seconds / MINUTE).unwrap_or(u8::MAX)
}

impl SightingTable {
    fn new(key: LimitKey) -> Self {
        Self {
            key,
            networks: HashMap::default(),
            is_full: false,
        }
    }

    fn find(&self, network: IpNet) -> Option<SightedNetwork> {
        self.networks.get(&self.key.source(network)).copied()
    }

    fn find_mut(&mut self, network: IpNet) -> Option<&mut SightedNetwork> {
        self.networks.get_mut(&self.key.source(network))
    }

    /// The place of a network, unless all are taken by others.
    fn place(&mut self, network: IpNet) -> Option<&mut SightedNetwork> {
        let hash = self.key.source(network);
        if self.networks.len() >= NETWORKS_MAX && !self.networks.contains_key(&hash) {
            self.is_full = true;
            return None;
        }
        Some(self.networks.entry(hash).or_default())
    }
}

impl SightedNetwork {
    fn count_match(&mut self, minute: u8) {
        if self.minute != minute {
            self.matches = self.matches.saturating_add(self.new_matches);
            (self.minute, self.new_matches) = (minute, 0);
        }
        self.new_matches = self.new_matches.saturating_add(1);
    }

    /// The matches before the start of this minute.
    fn matches_before(&self, minute: u8) -> u32 {
        if self.minute == minute {
            self.matches.into()
        } else {
            self.all_matches()
        }
    }

    fn all_matches(&self) -> u32 {
        u32::from(self.matches) + u32::from(self.new_matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL: SightedAct = SightedAct::Poll(NatClass::Moderate, ProxyType::WEBEXT);

    struct Scene {
        sightings: Sightings,
        now: Instant,
    }

    impl Scene {
        fn new() -> Self {
            let (now, key) = (clock::now(), LimitKey::from([7; 16]));
            Self {
                sightings: Sightings::new(now, ProxyTypes::default(), key),
                now,
            }
        }

        fn pass(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }

        fn note(&mut self, address: &str, act: SightedAct) {
            let network = smallest(address.parse().unwrap());
            self.sightings.note(self.now, network, act);
        }

        fn find(&mut self, address: &str) -> Sighted {
            let network = smallest(address.parse().unwrap());
            self.sightings.find(self.now, network)
        }

        fn is_seen(&mut self, address: &str) -> bool {
            matches!(self.find(address), Sighted::Seen(_))
        }

        fn matches(&mut self, address: &str) -> u32 {
            match self.find(address) {
                Sighted::Seen(sighting) => sighting.matches,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn all_that_proxies_of_a_network_do_is_told() {
        let mut scene = Scene::new();
        scene.note("2001:db8::1", POLL);
        scene.note(
            "2001:db8::2",
            SightedAct::Poll(NatClass::Open, ProxyType::UNKNOWN),
        );
        scene.note("2001:db8::2", SightedAct::Refusal(Refusal::Stale));
        scene.note("2001:db8::2", SightedAct::Refusal(Refusal::Pattern));
        let seen = Sighting {
            nats: vec![NatClass::Open, NatClass::Moderate],
            types: vec![ProxyType::WEBEXT, ProxyType::UNKNOWN],
            refusals: vec![Refusal::Pattern, Refusal::Stale],
            matches: 0,
        };
        assert_eq!(scene.find("2001:db8::3"), Sighted::Seen(seen));
        assert_eq!(scene.find("2001:db8:0:1::1"), Sighted::NotSeen);
    }

    #[test]
    fn a_proxy_is_seen_for_ten_minutes() {
        for start in [0, 5, 599] {
            let mut scene = Scene::new();
            scene.pass(start);
            scene.note("192.0.2.1", POLL);
            scene.pass(599);
            assert!(scene.is_seen("192.0.2.1"), "{start}");
            scene.pass(1);
            assert!(!scene.is_seen("192.0.2.1"), "{start}");
        }
    }

    #[test]
    fn matches_are_told_when_their_minute_is_over() {
        let mut scene = Scene::new();
        scene.note("192.0.2.1", POLL);
        for expected in [0, 2, 4] {
            scene.note("192.0.2.1", SightedAct::Match);
            scene.pass(59);
            scene.note("192.0.2.1", SightedAct::Match);
            assert_eq!(scene.matches("192.0.2.1"), expected);
            scene.pass(1);
        }
        assert_eq!(scene.matches("192.0.2.1"), 6);
        scene.pass(420);
        scene.note("192.0.2.1", SightedAct::Match);
        assert_eq!(scene.matches("192.0.2.1"), 6);
        scene.pass(60);
        assert_eq!(scene.matches("192.0.2.1"), 7);
    }

    #[test]
    fn the_tables_and_their_keys_go_in_time() {
        let mut scene = Scene::new();
        scene.note("192.0.2.1", POLL);
        let key = |table: &SightingTable| table.key.text("");
        let first = key(&scene.sightings.recent);
        scene.pass(600);
        scene.sightings.advance(scene.now);
        let previous = scene.sightings.previous.as_ref();
        assert_eq!(previous.map(key), Some(first));
        assert_ne!(key(&scene.sightings.recent), first);
        scene.pass(600);
        scene.sightings.advance(scene.now);
        let previous = scene.sightings.previous.as_ref().unwrap();
        assert!(key(previous) != first && previous.networks.is_empty());
    }

    #[test]
    fn polls_that_are_not_understood_take_no_place() {
        let mut scene = Scene::new();
        scene.note("192.0.2.1", SightedAct::Refusal(Refusal::BadRequest));
        assert_eq!(scene.find("192.0.2.1"), Sighted::NotSeen);
        assert!(scene.sightings.recent.networks.is_empty());
    }

    #[test]
    fn a_full_table_says_so_and_keeps_whom_it_has() {
        let mut scene = Scene::new();
        scene.note("192.0.2.1", POLL);
        for number in 0..u32::try_from(NETWORKS_MAX).unwrap() {
            let address = IpAddr::from(Ipv4Addr::from(number));
            scene.sightings.note(scene.now, smallest(address), POLL);
        }
        assert_eq!(scene.sightings.recent.networks.len(), NETWORKS_MAX);
        assert!(scene.is_seen("192.0.2.1"));
        assert_eq!(scene.find("192.0.2.2"), Sighted::Forgotten);
        // What is said of the size of an entry.
        assert_eq!(size_of::<(u64, SightedNetwork)>(), 24);
    }
}
