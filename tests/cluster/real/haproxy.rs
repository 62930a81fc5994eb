//! Debian's `HAProxy`, which gives each request, or each connection, to the next node.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use tokio::net::TcpStream;

use crate::real::machine::Machine;
use crate::real::until;
use crate::support::process::Process;
use crate::support::{libraries, unpacked};

/// The response header that names the node.
pub(crate) const NODE_HEADER: &str = "x-node";

/// That which is given to the next node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Balance {
    Requests,
    Connections,
}

/// A node behind the balancer.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    pub(crate) name: String,
    pub(crate) http: SocketAddr,
    /// The address that says whether it is ready.
    pub(crate) operator: SocketAddr,
}

/// The running balancer. Dropping it kills it.
pub(crate) struct Balancer {
    pub(crate) address: SocketAddr,
    _process: Process,
}

impl Balancer {
    pub(crate) async fn start(
        folder: &Path,
        machine: Machine,
        balance: Balance,
        nodes: &[Backend],
    ) -> Self {
        let address = machine.free_front();
        let path = folder.join(format!("haproxy-{}.cfg", address.port()));
        fs::write(&path, config(address, balance, nodes)).unwrap();
        let mut command = machine.command(unpacked::file("usr/sbin/haproxy"));
        let libraries = std::env::join_paths(libraries::folders()).unwrap();
        command
            .env("LD_LIBRARY_PATH", libraries)
            .args(["-db", "-f"])
            .arg(&path);
        let mut process = Process::start(&mut command, path.with_extension("log")).unwrap();
        until("the balancer listens", async || {
            process.log().unwrap();
            TcpStream::connect(address).await.is_ok()
        })
        .await;
        Self {
            address,
            _process: process,
        }
    }
}

/// A node that does not take a connection costs a request nothing: the next one is asked. A
/// node that stops says so before, and one that hangs is left out after a second.
fn config(address: SocketAddr, balance: Balance, nodes: &[Backend]) -> String {
    let (mode, in_front, behind) = match balance {
        Balance::Requests => (
            "http",
            format!("    http-after-response set-header {NODE_HEADER} %s\n"),
            "    option abortonclose\n",
        ),
        Balance::Connections => ("tcp", String::new(), ""),
    };
    let mut config = format!(
        "global\n    nbthread 1\n    maxconn 4000\n\
         defaults\n    mode {mode}\n    timeout connect 1s\n    timeout client 30s\n    \
         timeout server 30s\n    timeout check 500ms\n    retries 3\n    option redispatch 1\n\
         frontend public\n    bind {address}\n    default_backend nodes\n{in_front}\
         backend nodes\n    balance roundrobin\n    option httpchk GET /readyz\n{behind}"
    );
    for Backend {
        name,
        http,
        operator,
    } in nodes
    {
        let (ip, port) = (operator.ip(), operator.port());
        writeln!(
            config,
            "    server {name} {http} check addr {ip} port {port} inter 200ms fall 2 rise 1"
        )
        .unwrap();
    }
    config
}
