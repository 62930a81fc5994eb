//! Three NATS servers that know each other.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::real::until;
use crate::support::port;
use crate::support::process::Process;
use crate::support::unpacked;

const SERVERS: usize = 3;
/// The file that operators include.
const PERMISSIONS: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/contrib/nats/snowflake-broker.conf"
));

/// The way in which the servers let nodes in.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Access {
    /// Everybody may do everything.
    Open,
    /// By nkeys and TLS, with permissions.
    Restricted,
}

/// The running servers. Dropping them kills them.
pub(crate) struct Servers {
    running: Vec<Option<Process>>,
    ports: Vec<u16>,
    access: Access,
    folder: PathBuf,
}

impl Servers {
    pub(crate) async fn start(folder: &Path, access: Access) -> Self {
        let ports = || {
            (0..SERVERS)
                .map(|_| port::free().unwrap())
                .collect::<Vec<_>>()
        };
        let (ports, routes) = (ports(), ports());
        if access == Access::Restricted {
            write_secrets(folder);
        }
        let mut running = Vec::new();
        for number in 0..SERVERS {
            let config = config(folder, access, number, &ports, &routes);
            let path = folder.join(format!("nats-{number}.conf"));
            fs::write(&path, config).unwrap();
            let mut server = Command::new(unpacked::file("nats/bin/nats-server"));
            server.arg("--config").arg(path);
            let log = folder.join(format!("nats-{number}.log"));
            running.push(Some(Process::start(&mut server, log).unwrap()));
        }
        for port in &ports {
            until("NATS listens", async || {
                TcpStream::connect((Ipv4Addr::LOCALHOST, *port))
                    .await
                    .is_ok()
            })
            .await;
        }
        Self {
            running,
            ports,
            access,
            folder: folder.to_owned(),
        }
    }

    /// The settings of a node that connects to the server of this number first.
    pub(crate) fn settings(&self, first: usize) -> String {
        let mut ports = self.ports.clone();
        ports.rotate_left(first % SERVERS);
        let scheme = match self.access {
            Access::Open => "nats",
            Access::Restricted => "tls",
        };
        let servers: Vec<_> = ports
            .iter()
            .map(|port| format!("{scheme}://127.0.0.1:{port}"))
            .collect();
        let mut settings = format!("servers = {servers:?}\n");
        if self.access == Access::Restricted {
            let file = |name: &str| self.folder.join(name).display().to_string();
            writeln!(settings, "nkey_file = {:?}", file("node.nk")).unwrap();
            writeln!(settings, "tls = {{ ca = {:?} }}", file("ca.pem")).unwrap();
        }
        settings
    }

    pub(crate) fn kill(&mut self, number: usize) {
        self.running[number] = None;
    }

    pub(crate) fn signal(&mut self, number: usize, signal: Signal) {
        let server = self.running[number].as_ref().unwrap();
        server.signal(signal).unwrap();
    }
}

fn config(folder: &Path, access: Access, number: usize, ports: &[u16], routes: &[u16]) -> String {
    let others: Vec<_> = routes
        .iter()
        .map(|port| format!("nats://127.0.0.1:{port}"))
        .collect();
    let mut config = format!(
        "server_name: nats-{number}\n\
         listen: 127.0.0.1:{}\n\
         jetstream {{ store_dir: \"{}\" }}\n\
         cluster {{ name: test, listen: 127.0.0.1:{}, routes: {others:?} }}\n",
        ports[number],
        folder.join(format!("nats-{number}")).display(),
        routes[number],
    );
    if access == Access::Restricted {
        let file = |name: &str| folder.join(name).display().to_string();
        let public = fs::read_to_string(folder.join("node.pub")).unwrap();
        write!(
            config,
            "tls {{ cert_file: {:?}, key_file: {:?} }}\n\
             authorization {{ users: [ {{ nkey: {public}, permissions: {{\n\
             include \"permissions.conf\"\n}} }} ] }}\n",
            file("nats.pem"),
            file("nats.key"),
        )
        .unwrap();
    }
    config
}

/// Writes the servers' certificate with its authority, the nkey of the nodes, and their
/// permissions.
fn write_secrets(folder: &Path) {
    fs::write(folder.join("permissions.conf"), PERMISSIONS).unwrap();
    let authority = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = params.self_signed(&authority).unwrap();
    fs::write(folder.join("ca.pem"), ca.pem()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let issuer = rcgen::Issuer::from_params(&params, &authority);
    let certificate = params.signed_by(&key, &issuer).unwrap();
    fs::write(folder.join("nats.pem"), certificate.pem()).unwrap();
    fs::write(folder.join("nats.key"), key.serialize_pem()).unwrap();
    let user = nkeys::KeyPair::new_user();
    fs::write(folder.join("node.nk"), user.seed().unwrap()).unwrap();
    fs::write(folder.join("node.pub"), user.public_key()).unwrap();
}
