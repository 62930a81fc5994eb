//! The probe server: its sockets, and the checks of its addresses and ports.

#[cfg(feature = "probe")]
mod endpoint;
#[cfg(not(feature = "probe"))]
mod without;

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use anyhow::{anyhow, ensure};
use tokio::net::TcpListener;

use crate::causes::in_words;
use crate::config::Config;
use crate::http::Endpoints;
use crate::listener::{self, Closing, Server};
use crate::metrics::Metrics;
use crate::metrics::labels::NatProbeMode;
use crate::probe::Settings;

use super::accounts;
use super::certificates::Certificates;
use super::listen::cannot_listen;
use super::process_metrics::Connections;
use super::supervisor::Supervisor;

#[cfg(feature = "probe")]
use endpoint::router;
#[cfg(not(feature = "probe"))]
use without::router;

/// The port of STUN servers (RFC 8489, section 18.6).
const STUN_PORT: u16 = 3478;

/// Checks that the addresses are ours and that ports are free, by binding them for a
/// moment.
pub(super) fn check(settings: &Settings) -> anyhow::Result<()> {
    if !settings.is_on() {
        return Ok(());
    }
    ensure!(
        cfg!(feature = "probe"),
        "probe.listen: this program was built without the probe server: install a package, or \
         build it with `cargo build --release --features probe`"
    );
    settings
        .addresses
        .iter()
        .try_for_each(|address| check_ports(settings, *address))
}

fn check_ports(settings: &Settings, address: IpAddr) -> anyhow::Result<()> {
    let mut ports = settings.ports.from(0);
    let Some(error) = first_problem(&mut ports, address) else {
        return Ok(());
    };
    match error.kind() {
        ErrorKind::AddrNotAvailable => Err(anyhow!(
            "probe.addresses: this machine does not have {address}"
        )),
        ErrorKind::AddrInUse => Err(anyhow!(
            "probe.ports: other programs have all UDP ports of {} on {address}: `ss -lunp` names them",
            settings.ports
        )),
        _ => Err(anyhow!(
            "probe.ports: cannot bind UDP ports of {} on {address}: {}",
            settings.ports,
            in_words(&error)
        )),
    }
}

/// The problem with all ports, or another one than that they are taken; `None` if one is
/// free.
fn first_problem(ports: &mut impl Iterator<Item = u16>, address: IpAddr) -> Option<io::Error> {
    let mut taken = None;
    for port in ports {
        match UdpSocket::bind(SocketAddr::new(address, port)) {
            Ok(_) => return None,
            Err(error) if error.kind() == ErrorKind::AddrInUse => taken = Some(error),
            Err(error) => return Some(error),
        }
    }
    taken
}

/// A warning about NATs that cannot be told apart with these addresses.
pub(super) fn warning(settings: &Settings) -> Option<String> {
    if !settings.is_on() || settings.addresses.is_empty() {
        return None;
    }
    let is_one = settings.addresses.len() == 1;
    match (tells_strangers(settings), is_one) {
        (false, true) => Some(format!(
            "probe.addresses: UDP port {STUN_PORT} of the only address is in use, as by a STUN \
             server: proxies have sent there, so packets from it say nothing about strangers', \
             and all proxies count as restricted in the strict mode; name a second address, or \
             move the STUN server and restart"
        )),
        (false, false) => Some(format!(
            "probe.addresses: UDP port {STUN_PORT} of the second address is in use, as by a STUN \
             server: proxies have sent there, so packets from it say nothing about strangers', \
             and all proxies count as restricted in the strict mode; put that address first and \
             restart"
        )),
        (true, true) => Some(
            "probe.addresses: with one address, a NAT that filters by addresses without ports \
             looks open to proxies whose STUN server is at that address: run none there, or name \
             a second address"
                .to_owned(),
        ),
        (true, false) => None,
    }
}

