//! The list of bridges, and the choice of an address for a client.

use std::collections::HashMap;
use std::sync::Arc;

use crate::wire::fingerprint::Fingerprint;

use super::address::{AddressState, BridgeAddress};
use super::health::BridgeHealth;
use super::line::{BridgeLine, InvalidBridge, written};

/// The host of the Tor Project's bridge, to which proxies connect that know of no other.
const TORS_HOST: &str = "snowflake.torproject.net";

/// All bridges, by fingerprint.
#[derive(Clone, Debug, PartialEq)]
pub struct BridgeList {
    /// The addresses of each bridge, at least one, sorted by URL.
    bridges: HashMap<Fingerprint, Vec<BridgeAddress>>,
    /// The lines without effect, each with the later line that replaces it.
    pub(super) overridden: Vec<OverriddenLine>,
}

/// A line without effect. Lines are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverriddenLine {
    /// The number of the line.
    pub line: usize,
    /// The number of the later line that counts in its place.
    pub by: usize,
    /// True if both have the same address, of a bridge with several.
    pub has_same_address: bool,
}

/// The reason why a bridge list is refused as a whole.
#[derive(Debug, thiserror::Error)]
pub enum InvalidBridgeList {
    /// One line is invalid.
    #[error("line {line}: {problem}")]
    Line {
        /// The line number, counted from 1.
        line: usize,
        /// The error in the line.
        problem: InvalidBridge,
    },
    /// The list is empty, so no client could be served.
    #[error("has no bridge in it")]
    Empty,
}

/// The reason why a client gets no address of its bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAddress {
    /// The bridge is not in the list.
    UnknownBridge,
    /// No address of the bridge is up.
    BridgeDraining,
}

/// A change of addresses. What is `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AddressChange {
    /// The new weight.
    pub weight: Option<f64>,
    /// The new state.
    pub state: Option<AddressState>,
}

impl BridgeList {
    /// Parses JSON lines with keys in any case. Blank lines are skipped, and one bad line
    /// refuses the whole list.
    ///
    /// Lines with the same fingerprint are addresses of one bridge if at least one of them
    /// has a weight or a state. Otherwise the last one counts, as in the reference broker.
    pub fn parse(text: &str) -> Result<Self, InvalidBridgeList> {
        let mut lines = Vec::new();
        for (text, line) in text.lines().zip(1..) {
            if text.trim().is_empty() {
                continue;
            }
            let parsed = BridgeLine::parse(text);
            let parsed = parsed.map_err(|problem| InvalidBridgeList::Line { line, problem })?;
            lines.push((line, parsed));
        }
        if lines.is_empty() {
            return Err(InvalidBridgeList::Empty);
        }
        Ok(Self::from_lines(lines))
    }

    fn from_lines(lines: Vec<(usize, BridgeLine)>) -> Self {
        let mut bridges: HashMap<Fingerprint, ParsedBridge> = HashMap::new();
        for (number, line) in lines {
            let bridge = bridges.entry(line.fingerprint).or_default();
            bridge.is_extended |= line.is_extended;
            bridge.lines.push((number, line.address));
        }
        let mut list = Self {
            bridges: HashMap::with_capacity(bridges.len()),
            overridden: Vec::new(),
        };
        for (fingerprint, bridge) in bridges {
            let addresses = bridge.addresses(&mut list.overridden);
            list.bridges.insert(fingerprint, addresses);
        }
        list.overridden
            .sort_unstable_by_key(|line| (line.by, line.line));
        list
    }

    /// The number of bridges.
    pub fn count(&self) -> usize {
        self.bridges.len()
    }

    /// Returns true if the Tor Project's bridge is the only one. Its address counts, too:
    /// the same fingerprint elsewhere is another machine.
    pub fn is_tors_alone(&self) -> bool {
        let is_there = |address: &BridgeAddress| address.host().eq_ignore_ascii_case(TORS_HOST);
        let tors = self.bridges.get(&Fingerprint::DEFAULT);
        self.count() == 1 && tors.is_some_and(|addresses| addresses.iter().all(is_there))
    }

    /// All addresses, sorted by their bridge's fingerprint and their URL.
    pub fn addresses(&self) -> Vec<(Fingerprint, &BridgeAddress)> {
        let bridges = self.sorted().into_iter();
        bridges
            .flat_map(|(by, addresses)| addresses.iter().map(move |address| (by, address)))
            .collect()
    }

