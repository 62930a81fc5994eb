//! The broker with its probe server behind a firewall of its own, a STUN server, and proxies
//! and clients behind NATs, all with addresses that look public.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Result, bail, ensure};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::network;
use crate::support::certificates::Authority;
use crate::support::namespace::{ADDRESSES, inside, ip};
use crate::support::process::Process;
use crate::support::programs::{OUR_BRIDGE, Programs, stun_address, stun_url};
use crate::support::ready::{listens, socks_address};
use crate::support::relay::Relay;
use crate::support::{http, unpacked, wait};

/// The name that Debian's proxy has built in.
const NAME: &str = "snowflake-broker.torproject.net";
/// The address of the relay, and of the gateway of all others.
pub(super) const RELAY: Ipv4Addr = Ipv4Addr::new(5, 1, 0, 1);
/// The addresses of the broker: the first is told to proxies, the second is not.
const TOLD: &str = "5.1.0.2";
const UNTOLD: &str = "5.1.0.3";
const OPERATOR: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(5, 1, 0, 2)), 9580);
/// The path of a proxy that takes the place of Debian's.
const PROXY: &str = "SNOWFLAKE_PROXY";
const ASKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/nat_probe/asks.js");
/// The namespace of the broker.
const HOST: &str = "operator";
/// Lets in who comes to the broker over TCP and who was sent to before, and nobody else: so
/// no UDP port of the probe server is open.
const FIREWALL: &str = "add table inet host; \
    add chain inet host in { type filter hook input priority 0; policy drop; }; \
    add rule inet host in meta l4proto tcp accept; \
    add rule inet host in ct state established,related accept";
const NAT: &str = "add table ip nat; \
    add chain ip nat out { type nat hook postrouting priority srcnat; }; \
    add chain ip nat in { type nat hook prerouting priority dstnat; }; ";
/// Lets a host send and get no UDP at all.
const NO_UDP: &str = "add table inet cut; \
    add chain inet cut out { type filter hook output priority 0; }; \
    add rule inet cut out meta l4proto udp drop; \
    add chain inet cut in { type filter hook input priority 0; }; \
    add rule inet cut in meta l4proto udp drop";
/// The path of a client's request to the bridge.
pub(super) const GREETING: &str = "/greeting-from-behind-a-symmetric-nat";

/// The way in which a proxy or a client is in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// With an address of its own.
    Direct,
    /// Behind a NAT that passes all packets to its address on.
    FullCone,
    /// Behind a NAT that keeps ports, and filters by address and port.
    Masquerade,
    /// Behind one that uses another random port for each destination.
    RandomPorts,
    /// Behind a firewall that lets no UDP through.
    NoUdp,
    /// The client, behind random ports.
    Client,
}

/// The probe server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probing {
    Off,
    TwoAddresses,
}

impl Access {
    const ALL: [Self; 6] = [
        Self::Direct,
        Self::FullCone,
        Self::Masquerade,
        Self::RandomPorts,
        Self::NoUdp,
        Self::Client,
    ];

    /// The namespace of who is there.
    fn namespace(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::FullCone => "cone",
            Self::Masquerade => "masq",
            Self::RandomPorts => "random",
            Self::NoUdp => "noudp",
            Self::Client => "client",
        }
    }

    /// The rules of the router in between.
    fn rules(self, home: &str) -> Option<String> {
        let masquerade = "add rule ip nat out oifname public masquerade";
        match self {
            Self::Direct | Self::NoUdp => None,
            Self::FullCone => Some(format!(
                "{NAT}{masquerade}; add rule ip nat in iifname public meta l4proto udp dnat to {home}"
            )),
            Self::Masquerade => Some(format!("{NAT}{masquerade}")),
            Self::RandomPorts | Self::Client => Some(format!("{NAT}{masquerade} random")),
        }
    }
}

/// The network, with a STUN server in it.
pub(super) struct Site<'a> {
    programs: Programs<'a>,
    authority: Authority,
    _stun_server: Process,
}

