//! A cluster of nodes on the loopback.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use futures_util::future::join_all;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::JoinHandle;

use crate::node::KEY;
use crate::real::access::Access;
use crate::real::haproxy::{Backend, Balance, Balancer};
use crate::real::load::SECRETS;
use crate::real::machine::Machine;
use crate::real::nats::Servers;
use crate::real::until;
use crate::support::messages::{client_poll, proxy_answer, proxy_poll};
use crate::support::process::Process;

/// The token of the private pool `family`, which all nodes have.
const TOKEN: &str = "0123456789abcdef";
/// The beginning of its paths.
const POOL: &str = "/p/0123456789abcdef";

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
    place: Place,
}

/// The place of a node, where it can start again.
#[derive(Clone)]
pub(crate) struct Place {
    name: String,
    machine: Machine,
    http: SocketAddr,
    operator: SocketAddr,
    socket: PathBuf,
    config: PathBuf,
    variables: Vec<(&'static str, OsString)>,
}

impl Site {
    /// Starts the servers, and nodes that have heard of each other.
    pub(crate) async fn start(access: Access, names: &[&str]) -> Self {
        Self::start_with(access, names, |place| place).await
    }

    /// The same, with nodes for a load behind a balancer.
    pub(crate) async fn under_load(names: &[&str], balance: Balance) -> (Self, Balancer) {
        let site = Self::start_with(Access::Open, names, Place::under_load).await;
        let balancer = site.balancer(Machine::HERE, balance).await;
        (site, balancer)
    }

    async fn start_with(access: Access, names: &[&str], change: fn(Place) -> Place) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let servers = Servers::start(folder.path(), access).await;
        let mut site = Self::without_nodes(folder, servers);
        let places = names.iter().map(|name| site.place(Machine::HERE, name));
        let places: Vec<_> = places.map(change).collect();
        site.start_all(places).await;
        site
    }

    /// A site of these servers, which keep their files in the folder.
    pub(crate) fn without_nodes(folder: TempDir, servers: Servers) -> Self {
        fs::write(folder.path().join("cluster.key"), KEY).unwrap();
        fs::write(folder.path().join("family.token"), TOKEN).unwrap();
        Self {
            servers,
            nodes: Vec::new(),
            folder,
        }
    }

    /// Starts a node on this machine.
    pub(crate) async fn start_node(&mut self, name: &str) {
        let place = self.place(Machine::HERE, name);
        self.start_again(place).await;
    }

    /// A place for a node on a machine.
    pub(crate) fn place(&self, machine: Machine, name: &str) -> Place {
        Place::new(self.folder.path(), machine, name, &self.servers.settings())
    }

    /// Starts nodes that have heard of each other.
    pub(crate) async fn start_all(&mut self, places: impl IntoIterator<Item = Place>) {
        self.nodes = join_all(places.into_iter().map(RealNode::start)).await;
        self.all_know_all().await;
    }

    /// Starts a node at its place.
    pub(crate) async fn start_again(&mut self, place: Place) {
        self.nodes.push(RealNode::start(place).await);
    }

