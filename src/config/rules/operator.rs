//! Who may look into the broker, and where.

use std::net::{IpAddr, SocketAddr};

use super::Rules;
use super::forms::is_address;
use crate::wire::public_address::public;

const LISTEN: &str = "operator.listen";
const NETWORKS: &str = "operator.networks";

pub(super) fn check(rules: &mut Rules<'_>) {
    listen(rules);
    networks(rules);
}

fn listen(rules: &mut Rules<'_>) {
    let addresses = rules.config.operator.listen.addresses();
    if let Some(wrong) = addresses.iter().find(|addr| !is_address(addr)) {
        rules.refuse(
            &[LISTEN],
            format!("{wrong:?}: expected :PORT, HOST:PORT or [IPV6]:PORT, a list of them, or off"),
        );
    } else if let Some(open) = addresses.iter().find(|addr| is_open(addr)) {
        rules.warn(
            &[LISTEN],
            format!(
                "{open}: unless a firewall keeps others away, exact counts tell them when \
                 somebody uses Snowflake: listen on a private address"
            ),
        );
    }
}

/// Whether it may be that everybody reaches it. Of names nobody knows.
fn is_open(addr: &str) -> bool {
    let is_open = |ip: IpAddr| ip.is_unspecified() || public(ip).is_some();
    addr.starts_with(':')
        || addr
            .parse()
            .is_ok_and(|addr: SocketAddr| is_open(addr.ip()))
}

fn networks(rules: &mut Rules<'_>) {
    let mut networks = rules.config.operator.networks.iter();
    if networks.any(|network| network.prefix_len() == 0) {
        rules.warn(
            &[NETWORKS],
            "everybody gets all metrics: exact counts tell them when somebody uses Snowflake",
        );
    }
}