impl<'a> Site<'a> {
    /// Makes the network in an empty namespace.
    pub(super) async fn make(scratch: &'a Path) -> Result<Self> {
        // Namespaces have names in /run/netns, which others on this machine may use, too.
        run(Command::new("mount").args(["-t", "tmpfs", "none", "/run"])).await?;
        ip("link set lo up").await?;
        ip("link add public type bridge").await?;
        for address in ADDRESSES {
            ip(&format!("address add {address}/24 dev public")).await?;
        }
        ip(&format!("address add {RELAY}/24 dev public")).await?;
        ip("link set public up").await?;
        add_host(HOST, TOLD).await?;
        ip(&format!("-n {HOST} address add {UNTOLD}/24 dev public")).await?;
        network::firewall(HOST, FIREWALL).await?;
        for (number, access) in Access::ALL.into_iter().enumerate() {
            add(access, number).await?;
        }
        name_the_broker(scratch).await?;
        let authority = Authority::new(scratch, "authority");
        authority.certify(scratch, "broker", NAME, 2100);
        let programs = Programs { scratch };
        let mut stun_server = programs.stun_server()?;
        listens(&mut stun_server, &stun_address()).await?;
        Ok(Self {
            programs,
            authority,
            _stun_server: stun_server,
        })
    }

    /// Starts a broker that knows one bridge, the relay.
    pub(super) async fn broker(&self, relay: &Relay, probing: Probing) -> Result<Process> {
        let scratch = self.programs.scratch;
        let bridge = json!({
            "displayName": "default",
            "webSocketAddress": relay.url(),
            "fingerprint": OUR_BRIDGE,
        });
        let bridges = scratch.join("bridges.json");
        fs::write(&bridges, format!("{bridge}\n"))?;
        let probe = match probing {
            Probing::Off => String::new(),
            Probing::TwoAddresses => {
                format!("[probe]\nlisten = \":8443\"\naddresses = [\"{TOLD}\", \"{UNTOLD}\"]\n")
            }
        };
        let folder = scratch.display();
        let config = scratch.join("config.toml");
        fs::write(
            &config,
            format!(
                "[listener]\naddr = \":443\"\n\
                 [tls]\ncert = \"{folder}/broker.pem\"\nkey = \"{folder}/broker.key\"\n\
                 [broker]\nallowed_relay_pattern = \"{}\"\nbridge_list_path = \"{folder}/bridges.json\"\n\
                 [operator]\nlisten = \"{OPERATOR}\"\n{probe}",
                relay.pattern()
            ),
        )?;
        let mut command = inside(HOST);
        command
            .arg(env!("CARGO_BIN_EXE_snowflake-broker"))
            .arg("--config")
            .arg(config);
        wait::until("the broker before is gone", async || {
            Ok(TcpStream::connect(OPERATOR).await.err().map(drop))
        })
        .await?;
        let mut broker = self.programs.start("broker", &mut command)?;
        listens(&mut broker, &OPERATOR.to_string()).await?;
        Ok(broker)
    }

    /// Debian's proxy.
    pub(super) fn proxy(&self, access: Access, relay: &Relay) -> Result<Process> {
        let namespace = access.namespace();
        let debians = || unpacked::file("usr/bin/snowflake-proxy");
        let program = env::var_os(PROXY).map_or_else(debians, PathBuf::from);
        let mut command = inside(namespace);
        command
            .arg(program)
            .env("SSL_CERT_FILE", &self.authority.file)
            .args(["-broker", &format!("https://{NAME}/")])
            .args(["-allowed-relay-hostname-pattern", &relay.pattern()])
            .args(["-stun", &stun_url(), "-allow-non-tls-relay"])
            .args(["-unsafe-logging", "-verbose"]);
        self.programs.start(namespace, &mut command)
    }

    /// A proxy of the newest kind, which asks two questions. Waits until it has the answer to
    /// this one.
    pub(super) async fn opens(&self, access: Access, question: &str) -> Result<bool> {
        let namespace = access.namespace();
        let mut command = inside(namespace);
        command
            .env("NODE_EXTRA_CA_CERTS", &self.authority.file)
            .args(["node", ASKS])
            .arg(format!("https://{NAME}:8443/probe?InCoSim={question}"))
            .arg(stun_url())
            .arg(unpacked::file("node/node_modules"));
        let output = command.output().await?;
        let (printed, errors) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        match &*printed {
            "the channel opens\n" => Ok(true),
            "the channel stays closed\n" => Ok(false),
            other => bail!("{access:?} {question}: {other}{errors}"),
        }
    }

