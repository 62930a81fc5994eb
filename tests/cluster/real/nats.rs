//! Three NATS servers that know each other.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::real::access::Access;
use crate::real::machine::Machine;
use crate::real::until;
use crate::support::process::Process;
use crate::support::{http, unpacked};

const SERVERS: usize = 3;
/// The running servers. Dropping them kills them.
pub(crate) struct Servers {
    all: Vec<Server>,
    access: Access,
    folder: PathBuf,
}

/// A server, if it runs.
struct Server {
    machine: Machine,
    address: SocketAddr,
    /// The address at which it tells of its connections.
    monitor: SocketAddr,
    config: PathBuf,
    process: Option<Process>,
}

impl Servers {
    pub(crate) async fn start(folder: &Path, access: Access) -> Self {
        Self::start_on(folder, access, [Machine::HERE; SERVERS]).await
    }

    /// Starts a server on each of these machines.
    pub(crate) async fn start_on(
        folder: &Path,
        access: Access,
        machines: [Machine; SERVERS],
    ) -> Self {
        access.write_secrets(folder);
        let addresses = machines.map(Machine::free_back);
        let routes = machines.map(Machine::free_back);
        let mut servers = Vec::new();
        for (number, machine) in machines.into_iter().enumerate() {
            let path = folder.join(format!("nats-{number}.conf"));
            let mut server = Server {
                machine,
                address: addresses[number],
                monitor: machine.free_front(),
                config: path,
                process: None,
            };
            let text = config(folder, access, number, &server, &routes);
            fs::write(&server.config, text).unwrap();
            server.start();
            servers.push(server);
        }
        let servers = Self {
            all: servers,
            access,
            folder: folder.to_owned(),
        };
        for number in 0..SERVERS {
            servers.listens(number).await;
        }
        servers
    }

    /// Waits until a server takes connections. Those on other machines only their nodes reach.
    async fn listens(&self, number: usize) {
        let server = &self.all[number];
        let log = server.config.with_extension("log");
        until("NATS listens", async || {
            if server.machine.is_here() {
                TcpStream::connect(server.address).await.is_ok()
            } else {
                fs::read_to_string(&log).is_ok_and(|log| log.contains("Server is ready"))
            }
        })
        .await;
    }

    /// The settings of a node, which connects to any of the servers.
    pub(crate) fn settings(&self) -> String {
        let scheme = self.access.scheme();
        let servers = self.all.iter().map(|server| server.address);
        let servers = servers.map(|address| format!("{scheme}://{address}"));
        let servers: Vec<_> = servers.collect();
        let of_node = self.access.of_node(&self.folder);
        format!("servers = {servers:?}\n{of_node}")
    }

    /// The number of the server that a node is connected to.
    pub(crate) async fn of_node(&self, node: &str) -> usize {
        let name = format!("\"snowflake-broker {node}\"");
        for (number, server) in self.all.iter().enumerate() {
            let connections = http::get(server.monitor, "/connz").await;
            if connections.is_ok_and(|connections| connections.contains(&name)) {
                return number;
            }
        }
        panic!("{node} is not connected")
    }

    /// The address of a server.
    pub(crate) fn address(&self, number: usize) -> SocketAddr {
        self.all[number].address
    }

    pub(crate) fn kill(&mut self, number: usize) {
        self.all[number].process = None;
    }

    /// Stops a server as a service manager does that knows nothing of NATS, and starts it
    /// again.
    pub(crate) async fn restart(&mut self, number: usize) {
        self.signal(number, Signal::TERM);
        let server = &mut self.all[number];
        let mut process = server.process.take().unwrap();
        until("NATS has stopped", async || process.log().is_err()).await;
        self.start_again(number).await;
    }

    /// The same, but the server tells its clients first, and lets them go one after the other
    /// (`nats-server --signal ldm`).
    pub(crate) async fn restart_as_lame_duck(&mut self, number: usize) {
        self.signal(number, Signal::USR2);
        let server = &mut self.all[number];
        let mut process = server.process.take().unwrap();
        until("NATS has let its clients go", async || {
            process.log().is_err()
        })
        .await;
        self.start_again(number).await;
    }

    /// Starts a server that has been killed.
    pub(crate) async fn start_again(&mut self, number: usize) {
        self.all[number].start();
        self.listens(number).await;
    }

    pub(crate) fn signal(&mut self, number: usize, signal: Signal) {
        let server = self.all[number].process.as_ref().unwrap();
        server.signal(signal).unwrap();
    }
}

impl Server {
    fn start(&mut self) {
        let program = unpacked::file("nats/bin/nats-server");
        let mut command = self.machine.command(program);
        command.arg("--config").arg(&self.config);
        let log = self.config.with_extension("log");
        self.process = Some(Process::start(&mut command, log).unwrap());
    }
}

/// The configuration of a server, with the pings that docs/cluster.md asks for.
fn config(
    folder: &Path,
    access: Access,
    number: usize,
    server: &Server,
    routes: &[SocketAddr],
) -> String {
    let others: Vec<_> = routes
        .iter()
        .map(|route| format!("nats://{route}"))
        .collect();
    let config = format!(
        "server_name: nats-{number}\n\
         listen: {}\n\
         http: {}\n\
         ping_interval: \"5s\"\n\
         ping_max: 2\n\
         lame_duck_grace_period: \"1s\"\n\
         lame_duck_duration: \"30s\"\n\
         jetstream {{ store_dir: \"{}\" }}\n\
         cluster {{ name: test, listen: {}, routes: {others:?} }}\n",
        server.address,
        server.monitor,
        folder.join(format!("nats-{number}")).display(),
        routes[number],
    );
    config + &access.of_server(folder)
}
