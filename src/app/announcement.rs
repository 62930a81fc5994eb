//! The line at the start that says where the broker serves, and with what.

use std::time::SystemTime;

use tokio::net::TcpListener;

use crate::broker::Directory;
use crate::config::{Config, Inputs};
use crate::listener::ListenSocket;
use crate::telemetry::SETTINGS;

use super::admin::AdminSocket;
use super::certificates::{CertificateSource, timestamp};
use super::open_sockets::OpenSockets;

const OFF: &str = "off";

/// The places where the broker listens, in words.
#[derive(Debug)]
pub(super) struct Announcement {
    listen: String,
    admin: String,
    operator: String,
    status: Option<String>,
    federation: Option<String>,
    probe: Option<String>,
}

impl Announcement {
    /// Notes the addresses of the sockets before they are served.
    pub(super) fn of(sockets: &OpenSockets) -> Self {
        let federation = addresses(&sockets.peers);
        let status = addresses(&sockets.operator.status);
        let probe = addresses(sockets.probe.listeners());
        let admin: Vec<String> = sockets.admin.iter().filter_map(admin_place).collect();
        Self {
            listen: listed(&addresses(&sockets.http)),
            admin: listed(&admin),
            operator: listed(&addresses(&sockets.operator.operator)),
            status: (!status.is_empty()).then(|| listed(&status)),
            federation: (!federation.is_empty()).then(|| listed(&federation)),
            probe: (!probe.is_empty()).then(|| listed(&probe)),
        }
    }

    /// Logs the line. `certificate_end` is when the certificate that is served expires.
    pub(super) fn log(
        self,
        inputs: &Inputs,
        config: &Config,
        directory: &Directory,
        certificate_end: Option<SystemTime>,
    ) {
        tracing::info!(
            target: SETTINGS,
            version = env!("CARGO_PKG_VERSION"),
            listen = self.listen,
            tls = tls(config, certificate_end),
            bridges = directory.bridges.count(),
            admin = self.admin,
            operator = self.operator,
            status = self.status,
            federation = self.federation,
            probe = self.probe,
            config = files(inputs),
            countries = countries(config),
            "serving clients and proxies"
        );
    }
}

fn addresses(listeners: &[TcpListener]) -> Vec<String> {
    let addresses = listeners.iter().filter_map(|it| it.local_addr().ok());
    addresses.map(|addr| addr.to_string()).collect()
}

fn admin_place(socket: &AdminSocket) -> Option<String> {
    match &socket.listener {
        ListenSocket::Tcp(listener) => Some(listener.local_addr().ok()?.to_string()),
        ListenSocket::Unix(listener) => {
            if let Some(file) = &socket.file {
                return Some(file.path().display().to_string());
            }
            let inherited = listener.local_addr().ok()?;
            Some(inherited.as_pathname()?.display().to_string())
        }
    }
}

fn listed(places: &[String]) -> String {
    match places {
        [] => OFF.to_owned(),
        places => places.join(", "),
    }
}

fn tls(config: &Config, certificate_end: Option<SystemTime>) -> String {
    match (CertificateSource::of(config), certificate_end) {
        (CertificateSource::Plaintext, _) => OFF.to_owned(),
        (_, Some(end)) => format!("until {}", timestamp(end)),
        (_, None) => "no certificate yet".to_owned(),
    }
}

fn files(inputs: &Inputs) -> String {
    let files = inputs.files_that_are_read();
    let files: Vec<String> = files
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    match &files[..] {
        [] => "no file".to_owned(),
        files => files.join(", "),
    }
}

/// The databases are read once everybody is served.
fn countries(config: &Config) -> &'static str {
    let geoip = &config.geoip;
    if geoip.disable {
        OFF
    } else if geoip.geoipdb.exists() || geoip.geoip6db.exists() {
        "loading"
    } else {
        "unknown"
    }
}
