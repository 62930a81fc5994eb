//! Probes of proxies behind NATs of every kind, on a network and in a time of the test's.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use proptest::prelude::*;
use str0m::change::{SdpAnswer, SdpPendingOffer};

use super::*;
use crate::broker::clock;
use crate::probe::candidates::usable;

/// The proxy's address as a STUN server sees it, which is in the offer.
const MAPPED: SocketAddr = addr([93, 184, 216, 34], 5_000);
/// Another mapping of the same NAT.
const ANOTHER: SocketAddr = addr([93, 184, 216, 34], 6_000);
const PROBE: SocketAddr = addr([9, 9, 9, 9], 61_000);
const BOTH: [NatProbeMode; 2] = [NatProbeMode::Strict, NatProbeMode::Moderate];

const fn addr([a, b, c, d]: [u8; 4], port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port)
}

/// A NAT in the terms of RFC 4787.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nat {
    /// Endpoint-independent mapping and filtering.
    FullCone,
    /// Endpoint-independent mapping, address-and-port-dependent filtering.
    PortRestricted,
    /// The same, but with another mapping for who has sent before the proxy did.
    Linux,
    /// Address-and-port-dependent mapping and filtering.
    Symmetric,
    /// Address-and-port-dependent mapping, endpoint-independent filtering.
    OpenWithManyMappings,
    /// A firewall that lets no UDP through.
    NoUdp,
}

/// A proxy behind a NAT, its data channel, and its probe.
struct Network {
    nat: Nat,
    proxy: Rtc,
    /// The proxy's mapping for the probe, once it has sent.
    mapping: Option<SocketAddr>,
    probe_was_first: bool,
    session: ProbeSession,
    to_proxy: VecDeque<(SocketAddr, Vec<u8>)>,
    now: Instant,
    /// The bytes that the probe has sent, with the headers of IP and UDP.
    sent: usize,
    has_opened: bool,
    /// The proxy closes its connection as soon as its channel is open.
    closes: bool,
}

/// A proxy with an offer, and what it needs to take the answer.
fn offering(identity: &ProbeIdentity, now: Instant) -> (Rtc, String, SdpPendingOffer) {
    let mut proxy = identity.0.clone().build(now);
    let candidate = Candidate::host(MAPPED, Protocol::Udp).unwrap();
    proxy.add_local_candidate(candidate);
    let mut change = proxy.sdp_api();
    change.add_channel("test".to_owned());
    let (offer, pending) = change.apply().unwrap();
    (proxy, offer.to_sdp_string(), pending)
}

impl Network {
    fn new(nat: Nat, mode: NatProbeMode) -> Self {
        Self::with_user_name(nat, mode, None)
    }

    /// The proxy's offer has this ICE user name in place of its own.
    fn with_user_name(nat: Nat, mode: NatProbeMode, user_name: Option<&str>) -> Self {
        let now = clock::now();
        let identity = ProbeIdentity::new().unwrap();
        let (mut proxy, offer, pending) = offering(&identity, now);
        let lines = offer.lines().map(|line| match user_name {
            Some(name) if line.starts_with("a=ice-ufrag:") => format!("a=ice-ufrag:{name}\r\n"),
            _ => format!("{line}\r\n"),
        });
        let offer = usable(&lines.collect::<String>(), PROBE.ip(), |_| true).unwrap();
        let begun = ProbeSession::begin(&identity, &offer, PROBE, mode, now);
        let (session, answer) = begun.unwrap();
        assert_eq!(
            answer.contains("a=candidate"),
            mode == NatProbeMode::Moderate
        );
        assert_eq!(answer.contains("9.9.9.9"), mode == NatProbeMode::Moderate);
        let answer = SdpAnswer::from_sdp_string(&answer).unwrap();
        proxy.sdp_api().accept_answer(pending, answer).unwrap();
        proxy.handle_input(Input::Timeout(now)).unwrap();
        Self {
            nat,
            proxy,
            mapping: None,
            probe_was_first: false,
            session,
            to_proxy: VecDeque::new(),
            now,
            sent: 0,
            has_opened: false,
            closes: true,
        }
    }

