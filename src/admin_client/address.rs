//! The address of the broker.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::admin_client::arguments::ConnectionArgs;
use crate::config::{self, Inputs};
use crate::grpc::settings::Settings;
use crate::host_port::is_loopback;

use super::failure::Failure;

/// The address of the broker, with the transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BrokerAddress {
    /// A Unix socket.
    Unix(PathBuf),
    /// HOST:PORT.
    Tcp {
        /// The host and port.
        address: String,
        /// True for TLS.
        tls: bool,
    },
}

impl BrokerAddress {
    /// The address in `--address`, or else in the configuration. Errors in the
    /// configuration do not matter here, unless its file was named and cannot be read.
    pub(super) fn find(asked: &ConnectionArgs, inputs: &Inputs) -> Result<Self, Failure> {
        if let Some(address) = &asked.address {
            return Self::asked(address, asked);
        }
        let (config, wrong) = config::glance(inputs);
        let unread = wrong.iter().find(|wrong| wrong.key.is_none());
        match unread {
            Some(unread) if !inputs.files.is_empty() => Err(Failure::Input(unread.to_string())),
            _ => Self::configured(&config.admin, asked, Path::exists),
        }
    }

    fn asked(address: &str, asked: &ConnectionArgs) -> Result<Self, Failure> {
        let path = address
            .strip_prefix("unix:")
            .or_else(|| address.starts_with('/').then_some(address));
        match path {
            Some(path) => Self::unix(Path::new(path), asked),
            None => Self::tcp("--address", address, asked, false),
        }
    }

    /// The address to use of several: the Unix socket, unless it does not exist or
    /// credentials were given, which a Unix socket does not use.
    fn configured(
        admin: &Settings,
        asked: &ConnectionArgs,
        exists: impl Fn(&Path) -> bool,
    ) -> Result<Self, Failure> {
        let places = admin.listen();
        let path = places.iter().find_map(|place| place.path());
        let address = places.iter().find_map(|place| place.address());
        match (path, address) {
            (Some(path), Some(_)) if exists(path) && !has_credentials(asked) => {
                Self::unix(path, asked)
            }
            (_, Some(address)) => {
                let address = from_this_machine(address);
                Self::tcp("admin.listen", &address, asked, admin.tls.cert.is_some())
            }
            (Some(path), None) => Self::unix(path, asked),
            (None, None) => Err(Failure::Input(
                "admin.listen: is off, so name a broker with --address".to_owned(),
            )),
        }
    }

    fn unix(path: &Path, asked: &ConnectionArgs) -> Result<Self, Failure> {
        if wants_tls(asked) {
            let problem = "--tls-*: leave them out, a Unix socket has no TLS";
            return Err(Failure::Input(problem.to_owned()));
        }
        Ok(Self::Unix(path.to_owned()))
    }

    /// Refuses to send plain text to another machine, unless that is explicitly
    /// requested.
    fn tcp(
        source: &str,
        address: &str,
        asked: &ConnectionArgs,
        tls: bool,
    ) -> Result<Self, Failure> {
        if !is_host_and_port(address) {
            return Err(Failure::Input(format!(
                "{source}: must be unix:PATH or HOST:PORT (got {address:?})"
            )));
        }
        if asked.insecure && wants_tls(asked) {
            let problem = "--insecure: turns TLS off, so leave out --tls-*";
            return Err(Failure::Input(problem.to_owned()));
        }
        let tls = tls || wants_tls(asked) || !is_loopback(address);
        Ok(Self::Tcp {
            address: address.to_owned(),
            tls: tls && !asked.insecure,
        })
    }
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
            Self::Tcp { address, tls: true } => write!(formatter, "{address} over TLS"),
            Self::Tcp {
                address,
                tls: false,
            } => formatter.write_str(address),
        }
    }
}

fn wants_tls(asked: &ConnectionArgs) -> bool {
    asked.tls_ca.is_some()
        || asked.tls_cert.is_some()
        || asked.tls_key.is_some()
        || asked.tls_server_name.is_some()
}

fn has_credentials(asked: &ConnectionArgs) -> bool {
    wants_tls(asked) || asked.token_file.is_some()
}

fn is_host_and_port(address: &str) -> bool {
    let parts = address.rsplit_once(':');
    let is_it = parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    is_it && address.parse::<http::uri::Authority>().is_ok()
}