    /// All bridges with their addresses, sorted by fingerprint.
    pub fn sorted(&self) -> Vec<(Fingerprint, &[BridgeAddress])> {
        let bridges = self.bridges.iter();
        let mut sorted: Vec<_> = bridges.map(|(&by, addresses)| (by, &**addresses)).collect();
        sorted.sort_unstable_by_key(|(fingerprint, _)| *fingerprint);
        sorted
    }

    /// The bridges with an address that is up, sorted.
    pub fn taking_clients(&self) -> impl Iterator<Item = Fingerprint> {
        let bridges = self.sorted().into_iter();
        let up = bridges.filter(|(_, addresses)| addresses.iter().any(takes_clients));
        up.map(|(fingerprint, _)| fingerprint)
    }

    /// The list in the format that [`Self::parse`] reads, sorted by fingerprint and URL.
    pub fn to_lines(&self) -> String {
        let lines = self.sorted().into_iter().flat_map(|(by, addresses)| {
            let has_several = addresses.len() > 1;
            let line = move |address| written(by, address, has_several);
            addresses.iter().map(line)
        });
        lines.collect()
    }

    /// Chooses the address for a new client of a bridge. Addresses that are up take turns
    /// by weight; `random`, from 0 to 1, is asked only if there is a choice.
    pub fn choose(
        &self,
        fingerprint: Fingerprint,
        health: &BridgeHealth,
        random: impl FnOnce() -> f64,
    ) -> Result<Arc<str>, NoAddress> {
        let addresses = self.bridges.get(&fingerprint);
        let addresses = addresses.ok_or(NoAddress::UnknownBridge)?;
        let chosen = match &addresses[..] {
            [only] => takes_clients(only).then_some(only),
            several => choose_among(several, health, random),
        };
        let chosen = chosen.ok_or(NoAddress::BridgeDraining)?;
        Ok(Arc::clone(&chosen.relay_url))
    }

    /// Returns true if an address that is up gets no clients because of its health: another
    /// one of its bridge is up and not to be avoided.
    pub fn is_taken_out(
        &self,
        fingerprint: Fingerprint,
        address: &BridgeAddress,
        health: &BridgeHealth,
    ) -> bool {
        let others = self.bridges.get(&fingerprint).into_iter().flatten();
        let mut usable =
            others.filter(|other| takes_clients(other) && !health.avoids(&other.relay_url));
        takes_clients(address) && health.avoids(&address.relay_url) && usable.next().is_some()
    }

    /// Changes an address of a bridge, or all of them if `relay_url` is `None`. Returns
    /// the number of addresses that this is about; 0 if there is none.
    pub fn change(
        &mut self,
        fingerprint: Fingerprint,
        relay_url: Option<&str>,
        change: AddressChange,
    ) -> usize {
        let addresses = self.bridges.get_mut(&fingerprint);
        let addresses = addresses.into_iter().flatten();
        let asked =
            addresses.filter(|address| relay_url.is_none_or(|asked| *asked == *address.relay_url));
        let mut count = 0;
        for address in asked {
            change.apply(address);
            count += 1;
        }
        count
    }
}

/// Returns true if an address takes new clients.
pub(super) fn takes_clients(address: &BridgeAddress) -> bool {
    address.state == AddressState::Up
}

/// Chooses among the addresses that are up: those that probes found well before those to
/// be avoided, and in either group those with a weight before those without.
fn choose_among<'a>(
    addresses: &'a [BridgeAddress],
    health: &BridgeHealth,
    random: impl FnOnce() -> f64,
) -> Option<&'a BridgeAddress> {
    let rank = |address: &BridgeAddress| (health.avoids(&address.relay_url), address.weight <= 0.0);
    let up = addresses.iter().filter(|address| takes_clients(address));
    let best = up.clone().map(rank).min()?;
    let candidates: Vec<_> = up.filter(|address| rank(address) == best).collect();
    match &candidates[..] {
        [only] => Some(only),
        several => Some(by_weight(several, random())),
    }
}

/// The address at this point of all weights, laid end to end. All count alike if none has
/// a weight. There is at least one address.
fn by_weight<'a>(addresses: &[&'a BridgeAddress], point: f64) -> &'a BridgeAddress {
    let has_weights = addresses.iter().any(|address| address.weight > 0.0);
    let weight = |address: &BridgeAddress| if has_weights { address.weight } else { 1.0 };
    let total: f64 = addresses.iter().map(|address| weight(address)).sum();
    let mut left = point * total;
    for address in addresses {
        left -= weight(address);
        if left < 0.0 {
            return address;
        }
    }
    addresses[addresses.len() - 1]
}