    /// Runs until the probe is over. Returns its result.
    fn run(&mut self) -> bool {
        loop {
            let proxy_waits = self.run_proxy();
            let probe_waits = match self.session.next_step(self.now) {
                SessionStep::Over(has_opened) => return has_opened,
                SessionStep::Wait(until) => until,
                SessionStep::Send { to, datagram } => {
                    self.sent += 28 + datagram.len();
                    self.to_proxy.push_back((to, datagram.to_vec()));
                    continue;
                }
            };
            if let Some((to, datagram)) = self.to_proxy.pop_front() {
                if self.lets_in(to) {
                    let contents = Receive::new(Protocol::Udp, PROBE, MAPPED, &datagram).unwrap();
                    let input = Input::Receive(self.now, contents);
                    self.proxy.handle_input(input).unwrap();
                }
                continue;
            }
            // Each side hears of the time only when it asked to.
            self.now = proxy_waits.min(probe_waits).max(self.now);
            if probe_waits <= self.now {
                self.session.time(self.now);
            }
            if proxy_waits <= self.now {
                self.proxy.handle_input(Input::Timeout(self.now)).unwrap();
            }
        }
    }

    /// Returns the time until which the proxy has nothing to do.
    fn run_proxy(&mut self) -> Instant {
        loop {
            match self.proxy.poll_output().unwrap() {
                Output::Timeout(until) => return until,
                Output::Transmit(transmit) => {
                    assert_eq!(transmit.destination, PROBE);
                    if let Some(source) = self.lets_out() {
                        let now = self.now;
                        self.session.datagram(source, &transmit.contents, now);
                    }
                }
                Output::Event(Event::ChannelOpen(..)) => {
                    self.has_opened = true;
                    if self.closes {
                        self.proxy.close().unwrap();
                    }
                }
                Output::Event(_) => {}
            }
        }
    }

    fn lets_in(&mut self, to: SocketAddr) -> bool {
        self.probe_was_first |= self.mapping.is_none();
        match self.nat {
            Nat::FullCone => to == MAPPED,
            Nat::OpenWithManyMappings => to == MAPPED || self.mapping == Some(to),
            Nat::PortRestricted | Nat::Linux | Nat::Symmetric => self.mapping == Some(to),
            Nat::NoUdp => false,
        }
    }

    /// The address from which the probe sees a packet of the proxy.
    fn lets_out(&mut self) -> Option<SocketAddr> {
        let mapping = match self.nat {
            Nat::Linux if self.probe_was_first => ANOTHER,
            Nat::FullCone | Nat::PortRestricted | Nat::Linux => MAPPED,
            Nat::Symmetric | Nat::OpenWithManyMappings => ANOTHER,
            Nat::NoUdp => return None,
        };
        Some(*self.mapping.get_or_insert(mapping))
    }
}

#[test]
fn a_proxy_is_reached_as_clients_would_reach_it() {
    for (nat, expected) in [
        (Nat::FullCone, [true, true]),
        (Nat::PortRestricted, [false, true]),
        (Nat::Linux, [false, true]),
        (Nat::Symmetric, [false, false]),
        (Nat::OpenWithManyMappings, [false, false]),
        (Nat::NoUdp, [false, false]),
    ] {
        for (mode, expected) in BOTH.into_iter().zip(expected) {
            let mut network = Network::new(nat, mode);
            let began = network.now;
            assert_eq!(network.run(), expected, "{nat:?} {mode:?}");
            assert_eq!(network.has_opened, expected, "{nat:?} {mode:?}");
            let took = network.now - began;
            let most = if expected { CLOSING } else { OPENING };
            assert!(took <= most + Duration::from_millis(2), "{took:?}");
        }
    }
}

