//! A cluster of nodes on the loopback.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::JoinHandle;

use crate::node::KEY;
use crate::real::nats::{Access, Servers};
use crate::real::until;
use crate::support::messages::{client_poll, proxy_answer, proxy_poll};
use crate::support::port;
use crate::support::process::Process;

/// Nodes and servers. Dropping them kills all.
pub(crate) struct Site {
    pub(crate) servers: Servers,
    nodes: Vec<RealNode>,
    folder: TempDir,
}

/// One running node.
pub(crate) struct RealNode {
    pub(crate) name: String,
    process: Process,
    http: SocketAddr,
    operator: SocketAddr,
    socket: PathBuf,
}

impl Site {
    /// Starts the servers, and nodes that have heard of each other.
    pub(crate) async fn start(access: Access, names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cluster.key"), KEY).unwrap();
        let mut site = Self {
            servers: Servers::start(folder.path(), access).await,
            nodes: Vec::new(),
            folder,
        };
        for name in names {
            site.start_node(name).await;
        }
        for name in names {
            site.all_see(name, 0).await;
        }
        site
    }

    /// Starts a node, whose first server is that of its number.
    pub(crate) async fn start_node(&mut self, name: &str) {
        let servers = self.servers.settings(self.nodes.len());
        let node = RealNode::start(self.folder.path(), name, &servers).await;
        self.nodes.push(node);
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &RealNode> {
        self.nodes.iter()
    }

    pub(crate) fn node(&self, name: &str) -> &RealNode {
        let mut nodes = self.nodes.iter();
        nodes.find(|node| node.name == name).unwrap()
    }

    /// Waits until all others see this number of proxies at a node.
    pub(crate) async fn all_see(&self, name: &str, proxies: usize) {
        for node in self.nodes.iter().filter(|node| node.name != name) {
            let what = format!("{} sees {proxies} proxies at {name}", node.name);
            until(&what, async || node.sees(name, proxies).await).await;
        }
    }

    /// Waits until the log of a node has these words.
    pub(crate) async fn logs(&mut self, name: &str, words: &str) {
        let mut nodes = self.nodes.iter_mut();
        let node = nodes.find(|node| node.name == name).unwrap();
        let what = format!("{name} logs {words:?}");
        until(&what, async || node.process.log().unwrap().contains(words)).await;
    }

    pub(crate) fn kill(&mut self, name: &str) {
        self.nodes.retain(|node| node.name != name);
    }

    /// Stops a node as a service manager does.
    pub(crate) async fn stop(&mut self, name: &str) {
        let stopped = self.nodes.iter().position(|node| node.name == name);
        let mut stopped = self.nodes.remove(stopped.unwrap());
        stopped.process.signal(Signal::TERM).unwrap();
        until("it has stopped", async || stopped.process.log().is_err()).await;
    }
}

impl RealNode {
    async fn start(folder: &Path, name: &str, servers: &str) -> Self {
        let free = || SocketAddr::from((Ipv4Addr::LOCALHOST, port::free().unwrap()));
        let (http, operator) = (free(), free());
        let socket = folder.join(format!("{name}.sock"));
        let config = format!(
            "[listener]\naddr = \"{http}\"\n[tls]\ndisable = true\n[geoip]\ndisable = true\n\
             [operator]\nlisten = \"{operator}\"\n[admin]\nlisten = \"{}\"\n\
             [matching]\nsecond_chance_reserve = 0\n\
             [metrics]\nmetrics_log = \"{}\"\nstate_directory = \"{}\"\nmetrics_interval = \"6s\"\n\
             [cluster]\nnode = \"{name}\"\nreserve = 0\nkey_file = \"{}\"\n{servers}",
            socket.display(),
            folder.join(format!("{name}.metrics")).display(),
            folder.join(format!("{name}.state")).display(),
            folder.join("cluster.key").display(),
        );
        let path = folder.join(format!("{name}.toml"));
        fs::write(&path, config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"));
        command.arg("--config").arg(path);
        let log = folder.join(format!("{name}.log"));
        let mut process = Process::start(&mut command, log).unwrap();
        until("the node listens", async || {
            process.log().unwrap();
            TcpStream::connect(http).await.is_ok() && socket.exists()
        })
        .await;
        Self {
            name: name.to_owned(),
            process,
            http,
            operator,
            socket,
        }
    }

    /// The metrics log.
    pub(crate) fn metrics_log(&self) -> String {
        fs::read_to_string(self.socket.with_extension("metrics")).unwrap_or_default()
    }

    /// The output of `snowflake-broker admin`.
    pub(crate) async fn admin(&self, command: &str) -> String {
        let words = command.split(' ');
        let output = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"))
            .arg("admin")
            .args(words)
            .arg("--address")
            .arg(format!("unix:{}", self.socket.display()))
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    async fn row_of(&self, name: &str) -> Option<Vec<String>> {
        let table = self.admin("nodes").await;
        let rows = table
            .lines()
            .map(|row| row.split_whitespace().map(str::to_owned));
        let mut rows = rows.map(Iterator::collect::<Vec<_>>);
        rows.find(|row| row.first().is_some_and(|node| node == name) && row.len() > 5)
    }

    /// Returns true if it knows another node.
    pub(crate) async fn knows(&self, name: &str) -> bool {
        self.row_of(name).await.is_some()
    }

    /// Returns true if it sees this number of proxies of the open pool at another node.
    pub(crate) async fn sees(&self, name: &str, proxies: usize) -> bool {
        let row = self.row_of(name).await;
        row.is_some_and(|row| row[3] == proxies.to_string())
    }

    /// Waits until this number of polls is parked here.
    pub(crate) async fn parks(&self, polls: usize) {
        let shown = format!("snowflake_broker_parked_polls{{pool=\"open\"}} {polls}\n");
        until("the polls are parked", async || {
            request(self.operator, "GET", "/prometheus", "")
                .await
                .contains(&shown)
        })
        .await;
    }

    /// Starts a proxy that polls here and answers at another node.
    pub(crate) fn proxy_answering_at(&self, other: &Self, sid: &str) -> JoinHandle<String> {
        let (here, there, sid) = (self.http, other.http, sid.to_owned());
        tokio::spawn(async move {
            let polled = request(here, "POST", "/proxy", &proxy_poll(&sid, "open")).await;
            assert!(polled.contains("client match"), "{polled}");
            request(there, "POST", "/answer", &proxy_answer(&sid, &sid)).await
        })
    }

    /// A client's reply.
    pub(crate) async fn client(&self, name: &str) -> String {
        post_as_client(self, name).await
    }
}

/// A client's reply.
pub(crate) async fn post_as_client(node: &RealNode, name: &str) -> String {
    request(
        node.http,
        "POST",
        "/client",
        &client_poll(name, "restricted"),
    )
    .await
}

/// An answer as it is in a response: a text in JSON.
pub(crate) fn shown(answer: &str) -> String {
    let quoted = serde_json::to_string(answer).unwrap();
    quoted.trim_matches('"').to_owned()
}

async fn request(at: SocketAddr, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let length = body.len();
    let request = format!("{method} {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    reply
}