/// The lines of a bridge.
#[derive(Default)]
struct ParsedBridge {
    /// True if a line has a weight or a state.
    is_extended: bool,
    lines: Vec<(usize, BridgeAddress)>,
}

impl ParsedBridge {
    /// The addresses that count, sorted by URL. Notes the lines that do not.
    fn addresses(self, overridden: &mut Vec<OverriddenLine>) -> Vec<BridgeAddress> {
        let has_same_address = self.is_extended;
        let mut kept: Vec<(usize, BridgeAddress)> = Vec::new();
        for (by, address) in self.lines {
            let same = kept
                .iter_mut()
                .find(|(_, earlier)| !has_same_address || earlier.relay_url == address.relay_url);
            match same {
                Some(earlier) => {
                    let line = earlier.0;
                    overridden.push(OverriddenLine {
                        line,
                        by,
                        has_same_address,
                    });
                    *earlier = (by, address);
                }
                None => kept.push((by, address)),
            }
        }
        kept.sort_by(|(_, one), (_, other)| one.relay_url.cmp(&other.relay_url));
        kept.into_iter().map(|(_, address)| address).collect()
    }
}

impl AddressChange {
    fn apply(self, address: &mut BridgeAddress) {
        address.weight = self.weight.unwrap_or(address.weight);
        address.state = self.state.unwrap_or(address.state);
    }
}

/// Several addresses with one fingerprint are of one bridge; of several with one URL, the
/// last counts.
impl FromIterator<(Fingerprint, BridgeAddress)> for BridgeList {
    fn from_iter<I: IntoIterator<Item = (Fingerprint, BridgeAddress)>>(addresses: I) -> Self {
        let line = |(fingerprint, address)| BridgeLine {
            fingerprint,
            address,
            is_extended: true,
        };
        let lines = (1..).zip(addresses.into_iter().map(line)).collect();
        Self {
            overridden: Vec::new(),
            ..Self::from_lines(lines)
        }
    }
}

