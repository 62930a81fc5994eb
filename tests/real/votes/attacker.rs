//! An attacker's program that asks for proxies, connects to none, and comes back as if it had
//! tried.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::network;
use crate::support::programs::OUR_BRIDGE;

/// The soonest return by which a match counts as failed, and a little more.
const SOON: Duration = Duration::from_millis(8_500);
/// The pause after a request that got no proxy.
const PAUSE: Duration = Duration::from_secs(1);

/// The way of an attacker to vote down proxies.
#[derive(Clone, Debug)]
pub(super) struct Attack {
    /// The attacker's addresses.
    pub(super) addresses: Range<u8>,
    /// The requests of each address at a time, each with an offer of its own.
    pub(super) at_once: usize,
    /// Asks for bridges that are not there, too.
    pub(super) invents_bridges: bool,
}

/// The requests of an attacker, until it is dropped.
pub(super) struct Attacker {
    state: Arc<State>,
    tasks: JoinSet<Result<()>>,
}

#[derive(Debug, Default)]
struct State {
    tally: Mutex<AttackTally>,
}

/// The matches that an attacker took.
#[derive(Clone, Debug, Default)]
pub(super) struct AttackTally {
    /// Its matches, by the host of the proxy.
    pub(super) matches: BTreeMap<u8, usize>,
    /// The addresses that came back, and the hosts with whose proxies they had a match: the
    /// votes that the broker might count.
    pub(super) votes: BTreeSet<(Ipv4Addr, u8)>,
    /// Its requests that got no proxy.
    pub(super) refused: usize,
}

impl State {
    fn tally(&self) -> MutexGuard<'_, AttackTally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the host whose proxy has answered a request.
    fn note(&self, host: Option<u8>) {
        let mut tally = self.tally();
        match host {
            Some(host) => *tally.matches.entry(host).or_default() += 1,
            None => tally.refused += 1,
        }
    }
}

impl Attacker {
    pub(super) async fn start(attack: &Attack, broker: SocketAddr) -> Result<Self> {
        let state = Arc::<State>::default();
        let mut tasks = JoinSet::new();
        for number in attack.addresses.clone() {
            let address = Ipv4Addr::new(10, 99, 5, number);
            network::add_address(address).await?;
            for _ in 0..attack.at_once {
                let attack = attack.clone();
                tasks.spawn(come_back(attack, address, broker, Arc::clone(&state)));
            }
        }
        Ok(Self { state, tasks })
    }

    /// The matches so far.
    pub(super) fn tally(&self) -> AttackTally {
        self.state.tally().clone()
    }

    /// Ends the attack. An error if it has ended before.
    pub(super) async fn end(mut self) -> Result<AttackTally> {
        if let Some(ended) = self.tasks.try_join_next() {
            ended??;
            bail!("an attacker has ended");
        }
        self.tasks.shutdown().await;
        Ok(self.tally())
    }
}

/// Gets a proxy and comes back after a while, with another offer, again and again.
async fn come_back(
    attack: Attack,
    address: Ipv4Addr,
    broker: SocketAddr,
    state: Arc<State>,
) -> Result<()> {
    loop {
        let offer = offer(address);
        if attack.invents_bridges {
            let bridge = format!("{:040X}", fastrand::u64(..));
            state.note(ask(address, broker, &bridge, &offer).await?);
        }
        let host = ask(address, broker, OUR_BRIDGE, &offer).await?;
        state.note(host);
        let Some(host) = host else {
            sleep(PAUSE).await;
            continue;
        };
        sleep(SOON + Duration::from_millis(fastrand::u64(..1_000))).await;
        state.tally().votes.insert((address, host));
    }
}

/// Asks for a proxy. Returns the host of the one that answered.
async fn ask(
    address: Ipv4Addr,
    broker: SocketAddr,
    bridge: &str,
    offer: &str,
) -> Result<Option<u8>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((address, 0).into())?;
    let mut connection = socket.connect(broker).await?;
    let poll = json!({"offer": offer, "nat": "unrestricted", "fingerprint": bridge});
    let body = format!("1.0\n{poll}");
    let head = format!(
        "POST /client HTTP/1.1\r\nHost: {broker}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all((head + &body).as_bytes()).await?;
    let mut response = String::new();
    connection.read_to_string(&mut response).await?;
    Ok(host_of(&response))
}

/// The last part of the first address of a host in an answer.
fn host_of(response: &str) -> Option<u8> {
    let (_, rest) = response.split_once(" 10.99.0.")?;
    rest.split(' ').next()?.parse().ok()
}

/// An offer with a fragment of its own. Nothing listens at its candidate.
fn offer(address: Ipv4Addr) -> String {
    let fingerprint = vec!["AB"; 32].join(":");
    let fragment = format!("{:016x}", fastrand::u64(..));
    let description = [
        "v=0",
        "o=- 1 2 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        &format!("a=fingerprint:sha-256 {fingerprint}"),
        "a=group:BUNDLE 0",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        "a=setup:actpass",
        "a=mid:0",
        "a=sendrecv",
        "a=sctp-port:5000",
        &format!("a=ice-ufrag:{fragment}"),
        &format!("a=ice-pwd:{fragment}{fragment}"),
        &format!("a=candidate:1 1 udp 2130706431 {address} 9 typ host"),
        "a=end-of-candidates",
        "",
    ];
    json!({"type": "offer", "sdp": description.join("\r\n")}).to_string()
}