    /// Debian's client, and somebody who sends a request to the bridge through it.
    pub(super) async fn client(&self, name: &str) -> Result<(Process, Process)> {
        let namespace = Access::Client.namespace();
        let mut command = inside(namespace);
        command
            .arg(unpacked::file("usr/bin/snowflake-client"))
            .env("SSL_CERT_FILE", &self.authority.file)
            .args(["-url", &format!("https://{NAME}/")])
            .args([
                "-ice",
                &stun_url(),
                "-log",
                "/dev/stderr",
                "-unsafe-logging",
            ])
            .env("TOR_PT_MANAGED_TRANSPORT_VER", "1")
            .env("TOR_PT_CLIENT_TRANSPORTS", "snowflake")
            .env("TOR_PT_STATE_LOCATION", self.programs.scratch.join(name));
        let mut client = self.programs.start(name, &mut command)?;
        let socks = socks_address(&mut client).await?;
        let mut user = inside(namespace);
        user.args(["curl", "--silent", "--socks5-hostname", &socks])
            .arg(format!("http://192.0.2.1{GREETING}"));
        Ok((client, self.programs.start("user", &mut user)?))
    }

    /// The broker's metrics.
    pub(super) async fn metrics(&self) -> Result<String> {
        http::get(OPERATOR, "/prometheus").await
    }

    /// Waits until requests of this kind and NAT type had this outcome.
    pub(super) async fn sees(&self, requests: &str, nat: &str, outcome: &str) -> Result<()> {
        let family = format!("snowflake_broker_{requests}_total{{");
        let labels = [format!("nat=\"{nat}\""), format!("outcome=\"{outcome}\"")];
        wait::until(&format!("{requests}: {nat} {outcome}"), async || {
            let page = self.metrics().await?;
            let mut series = page.lines().filter(|line| line.starts_with(&family));
            let seen = series.any(|line| {
                labels.iter().all(|label| line.contains(label)) && !line.ends_with(" 0")
            });
            Ok(seen.then_some(()))
        })
        .await
    }
}

/// Adds somebody with this access.
async fn add(access: Access, number: usize) -> Result<()> {
    let (name, address) = (access.namespace(), format!("5.1.0.{}", 10 + number));
    let home = format!("10.98.{number}.2");
    let Some(rules) = access.rules(&home) else {
        add_host(name, &address).await?;
        if access == Access::NoUdp {
            network::firewall(name, NO_UDP).await?;
        }
        return Ok(());
    };
    let router = format!("{name}-nat");
    add_host(&router, &address).await?;
    network::add_namespace(name).await?;
    ip(&format!(
        "-n {router} link add home type veth peer name lan netns {name}"
    ))
    .await?;
    ip(&format!(
        "-n {router} address add 10.98.{number}.1/24 dev home"
    ))
    .await?;
    ip(&format!("-n {router} link set home up")).await?;
    ip(&format!("-n {name} address add {home}/24 dev lan")).await?;
    ip(&format!("-n {name} link set lan up")).await?;
    ip(&format!("-n {name} route add default via 10.98.{number}.1")).await?;
    network::forward(&router).await?;
    network::firewall(&router, &rules).await
}

/// A host in the public network.
async fn add_host(name: &str, address: &str) -> Result<()> {
    network::add_namespace(name).await?;
    ip(&format!(
        "link add {name} type veth peer name public netns {name}"
    ))
    .await?;
    ip(&format!("link set {name} master public up")).await?;
    ip(&format!("-n {name} address add {address}/24 dev public")).await?;
    ip(&format!("-n {name} link set public up")).await?;
    ip(&format!("-n {name} route add default via {RELAY}")).await
}

/// Has all programs of this test find the broker by its name.
async fn name_the_broker(scratch: &Path) -> Result<()> {
    let hosts = scratch.join("hosts");
    fs::write(&hosts, format!("127.0.0.1 localhost\n{TOLD} {NAME}\n"))?;
    let mut mount = Command::new("mount");
    mount.arg("--bind").arg(&hosts).arg("/etc/hosts");
    run(&mut mount).await
}

async fn run(command: &mut Command) -> Result<()> {
    let status = command.status().await?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