impl Default for BridgeList {
    /// The Tor Project's bridge.
    fn default() -> Self {
        let url = format!("wss://{TORS_HOST}/");
        let address = BridgeAddress::new("default".to_owned(), &url);
        Self::from_iter(address.map(|address| (Fingerprint::DEFAULT, address)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::health::ProbeFailure;
    use super::*;

    const GOOD: &str = r#"{"displayName":"a","webSocketAddress":"wss://a.example/","fingerprint":"2B280B23E1107BB62ABFC40DDCC8824814F80A72"}"#;

    /// The address of a client that draws the middle.
    fn chosen(list: &BridgeList, fingerprint: Fingerprint) -> Option<String> {
        let chosen = list.choose(fingerprint, &BridgeHealth::default(), || 0.5);
        chosen.ok().map(|url| url.to_string())
    }

    /// A line of the default bridge.
    fn line(host: &str, keys: &str) -> String {
        let line = GOOD.replace("a.example", &format!("{host}.example"));
        line.replace('}', &format!("{keys}}}\n"))
    }

    fn parse(lines: &[(&str, &str)]) -> BridgeList {
        let lines = lines.iter().map(|(host, keys)| line(host, keys));
        BridgeList::parse(&lines.collect::<String>()).unwrap()
    }

    /// The hosts that get clients, each with its number of a thousand evenly drawn ones.
    fn shares(list: &BridgeList, health: &BridgeHealth) -> Vec<(String, usize)> {
        let mut shares = std::collections::BTreeMap::new();
        for draw in 0..1_000 {
            let point = f64::from(draw) / 1_000.0;
            if let Ok(url) = list.choose(Fingerprint::DEFAULT, health, || point) {
                let host = url
                    .trim_start_matches("wss://")
                    .trim_end_matches(".example/");
                *shares.entry(host.to_owned()).or_default() += 1;
            }
        }
        shares.into_iter().collect()
    }

    fn named(shares: &[(&str, usize)]) -> Vec<(String, usize)> {
        let named = shares
            .iter()
            .map(|(host, share)| ((*host).to_owned(), *share));
        named.collect()
    }

    /// These hosts have failed often enough.
    fn ailing(hosts: &[&str], acts: bool) -> BridgeHealth {
        let mut health = BridgeHealth::new(acts);
        for host in hosts {
            let url = format!("wss://{host}.example/").into();
            for _ in 0..2 {
                health.record(&url, Err(ProbeFailure::TooSlow));
            }
        }
        health
    }

    #[test]
    fn lines_become_bridges() {
        let other = GOOD
            .replace("2B28", "0000")
            .replace("a.example", "b.example");
        let list = BridgeList::parse(&format!("{GOOD}\n{other}\n\n")).unwrap();
        let of = |fingerprint| chosen(&list, fingerprint);
        assert_eq!(
            of(Fingerprint::DEFAULT).as_deref(),
            Some("wss://a.example/")
        );
        let other = "00000B23E1107BB62ABFC40DDCC8824814F80A72".parse().unwrap();
        assert_eq!(of(other).as_deref(), Some("wss://b.example/"));
        let unknown = "1".repeat(40).parse().unwrap();
        assert_eq!(
            list.choose(unknown, &BridgeHealth::default(), || 0.0),
            Err(NoAddress::UnknownBridge)
        );
    }

    #[test]
    fn lines_are_read_as_the_reference_broker_reads_them() {
        for line in [
            GOOD.to_uppercase(),
            GOOD.replace("\"a\"", "null"),
            GOOD.replace("\"displayName\":\"a\",", ""),
            GOOD.replace('{', "{\"webSocketAddress\":\"\",\"fingerprint\":\"\","),
            GOOD.replace('}', ",\"fingerprint\":null}\r"),
        ] {
            let list = BridgeList::parse(&line).unwrap();
            let address = chosen(&list, Fingerprint::DEFAULT).unwrap();
            assert_eq!(address.to_lowercase(), "wss://a.example/");
        }
    }

    #[test]
    fn a_bridge_may_be_named_by_its_ed25519_key() {
        let key = "0123456789abcdef".repeat(4);
        let line = GOOD.replace(&Fingerprint::DEFAULT.to_string(), &key);
        let list = BridgeList::parse(&line).unwrap();
        let address = chosen(&list, key.parse().unwrap());
        assert_eq!(address.as_deref(), Some("wss://a.example/"));
        assert_eq!(chosen(&list, Fingerprint::DEFAULT), None);
        assert_eq!(BridgeList::parse(&list.to_lines()).unwrap(), list);
    }

    #[test]
    fn the_default_list_has_the_default_bridge() {
        let chosen = chosen(&BridgeList::default(), Fingerprint::DEFAULT);
        assert_eq!(chosen.as_deref(), Some("wss://snowflake.torproject.net/"));
    }

    #[test]
    fn tors_bridge_is_known_by_its_fingerprint_and_its_host() {
        let is_alone = |text: &str| BridgeList::parse(text).unwrap().is_tors_alone();
        let tors = GOOD.replace("a.example", "Snowflake.TorProject.net:443");
        assert!(BridgeList::default().is_tors_alone());
        assert!(is_alone(&tors));
        assert!(!is_alone(GOOD), "another machine");
        assert!(!is_alone(&tors.replace("2B28", "0000")));
        assert!(!is_alone(&format!(
            "{tors}\n{}",
            tors.replace("2B28", "0000")
        )));
        let elsewhere = line("a", r#","weight":0"#);
        assert!(!is_alone(&format!("{tors}\n{elsewhere}")));
    }

    #[test]
    fn one_bad_line_refuses_the_file_and_is_named() {
        for (bad, problem) in [
            (GOOD.replace("displayName", "name"), "unknown key \"name\""),
            (GOOD.replace("\"a\"", "1"), "displayName is not a string"),
            (GOOD.replace("2B28", "2B2"), "40 or 64 hex digits"),
            (GOOD.replace("wss:", "https:"), "webSocketAddress"),
            ("x".to_owned(), "not a JSON object (column 1)"),
            (format!("{GOOD}x"), "not a JSON object (column 115)"),
            ("{}".to_owned(), "40 or 64 hex digits"),
            (
                GOOD.replace("webSocketAddress", "displayName"),
                "webSocketAddress",
            ),
            (line("a", r#","weight":"1""#), "weight is not a number"),
            (
                line("a", r#","weight":-1"#),
                "weight must be between 0 and 1000000 (got -1)",
            ),
            (line("a", r#","weight":1e999"#), "(got inf)"),
            (line("a", r#","state":true"#), "state is not a string"),
            (
                line("a", r#","state":"Up""#),
                r#"state must be "up", "drain" or "down" (got "Up")"#,
            ),
        ] {
            let error = BridgeList::parse(&format!("{GOOD}\n{bad}"))
                .unwrap_err()
                .to_string();
            assert!(error.starts_with("line 2: "), "{error}");
            assert!(error.contains(problem), "{error}");
        }
        assert!(matches!(
            BridgeList::parse("\n"),
            Err(InvalidBridgeList::Empty)
        ));
    }

    /// The reference broker reads the file so.
    #[test]
    fn of_plain_lines_with_one_fingerprint_the_last_counts() {
        let list = parse(&[
            ("a", ""),
            ("b", ""),
            ("c", r#","weight":null,"state":null"#),
        ]);
        assert_eq!(
            shares(&list, &BridgeHealth::default()),
            named(&[("c", 1_000)])
        );
        assert!(list.overridden.iter().all(|line| !line.has_same_address));
        assert_eq!(list.overridden.len(), 2);
    }

    #[test]
    fn one_new_key_makes_all_lines_addresses() {
        for key in [r#","weight":1"#, r#","state":"up""#, r#","STATE":"up""#] {
            for keys in [[key, "", ""], ["", "", key]] {
                let list = parse(&[("a", keys[0]), ("b", keys[1]), ("c", keys[2])]);
                assert_eq!(list.addresses().len(), 3);
                assert_eq!((list.count(), list.overridden.len()), (1, 0));
            }
        }
        let twice = parse(&[("a", r#","weight":3"#), ("b", ""), ("a", r#","weight":1"#)]);
        assert_eq!(
            shares(&twice, &BridgeHealth::default()),
            named(&[("a", 500), ("b", 500)])
        );
        let overridden = OverriddenLine {
            line: 1,
            by: 3,
            has_same_address: true,
        };
        assert_eq!(twice.overridden, [overridden]);
    }

    #[test]
    fn addresses_get_clients_by_weight() {
        let list = parse(&[
            ("a", r#","weight":0.5"#),
            ("b", r#","weight":1.5"#),
            ("c", r#","weight":3"#),
            ("d", r#","weight":0"#),
            ("e", r#","state":"drain""#),
            ("f", r#","state":"down""#),
        ]);
        let expected = [("a", 100), ("b", 300), ("c", 600)];
        assert_eq!(shares(&list, &BridgeHealth::default()), named(&expected));
    }

    #[test]
    fn an_address_without_weight_is_the_last_resort() {
        let spare = r#","weight":0"#;
        let list = parse(&[("a", r#","state":"drain""#), ("b", spare), ("c", spare)]);
        assert_eq!(
            shares(&list, &BridgeHealth::default()),
            named(&[("b", 500), ("c", 500)])
        );
    }

    #[test]
    fn a_bridge_with_no_address_up_takes_nobody() {
        let drains = r#","state":"drain""#;
        for list in [
            parse(&[("a", drains)]),
            parse(&[("a", drains), ("b", r#","state":"down""#)]),
        ] {
            assert_eq!(
                list.choose(Fingerprint::DEFAULT, &ailing(&[], true), || 0.5),
                Err(NoAddress::BridgeDraining)
            );
        }
    }

    #[test]
    fn ailing_addresses_are_taken_out_but_never_the_last() {
        let list = parse(&[
            ("a", r#","weight":1"#),
            ("b", ""),
            ("c", r#","weight":0"#),
            ("d", r#","state":"drain""#),
        ]);
        for (sick, acts, expected) in [
            (&["a"][..], false, &[("a", 500), ("b", 500)][..]),
            (&["a"], true, &[("b", 1_000)]),
            (&["a", "b"], true, &[("c", 1_000)]),
            (&["c"], true, &[("a", 500), ("b", 500)]),
            (&["a", "b", "c"], true, &[("a", 500), ("b", 500)]),
            (&["a", "b", "c", "d"], true, &[("a", 500), ("b", 500)]),
        ] {
            let health = ailing(sick, acts);
            assert_eq!(shares(&list, &health), named(expected), "{sick:?}");
            for (by, address) in list.addresses() {
                let gets_none = !shares(&list, &health)
                    .iter()
                    .any(|(host, _)| *address.relay_url == *format!("wss://{host}.example/"));
                let is_out = list.is_taken_out(by, address, &health);
                assert!(!is_out || gets_none, "{sick:?} {address:?}");
                let is_named = sick.iter().any(|host| address.host().starts_with(host));
                let can_be_out = acts && sick.len() < 3 && address.state == AddressState::Up;
                assert_eq!(is_out, is_named && can_be_out, "{sick:?} {address:?}");
            }
        }
        assert_eq!(
            shares(&parse(&[("a", "")]), &ailing(&["a"], true)),
            named(&[("a", 1_000)])
        );
    }

    #[test]
    fn only_what_is_asked_for_changes() {
        let mut list = parse(&[("a", r#","weight":2"#), ("b", "")]);
        let drain = AddressChange {
            state: Some(AddressState::Drain),
            ..AddressChange::default()
        };
        let one = Some("wss://a.example/");
        assert_eq!(list.change(Fingerprint::DEFAULT, one, drain), 1);
        let states = |list: &BridgeList| {
            let addresses = list.addresses().into_iter();
            let states = addresses.map(|(_, address)| (address.state, address.weight));
            states.collect::<Vec<_>>()
        };
        let expected = [(AddressState::Drain, 2.0), (AddressState::Up, 1.0)];
        assert_eq!(states(&list), expected);
        assert_eq!(list.change(Fingerprint::DEFAULT, None, drain), 2);
        assert_eq!(states(&list)[1], (AddressState::Drain, 1.0));
        let unknown = "0".repeat(40).parse().unwrap();
        assert_eq!(list.change(unknown, None, drain), 0);
        let elsewhere = Some("wss://c.example/");
        assert_eq!(list.change(Fingerprint::DEFAULT, elsewhere, drain), 0);
    }

    #[test]
    fn a_plain_list_is_written_as_the_reference_broker_reads_it() {
        let other = GOOD.replace("2B28", "0000").replace("\"a\"", r#""\"\n""#);
        let list = BridgeList::parse(&format!("{GOOD}\n{other}")).unwrap();
        let lines = list.to_lines();
        assert_eq!(lines.lines().count(), 2);
        assert!(lines.lines().next().unwrap().contains("00000B23"), "sorted");
        assert!(!lines.contains("weight") && !lines.contains("state"));
        assert_eq!(BridgeList::parse(&lines).unwrap(), list);
    }

    fn any_address() -> impl Strategy<Value = (Fingerprint, BridgeAddress)> {
        let weight = prop_oneof![Just(1.0), Just(0.0), WEIGHTS_ANY];
        let state = prop::sample::select(&AddressState::ALL[..]);
        (0..4_u8, 0..4_u8, weight, state).prop_map(|(bridge, host, weight, state)| {
            let url = format!("wss://{host}.example/");
            let address = BridgeAddress {
                weight,
                state,
                ..BridgeAddress::new(String::new(), &url).unwrap()
            };
            (format!("{bridge:040}").parse().unwrap(), address)
        })
    }

    const WEIGHTS_ANY: std::ops::RangeInclusive<f64> = super::super::address::WEIGHTS;

    proptest! {
        #[test]
        fn what_is_written_reads_back(addresses in prop::collection::vec(any_address(), 1..20)) {
            let list: BridgeList = addresses.into_iter().collect();
            prop_assert_eq!(BridgeList::parse(&list.to_lines()).unwrap(), list);
        }

        /// A client gets an address that is up, as long as there is one, whatever the
        /// probes say.
        #[test]
        fn health_never_refuses_a_client(
            addresses in prop::collection::vec(any_address(), 1..20),
            sick in prop::collection::vec(prop::sample::select(vec!["0", "1", "2", "3"]), 0..4),
            point in 0.0..1.0_f64,
        ) {
            let list: BridgeList = addresses.into_iter().collect();
            let health = ailing(&sick, true);
            for (fingerprint, addresses) in list.sorted() {
                let chosen = list.choose(fingerprint, &health, || point);
                let up: Vec<_> = addresses.iter().filter(|it| takes_clients(it)).collect();
                match chosen {
                    Ok(url) => {
                        let address = up.iter().find(|it| it.relay_url == url).unwrap();
                        prop_assert!(!list.is_taken_out(fingerprint, address, &health));
                    }
                    Err(reason) => {
                        prop_assert_eq!(reason, NoAddress::BridgeDraining);
                        prop_assert!(up.is_empty());
                    }
                }
            }
        }
    }
}
