//! A public network, hosts in it, and a home network behind a router that masquerades.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use tokio::process::Command;

use crate::support::libraries;
use crate::support::namespace::{ADDRESSES, inside, ip};
use crate::support::unpacked;

/// The namespace of all who share an address.
pub(crate) const HOME: &str = "home";
const ROUTER: &str = "router";
/// The router's rules: what leaves for the public network has its address.
const MASQUERADE: &str = "add table ip nat; \
    add chain ip nat out { type nat hook postrouting priority srcnat; }; \
    add rule ip nat out oifname public masquerade";

/// The namespace of a host with an address of its own.
pub(crate) fn host(number: usize) -> String {
    format!("host-{number}")
}

/// Makes the network in an empty namespace, which has [`ADDRESSES`] in it.
pub(crate) async fn make(hosts: usize) -> Result<()> {
    // Namespaces have names in /run/netns, which others on this machine may use, too.
    run(Command::new("mount").args(["-t", "tmpfs", "none", "/run"])).await?;
    ip("link set lo up").await?;
    ip("link add public type bridge").await?;
    for address in ADDRESSES {
        ip(&format!("address add {address}/24 dev public")).await?;
    }
    ip("link set public up").await?;
    for number in 0..hosts {
        add_host(&host(number), &format!("10.99.0.{}", 10 + number)).await?;
    }
    add_host(ROUTER, "10.99.0.3").await?;
    add_home().await
}

/// A host in the public network.
pub(crate) async fn add_host(name: &str, address: &str) -> Result<()> {
    add_namespace(name).await?;
    ip(&format!(
        "link add {name} type veth peer name public netns {name}"
    ))
    .await?;
    ip(&format!("link set {name} master public up")).await?;
    ip(&format!("-n {name} address add {address}/24 dev public")).await?;
    ip(&format!("-n {name} link set public up")).await?;
    ip(&format!("-n {name} route add default via {}", ADDRESSES[0])).await
}

async fn add_home() -> Result<()> {
    add_namespace(HOME).await?;
    ip(&format!(
        "-n {ROUTER} link add home type veth peer name lan netns {HOME}"
    ))
    .await?;
    ip(&format!("-n {ROUTER} address add 10.98.0.1/24 dev home")).await?;
    ip(&format!("-n {ROUTER} link set home up")).await?;
    ip(&format!("-n {HOME} address add 10.98.0.2/24 dev lan")).await?;
    ip(&format!("-n {HOME} link set lan up")).await?;
    ip(&format!("-n {HOME} route add default via 10.98.0.1")).await?;
    forward(ROUTER).await?;
    firewall(ROUTER, MASQUERADE).await
}

/// Lets a router pass packets on.
pub(crate) async fn forward(router: &str) -> Result<()> {
    let on = "echo 1 >/proc/sys/net/ipv4/ip_forward";
    run(inside(router).args(["sh", "-c", on])).await
}

/// Adds an address to those of the broker and its neighbours. Whoever connects from here to
/// an address of here comes from that address, unless it is a secondary one of its network.
pub(crate) async fn add_address(address: Ipv4Addr) -> Result<()> {
    ip(&format!("address add {address}/32 dev public")).await
}

/// Removes an address that is not used any more: each is a candidate in every offer.
pub(crate) async fn remove_address(address: Ipv4Addr) -> Result<()> {
    ip(&format!("address delete {address}/32 dev public")).await
}

/// Lets a host send and get no UDP, except with a STUN server: it gathers candidates, and
/// never has a connection.
pub(crate) async fn cut_off(host: &str) -> Result<()> {
    let rules = "add table inet cut; \
        add chain inet cut out { type filter hook output priority 0; }; \
        add rule inet cut out meta l4proto udp udp dport != 3478 drop; \
        add chain inet cut in { type filter hook input priority 0; }; \
        add rule inet cut in meta l4proto udp udp sport != 3478 drop";
    firewall(host, rules).await
}

/// Ends what [`cut_off`] began.
pub(crate) async fn let_through(host: &str) -> Result<()> {
    firewall(host, "delete table inet cut").await
}

/// Adds rules to the firewall of a namespace.
pub(crate) async fn firewall(namespace: &str, rules: &str) -> Result<()> {
    run(nft(namespace)?.arg(rules)).await
}

/// nft for the firewall of a namespace.
pub(crate) fn nft(namespace: &str) -> Result<Command> {
    let mut command = inside(namespace);
    command
        .env(
            "LD_LIBRARY_PATH",
            std::env::join_paths(libraries::folders())?,
        )
        .arg(unpacked::file("usr/sbin/nft"));
    Ok(command)
}

pub(crate) async fn add_namespace(name: &str) -> Result<()> {
    ip(&format!("netns add {name}")).await?;
    ip(&format!("-n {name} link set lo up")).await
}

async fn run(command: &mut Command) -> Result<()> {
    let status = command.status().await?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
