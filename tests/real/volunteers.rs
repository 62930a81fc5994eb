//! Debian's proxies, each in a host of its own, and the broker, a STUN server and a bridge's
//! relay in the network between them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tokio::process::Command;

use crate::network;
use crate::support::process::Process;
use crate::support::programs::{Programs, stun_address};
use crate::support::ready::listens;
use crate::support::relay::Relay;
use crate::support::{http, port, wait};

/// The address of the broker, the STUN server and the relay.
pub(crate) const HERE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// Part of the log of a proxy that has got a client, and of one whose client has connected.
const GOT_A_CLIENT: &str = "sdp offer successfully received";
const IS_CONNECTED: &str = "onnected to relay";

/// A broker in a network with hosts.
pub(crate) struct Site {
    pub(crate) broker: Process,
    pub(crate) address: SocketAddr,
    config: PathBuf,
    /// The broker's socket for its operator.
    admin: PathBuf,
    _stun_server: Process,
}

/// The parked polls by the band of their sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bands {
    pub(crate) good: usize,
    pub(crate) unknown: usize,
    pub(crate) bad: usize,
}

impl Site {
    /// Starts the broker with these settings. It listens on every address of the network.
    pub(crate) async fn start(
        programs: &Programs<'_>,
        relay: &Relay,
        settings: &str,
    ) -> Result<Self> {
        let mut stun_server = programs.stun_server()?;
        listens(&mut stun_server, &stun_address()).await?;
        let admin = programs.scratch.join("admin.sock");
        let config = programs.scratch.join("config.toml");
        configure(&config, &admin, settings)?;
        let port = port::free()?;
        let address = SocketAddr::from((HERE, port));
        let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let mut broker = programs.configured_broker(everywhere, relay, &config)?;
        listens(&mut broker, &address.to_string()).await?;
        Ok(Self {
            broker,
            address,
            config,
            admin,
            _stun_server: stun_server,
        })
    }

    /// Replaces the settings of the running broker.
    pub(crate) fn reconfigure(&self, settings: &str) -> Result<()> {
        configure(&self.config, &self.admin, settings)?;
        self.broker.signal(Signal::HUP)
    }

    /// Starts the proxies of the hosts with these numbers.
    pub(crate) fn proxies(
        &self,
        programs: &Programs<'_>,
        relay: &Relay,
        hosts: Range<usize>,
    ) -> Result<Vec<Process>> {
        let proxies = hosts.map(|number| {
            let name = format!("proxy-{number}");
            programs.proxy_in(
                &network::host(number),
                &name,
                self.address,
                &relay.pattern(),
            )
        });
        proxies.collect()
    }

    /// Waits until this many proxies are parked.
    pub(crate) async fn all_poll(&self, proxies: usize) -> Result<()> {
        let are_there = format!("standalone proxies: {proxies}\n");
        wait::until("all proxies poll", async || {
            let page = http::get(self.address, "/debug").await?;
            Ok(page.contains(&are_there).then_some(()))
        })
        .await
    }

    /// The bands of the polls that are parked now, as the broker tells its operator.
    pub(crate) async fn bands(&self) -> Result<Bands> {
        let explain = ["admin", "explain", "--client", "nat=unrestricted", "--json"];
        let mut admin = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"));
        let address = format!("unix:{}", self.admin.display());
        let output = admin.args(explain).args(["--address", &address]);
        let output = output.output().await?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "admin explain: {errors}");
        Ok(Bands::of(&serde_json::from_slice(&output.stdout)?))
    }
}

fn configure(config: &Path, admin: &Path, settings: &str) -> Result<()> {
    let admin = format!("[admin]\nlisten = \"unix:{}\"\n", admin.display());
    Ok(fs::write(config, format!("{settings}\n{admin}"))?)
}

impl Bands {
    pub(crate) fn add(&mut self, other: Self) {
        self.good += other.good;
        self.unknown += other.unknown;
        self.bad += other.bad;
    }

    fn of(explanation: &Value) -> Self {
        let mut bands = Self::default();
        let pools = explanation["pools"].as_array().into_iter().flatten();
        for group in pools.flat_map(|pool| pool["polls"].as_array().into_iter().flatten()) {
            let count = group["count"].as_str().and_then(|count| count.parse().ok());
            let of_band = match group["band"].as_str() {
                Some("good") => &mut bands.good,
                Some("bad") => &mut bands.bad,
                _ => &mut bands.unknown,
            };
            *of_band += count.unwrap_or(0);
        }
        bands
    }
}

/// The number of clients that a proxy was handed.
pub(crate) fn matches(proxy: &mut Process) -> Result<usize> {
    Ok(proxy.log()?.matches(GOT_A_CLIENT).count())
}

/// The number of clients that a proxy has connected with the bridge.
pub(crate) fn connected(proxy: &mut Process) -> Result<usize> {
    Ok(proxy.log()?.matches(IS_CONNECTED).count())
}

/// The number of clients that each proxy was handed.
pub(crate) fn matches_of(proxies: &mut [Process]) -> Result<Vec<usize>> {
    proxies.iter_mut().map(matches).collect()
}