/// The local address for a broker that listens on all addresses.
fn from_this_machine(listen: &str) -> String {
    let everywhere = ["", "0.0.0.0", "[::]"];
    match listen.rsplit_once(':') {
        Some((host, port)) if everywhere.contains(&host) => format!("127.0.0.1:{port}"),
        _ => listen.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(listen: &str) -> Inputs {
        let variable = "SNOWFLAKE_BROKER_ADMIN__LISTEN";
        Inputs {
            files: Vec::new(),
            default_file: "/nowhere/config.toml".into(),
            environment: vec![(variable.into(), listen.into())],
            flags: Vec::new(),
            named_files_are_elsewhere: false,
        }
    }

    fn at(address: &str) -> ConnectionArgs {
        ConnectionArgs {
            address: Some(address.to_owned()),
            ..ConnectionArgs::default()
        }
    }

    fn listening(places: &[&str]) -> Settings {
        Settings {
            listen: places.iter().map(|&place| place.to_owned()).collect(),
            ..Settings::default()
        }
    }

    fn configured(admin: &Settings, asked: &ConnectionArgs, is_there: bool) -> String {
        let target = BrokerAddress::configured(admin, asked, |_| is_there);
        target.unwrap().to_string()
    }

    fn found(asked: &ConnectionArgs, listen: &str) -> String {
        match BrokerAddress::find(asked, &inputs(listen)) {
            Ok(target) => target.to_string(),
            Err(failure) => format!("{failure:?}"),
        }
    }

    #[test]
    fn without_an_address_the_configuration_counts() {
        let asked = ConnectionArgs::default();
        assert_eq!(found(&asked, ""), "unix:/run/snowflake-broker/admin.sock");
        assert_eq!(found(&asked, "/a/b"), "unix:/a/b");
        assert_eq!(found(&asked, "unix:/a/b"), "unix:/a/b");
        let at_port = |address| configured(&listening(&[address]), &asked, false);
        assert_eq!(at_port("127.0.0.1:1"), "127.0.0.1:1");
        assert_eq!(at_port(":1"), "127.0.0.1:1");
        assert_eq!(at_port("192.0.2.1:1"), "192.0.2.1:1 over TLS");
        assert!(found(&asked, "off").contains("--address"));
        assert_eq!(found(&at("[::1]:2"), "/a/b"), "[::1]:2");
    }

    #[test]
    fn a_configured_certificate_means_tls() {
        let mut admin = listening(&["[::]:1"]);
        assert_eq!(
            configured(&admin, &ConnectionArgs::default(), false),
            "127.0.0.1:1"
        );
        admin.tls.cert = Some("cert.pem".into());
        let over_tls = "127.0.0.1:1 over TLS";
        assert_eq!(
            configured(&admin, &ConnectionArgs::default(), false),
            over_tls
        );
    }

    #[test]
    fn of_several_places_the_socket_is_the_first() {
        let asked = ConnectionArgs::default();
        let with_token = ConnectionArgs {
            token_file: Some("token".into()),
            ..ConnectionArgs::default()
        };
        let default = "unix:/run/snowflake-broker/admin.sock";
        for (places, there, missing) in [
            (&["127.0.0.1:1"][..], default, "127.0.0.1:1"),
            (&["127.0.0.1:1", "/a/b"], "unix:/a/b", "127.0.0.1:1"),
            (&["[::1]:1", "127.0.0.1:1"], default, "[::1]:1"),
            (&["/a/b"], "unix:/a/b", "unix:/a/b"),
            (&[], default, default),
        ] {
            let admin = listening(places);
            assert_eq!(configured(&admin, &asked, true), there);
            assert_eq!(configured(&admin, &asked, false), missing);
            // A Unix socket does not require a token.
            assert_eq!(configured(&admin, &with_token, true), missing);
        }
    }

    #[test]
    fn other_machines_are_spoken_to_over_tls() {
        for address in ["192.0.2.1:1", "[2001:db8::1]:1", "broker.example:1"] {
            let mut asked = at(address);
            assert_eq!(found(&asked, ""), format!("{address} over TLS"));
            asked.insecure = true;
            assert_eq!(found(&asked, ""), address);
            asked.tls_ca = Some("ca.pem".into());
            assert!(found(&asked, "").contains("--insecure"));
        }
        let mut asked = at("localhost:1");
        assert_eq!(found(&asked, ""), "localhost:1");
        asked.tls_server_name = Some("broker.example".to_owned());
        assert_eq!(found(&asked, ""), "localhost:1 over TLS");
    }

    #[test]
    fn wrong_addresses_are_named() {
        for address in ["", "host", ":1", "host:port", "http://host:1", "a b:1"] {
            let found = found(&at(address), "");
            assert!(found.starts_with("Input(\"--address: "), "{found}");
        }
    }
}
