//! Brokers that are peers: their certificates, their configuration, and their use of CPU
//! and memory.

use std::cell::Cell;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use procfs::process::Process;
use procfs::{page_size, ticks_per_second};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

const HTTP_PORT: u16 = 8080;
const PEER_PORT: u16 = 7443;
/// Maximum time until a broker listens.
const PATIENCE: Duration = Duration::from_secs(30);
/// The log message for each connected peer.
const CONNECTED: &str = "connected to a peer";

/// The folder, the certificate authority and the unused addresses that all brokers share.
pub(crate) struct Site {
    program: PathBuf,
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
    first: u32,
    nodes: Cell<u32>,
}

/// A broker, which is killed on drop.
pub(crate) struct Node {
    program: PathBuf,
    name: String,
    host: Ipv4Addr,
    folder: PathBuf,
    peers: String,
    running: Option<(Child, Process)>,
}

/// The CPU and memory that a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// CPU time of all threads, in user and kernel mode.
    pub(crate) cpu: Duration,
    /// Resident memory, in bytes.
    pub(crate) memory: u64,
}

impl Site {
    pub(crate) fn new(program: PathBuf) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut params = CertificateParams::new([])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate()?;
        fs::write(
            folder.path().join("ca.pem"),
            params.self_signed(&key)?.pem(),
        )?;
        Ok(Self {
            program,
            folder,
            issuer: Issuer::new(params, key),
            first: fastrand::u32(0x7f80_0001..0x7fff_0000),
            nodes: Cell::new(0),
        })
    }

    /// Creates one more broker, which does not run yet and has no peers.
    pub(crate) fn node(&self) -> Result<Node> {
        let number = self.nodes.get();
        self.nodes.set(number + 1);
        let node = Node {
            program: self.program.clone(),
            name: format!("node{number}.example"),
            host: (self.first + number).into(),
            folder: self.folder.path().to_owned(),
            peers: String::new(),
            running: None,
        };
        let key = KeyPair::generate()?;
        let params = CertificateParams::new([node.name.clone()])?;
        fs::write(
            node.file("pem"),
            params.signed_by(&key, &self.issuer)?.pem(),
        )?;
        fs::write(node.file("key"), key.serialize_pem())?;
        Ok(node)
    }
}

impl Node {
    /// Adds a peer, with limits that are never reached here.
    pub(crate) fn add_peer(&mut self, other: &Self) {
        // Writing to a string cannot fail.
        let _written = write!(
            self.peers,
            "[[federation.peers]]\nname = \"{}\"\nurl = \"https://{}:{PEER_PORT}\"\n\
             max_in_flight = 1000\nmax_per_second = 100000\n",
            other.name, other.host
        );
    }

    pub(crate) async fn start(&mut self) -> Result<()> {
        let config = format!(
            "[tls]\ndisable = true\n[listener]\naddr = \"{}\"\n\
             [federation]\nlisten = \"{}:{PEER_PORT}\"\nreserve = 0\n\
             [federation.tls]\ncert = \"{}\"\nkey = \"{}\"\nca = \"{}\"\n{}",
            self.http(),
            self.host,
            self.file("pem").display(),
            self.file("key").display(),
            self.folder.join("ca.pem").display(),
            self.peers,
        );
        fs::write(self.file("toml"), config)?;
        let child = Command::new(&self.program)
            .arg("--disable-geoip")
            .arg("--config")
            .arg(self.file("toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(self.file("log"))?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let id = child.id().context("the broker has ended")?;
        self.running = Some((child, Process::new(id.try_into()?)?));
        timeout(PATIENCE, async {
            while TcpStream::connect(self.http()).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .with_context(|| fs::read_to_string(self.file("log")).unwrap_or_default())
    }

    /// The address for clients and proxies.
    pub(crate) fn http(&self) -> SocketAddr {
        (self.host, HTTP_PORT).into()
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        let (_, process) = self.running.as_ref().context("the broker does not run")?;
        let stat = process.stat().context("the broker has ended")?;
        let tick = Duration::from_secs(1) / u32::try_from(ticks_per_second())?;
        Ok(Usage {
            cpu: tick * u32::try_from(stat.utime + stat.stime)?,
            memory: stat.rss * page_size(),
        })
    }

    /// The number of peers connected, provided that none has disconnected.
    pub(crate) fn connected_peers(&self) -> Result<usize> {
        let log = fs::read_to_string(self.file("log"))?;
        Ok(log.matches(CONNECTED).count())
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.name))
    }
}

/// The total CPU and memory of several brokers.
pub(crate) fn total(nodes: &[&Node]) -> Result<Usage> {
    let mut total = Usage::default();
    for node in nodes {
        let usage = node.usage()?;
        total.cpu += usage.cpu;
        total.memory += usage.memory;
    }
    Ok(total)
}