    /// Starts a balancer on a machine, in front of the nodes there.
    pub(crate) async fn balancer(&self, machine: Machine, balance: Balance) -> Balancer {
        let here = |node: &&RealNode| node.place.machine.front == machine.front;
        let nodes = self.nodes.iter().filter(here).map(RealNode::backend);
        let nodes: Vec<_> = nodes.collect();
        Balancer::start(self.folder.path(), machine, balance, &nodes).await
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until each node has heard of all others, and of itself.
    pub(crate) async fn all_know_all(&self) {
        let all = format!("snowflake_broker_cluster_nodes {}\n", self.nodes.len());
        for node in &self.nodes {
            let what = format!("{} knows all nodes", node.name);
            until(&what, async || {
                let page = node.page().await;
                page.contains(&all) && page.contains("snowflake_broker_cluster_connected 1\n")
            })
            .await;
        }
    }

    /// Asserts that the logs have nothing of offers and answers.
    pub(crate) fn assert_logs_are_clean(&self) {
        for secret in SECRETS {
            self.assert_logs_lack(secret);
        }
    }

    pub(crate) fn assert_logs_lack(&self, secret: &str) {
        for node in &self.nodes {
            let log = fs::read_to_string(node.place.config.with_extension("log")).unwrap();
            assert!(!log.is_empty(), "{} logs nothing", node.name);
            assert!(!log.contains(secret), "{}: {log}", node.name);
        }
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

    /// Kills a node. Returns its place.
    pub(crate) fn kill(&mut self, name: &str) -> Place {
        self.remove(name).place
    }

    /// Stops a node as a service manager does. Returns its place.
    pub(crate) async fn stop(&mut self, name: &str) -> Place {
        let mut stopped = self.remove(name);
        stopped.process.signal(Signal::TERM).unwrap();
        until("it has stopped", async || stopped.process.log().is_err()).await;
        stopped.place
    }

    fn remove(&mut self, name: &str) -> RealNode {
        let place = self.nodes.iter().position(|node| node.name == name);
        self.nodes.remove(place.unwrap())
    }
}

impl Place {
    /// Writes the configuration of a node. Only the machine itself reaches its public address:
    /// somebody on it is never limited.
    fn new(folder: &Path, machine: Machine, name: &str, servers: &str) -> Self {
        let place = Self {
            name: name.to_owned(),
            machine,
            http: Machine::HERE.free_front(),
            operator: machine.free_front(),
            socket: folder.join(format!("{name}.sock")),
            config: folder.join(format!("{name}.toml")),
            variables: Vec::new(),
        };
        let config = format!(
            "[listener]\naddr = \"{}\"\n[tls]\ndisable = true\n[geoip]\ndisable = true\n\
             [operator]\nlisten = \"{}\"\n[admin]\nlisten = \"{}\"\npools_file = \"{}\"\n\
             [matching]\nsecond_chance_reserve = 0\n\
             [metrics]\nmetrics_log = \"{}\"\nstate_directory = \"{}\"\nmetrics_interval = \"6s\"\n\
             [[pools]]\nname = \"family\"\ntoken_file = \"{}\"\n\
             [cluster]\nnode = \"{name}\"\nreserve = 0\nkey_file = \"{}\"\n{servers}",
            place.http,
            place.operator,
            place.socket.display(),
            place.config.with_extension("pools").display(),
            place.config.with_extension("metrics").display(),
            place.config.with_extension("state").display(),
            folder.join("family.token").display(),
            folder.join("cluster.key").display(),
        );
        fs::write(&place.config, config).unwrap();
        place
    }

    /// Shortens the times for which a load has to wait at its end, and at that of a node; and
    /// lets clients wait for a proxy where the machine is slow.
    pub(crate) fn under_load(self) -> Self {
        self.with("SNOWFLAKE_BROKER_MATCHING__CLIENT_QUEUE_WAIT", "3s")
            .with("SNOWFLAKE_BROKER_MATCHING__PROXY_TIMEOUT", "2s")
            .with("SNOWFLAKE_BROKER_MATCHING__DRAIN_GRACE", "1s")
    }

    /// Sets an environment variable of the node.
    pub(crate) fn with(mut self, variable: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((variable, value.into()));
        self
    }
}

impl RealNode {
    async fn start(place: Place) -> Self {
        let mut command = place
            .machine
            .command(env!("CARGO_BIN_EXE_snowflake-broker"));
        let variables = place.variables.iter();
        command
            .envs(variables.map(|(variable, value)| (variable, value)))
            .arg("--config")
            .arg(&place.config);
        let log = place.config.with_extension("log");
        let mut process = Process::start(&mut command, log).unwrap();
        until("the node is ready", async || {
            process.log().unwrap();
            is_ready(place.operator).await && place.socket.exists()
        })
        .await;
        Self {
            name: place.name.clone(),
            process,
            place,
        }
    }

    /// The metrics log.
    pub(crate) fn metrics_log(&self) -> String {
        fs::read_to_string(self.place.config.with_extension("metrics")).unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn backend(&self) -> Backend {
        Backend {
            name: self.name.clone(),
            http: self.place.http,
            operator: self.place.operator,
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal).unwrap();
    }

    /// Its page of metrics.
    pub(crate) async fn page(&self) -> String {
        let reply = request(self.place.operator, "GET", "/prometheus", "").await;
        let (_, page) = reply.split_once("\r\n\r\n").unwrap();
        page.to_owned()
    }

    /// The response of `/readyz`.
    pub(crate) async fn readiness(&self) -> String {
        request(self.place.operator, "GET", "/readyz", "").await
    }

    /// The output of `snowflake-broker admin`.
    pub(crate) async fn admin(&self, command: &str) -> String {
        let words = command.split(' ');
        let output = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"))
            .arg("admin")
            .args(words)
            .arg("--address")
            .arg(format!("unix:{}", self.place.socket.display()))
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
        self.shows(&format!(
            "snowflake_broker_parked_polls{{pool=\"open\"}} {polls}\n"
        ))
        .await;
    }

    /// Waits until a poll of the private pool is parked here.
    pub(crate) async fn parks_in_pool(&self) {
        self.shows("snowflake_broker_private_pool_parked_polls{private_pool=\"family\"} 1\n")
            .await;
    }

    async fn shows(&self, line: &str) {
        until(line, async || self.page().await.contains(line)).await;
    }

    /// Starts a proxy that polls here and answers at another node.
    pub(crate) fn proxy_answering_at(&self, other: &Self, sid: &str) -> JoinHandle<String> {
        self.proxy_below("", other, sid)
    }

    /// The same with the private pool's URL.
    pub(crate) fn pool_proxy_answering_at(&self, other: &Self, sid: &str) -> JoinHandle<String> {
        self.proxy_below(POOL, other, sid)
    }

    fn proxy_below(&self, beginning: &str, other: &Self, sid: &str) -> JoinHandle<String> {
        let [poll_path, answer_path] =
            ["proxy", "answer"].map(|path| format!("{beginning}/{path}"));
        let (here, there, sid) = (self.place.http, other.place.http, sid.to_owned());
        tokio::spawn(async move {
            let polled = request(here, "POST", &poll_path, &proxy_poll(&sid, "open")).await;
            assert!(polled.contains("client match"), "{polled}");
            request(there, "POST", &answer_path, &proxy_answer(&sid, &sid)).await
        })
    }

    /// A client's reply.
    pub(crate) async fn client(&self, name: &str) -> String {
        post_as_client(self, name).await
    }

    /// Returns true if there is such a path for clients, who find no proxy there.
    pub(crate) async fn denies_at(&self, path: &str) -> bool {
        let poll = client_poll("c", "restricted");
        let reply = request(self.place.http, "POST", path, &poll).await;
        reply.contains("no snowflake proxies")
    }

    /// The reply to a client of the private pool.
    pub(crate) async fn pool_client(&self, name: &str) -> String {
        let (path, poll) = (format!("{POOL}/client"), client_poll(name, "restricted"));
        request(self.place.http, "POST", &path, &poll).await
    }
}

/// A client's reply.
pub(crate) async fn post_as_client(node: &RealNode, name: &str) -> String {
    request(
        node.place.http,
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

/// Returns true if a node takes requests.
async fn is_ready(operator: SocketAddr) -> bool {
    TcpStream::connect(operator).await.is_ok()
        && request(operator, "GET", "/readyz", "")
            .await
            .contains(" 200 ")
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