#[test]
fn a_proxy_that_does_not_close_is_closed_in_time() {
    let mut network = Network::new(Nat::FullCone, NatProbeMode::Strict);
    network.closes = false;
    let began = network.now;
    assert!(network.run());
    let took = network.now - began;
    assert!(took >= CLOSING && took < OPENING + CLOSING, "{took:?}");
}

/// Whoever names the address of somebody else has little sent to him.
#[test]
fn a_probe_that_nobody_answers_sends_little() {
    // Each packet has the name.
    let longest = "a".repeat(64);
    for mode in BOTH {
        let mut network = Network::with_user_name(Nat::NoUdp, mode, Some(&longest));
        assert!(!network.run());
        assert!(network.sent < 1_400, "{mode:?}: {}", network.sent);
    }
}

#[test]
fn what_is_no_offer_begins_nothing() {
    let identity = ProbeIdentity::new().unwrap();
    for sdp in [
        "",
        "v=0\r\n",
        "m=application 9 UDP/DTLS/SCTP x\r\n",
        "\u{0}",
    ] {
        let offer = UsableOffer {
            sdp: sdp.to_owned(),
            candidates: 0,
        };
        let begun =
            ProbeSession::begin(&identity, &offer, PROBE, NatProbeMode::Strict, clock::now());
        assert!(begun.is_err(), "{sdp}");
    }
}

/// Another text for a line of an offer.
#[derive(Clone, Debug)]
enum Change {
    /// It ends after so many bytes, and goes on with this.
    End(usize, String),
    Removed,
    Repeated,
    /// It is in another line's place, too.
    Copied(usize),
}

fn changes() -> impl Strategy<Value = Vec<(usize, Change)>> {
    let change = prop_oneof![
        4 => (0..40_usize, "[ -~]{0,90}").prop_map(|(at, text)| Change::End(at, text)),
        1 => Just(Change::Removed),
        1 => Just(Change::Repeated),
        1 => any::<usize>().prop_map(Change::Copied),
    ];
    prop::collection::vec((any::<usize>(), change), 0..4)
}

fn changed(offer: &str, changes: &[(usize, Change)]) -> String {
    let mut lines: Vec<String> = offer.lines().map(str::to_owned).collect();
    // There are more lines than changes.
    for (place, change) in changes {
        let place = place % lines.len();
        let line = lines[place].clone();
        match change {
            Change::End(at, text) => {
                let kept: String = line.chars().take(*at).collect();
                lines[place] = kept + text;
            }
            Change::Removed => drop(lines.remove(place)),
            Change::Repeated => lines.insert(place, line),
            Change::Copied(to) => {
                let to = to % lines.len();
                lines[to] = line;
            }
        }
    }
    lines.join("\r\n") + "\r\n"
}

proptest! {
    #[test]
    fn whatever_an_offer_says_its_probe_ends_in_time(changes in changes(), echoes: bool) {
        let began = clock::now();
        let mut now = began;
        let identity = ProbeIdentity::new().unwrap();
        let (_, offer, _) = offering(&identity, now);
        let offer = changed(&offer, &changes);
        let Ok(usable) = usable(&offer, PROBE.ip(), |_| true) else {
            return Ok(());
        };
        for mode in BOTH {
            let begun = ProbeSession::begin(&identity, &usable, PROBE, mode, now);
            let Ok((mut session, _)) = begun else {
                continue;
            };
            loop {
                match session.next_step(now) {
                    SessionStep::Over(_) => break,
                    SessionStep::Wait(until) => {
                        now = now.max(until);
                        session.time(now);
                    }
                    SessionStep::Send { to, datagram } if echoes => {
                        session.datagram(to, &datagram, now);
                    }
                    SessionStep::Send { .. } => {}
                }
            }
            prop_assert!(now - began <= 2 * (OPENING + CLOSING));
        }
    }
}