/// Returns false if there seems to be a STUN server at the address of strict probes.
fn tells_strangers(settings: &Settings) -> bool {
    let Some(address) = settings.address(NatProbeMode::Strict) else {
        return true;
    };
    let bound = UdpSocket::bind(SocketAddr::new(address, STUN_PORT));
    !bound.is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
}

/// The sockets of the HTTP endpoint; none without a probe server.
pub(super) struct NatProbeSockets(Vec<TcpListener>);

impl NatProbeSockets {
    /// Opens the configured addresses.
    pub(super) async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let mut listeners = Vec::new();
        for addr in &settings.listen {
            let bound = listener::bind(addr).await;
            listeners.extend(bound.map_err(|error| cannot_listen("probe.listen", addr, &error))?);
        }
        Ok(Self(listeners))
    }

    /// The sockets.
    pub(super) fn listeners(&self) -> &[TcpListener] {
        &self.0
    }

    /// Serves the endpoint until the program stops.
    pub(super) fn serve(
        self,
        config: &Config,
        certificates: &Certificates,
        metrics: &Arc<Metrics>,
        public_server: &Server<Endpoints>,
        supervisor: &Supervisor,
    ) -> anyhow::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let accounts = public_server.accounts();
        let router = router(config, metrics, accounts, supervisor)?;
        let server = Arc::new(Server::new(
            accounts::listener(config),
            certificates.tls()?,
            router,
            Arc::new(Connections::new(Arc::clone(metrics))),
            Arc::clone(accounts),
            Closing::default(),
        ));
        let trusted = config.http.trusted_proxies.clone();
        server.set(accounts::listener(config), trusted);
        for listener in self.0 {
            let run = Arc::clone(&server).run(listener);
            supervisor.keep("the listener of NAT probes", run);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::PortRange;

    fn settings(address: &str, ports: PortRange) -> Settings {
        Settings {
            listen: vec![":0".to_owned()],
            addresses: vec![address.parse().unwrap()],
            ports,
            ..Settings::default()
        }
    }

    #[cfg(feature = "probe")]
    #[test]
    fn the_key_at_fault_is_named() {
        let here = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = here.local_addr().unwrap().port();
        let taken = PortRange::new(port, port).unwrap();
        let error = |settings| check(&settings).unwrap_err().to_string();
        let told = error(settings("127.0.0.1", taken));
        assert!(
            told.starts_with(&format!(
                "probe.ports: other programs have all UDP ports of {port}-{port} on 127.0.0.1"
            )),
            "{told}"
        );
        assert_eq!(
            error(settings("192.0.2.7", taken)),
            "probe.addresses: this machine does not have 192.0.2.7"
        );
        drop(here);
        check(&settings("127.0.0.1", taken)).unwrap();
    }

    /// Linux has all of 127.0.0.0/8.
    #[test]
    fn a_stun_server_at_the_address_of_strict_probes_is_noticed() {
        let (free, taken) = ("127.34.78.1", "127.34.78.2");
        let stun_server = UdpSocket::bind((taken, STUN_PORT)).unwrap();
        let warned = |addresses: &[&str]| {
            let addresses = addresses.iter().map(|text| text.parse().unwrap());
            let settings = Settings {
                addresses: addresses.collect(),
                ..settings(free, PortRange::default())
            };
            (tells_strangers(&settings), warning(&settings))
        };
        let (tells, warning) = warned(&[free]);
        assert!(tells && warning.unwrap().contains("run none there"));
        let (tells, warning) = warned(&[taken]);
        assert!(!tells && warning.unwrap().contains("of the only address"));
        let (tells, warning) = warned(&[free, taken]);
        assert!(!tells && warning.unwrap().contains("put that address first"));
        assert_eq!(warned(&[taken, free]), (true, None));
        drop(stun_server);
        assert!(warned(&[taken]).0);
    }

    #[test]
    fn a_server_that_is_off_needs_nothing() {
        let off = Settings {
            listen: Vec::new(),
            ..settings("192.0.2.7", PortRange::default())
        };
        check(&off).unwrap();
        assert_eq!(warning(&off), None);
    }
}
