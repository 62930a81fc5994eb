//! Running brokers that know each other.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::program::until;
use crate::support::messages::{client_poll, proxy_answer, proxy_poll};
use crate::support::port;

/// The settings of a broker.
pub(crate) struct Setup {
    pub(crate) name: String,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    folder: PathBuf,
    /// The files `NAME.pem` and `NAME.key` there are its certificate and key.
    pub(crate) certificate: String,
    pub(crate) authority: PathBuf,
    peers: String,
}

/// A running broker. Dropping it kills it.
pub(crate) struct Broker {
    pub(crate) setup: Setup,
    child: Child,
}

impl Setup {
    pub(crate) fn new(folder: &Path, name: &str, authority: &Path) -> Self {
        let free = || SocketAddr::from((Ipv4Addr::LOCALHOST, port::free().unwrap()));
        Self {
            name: name.to_owned(),
            http: free(),
            grpc: free(),
            folder: folder.to_owned(),
            certificate: name.to_owned(),
            authority: authority.to_owned(),
            peers: String::new(),
        }
    }

    /// Adds a peer, with these settings besides its name and URL.
    pub(crate) fn add_peer(&mut self, name: &str, at: SocketAddr, settings: &str) {
        let peers = &mut self.peers;
        writeln!(peers, "[[federation.peers]]\nname = \"{name}.example\"").unwrap();
        writeln!(peers, "url = \"https://{at}\"\n{settings}").unwrap();
    }

    pub(crate) fn file(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.name))
    }

    pub(crate) fn write(&self) {
        let of = |ending| self.folder.join(format!("{}.{ending}", self.certificate));
        let config = format!(
            "[tls]\ndisable = true\n[operator]\nlisten = \"off\"\nnetworks = [\"127.0.0.0/8\"]\n[admin]\nlisten = \"{}\"\n\
             [listener]\naddr = \"{}\"\n\
             [federation]\nlisten = \"{}\"\nreserve = 0\n\
             [federation.tls]\ncert = \"{}\"\nkey = \"{}\"\nca = \"{}\"\n{}",
            self.file("sock").display(),
            self.http,
            self.grpc,
            of("pem").display(),
            of("key").display(),
            self.authority.display(),
            self.peers,
        );
        fs::write(self.file("toml"), config).unwrap();
    }

    pub(crate) async fn start(self) -> Broker {
        self.write();
        let log = fs::File::create(self.file("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"))
            .arg("--disable-geoip")
            .arg("--config")
            .arg(self.file("toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let broker = Broker { setup: self, child };
        until("the broker listens", async || {
            TcpStream::connect(broker.setup.http).await.is_ok()
        })
        .await;
        broker
    }
}

impl Broker {
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.setup.file("log")).unwrap()
    }

    /// Waits until a line of its log contains all of these words.
    pub(crate) async fn logs(&self, words: &[&str]) {
        let has_words = |line: &str| words.iter().all(|word| line.contains(word));
        let what = format!("{}: {words:?} in {}", self.setup.name, self.log());
        until(&what, async || self.log().lines().any(has_words)).await;
    }

    /// The output of `snowflake-broker admin`.
    pub(crate) async fn admin(&self, arguments: &str) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"))
            .arg("admin")
            .args(arguments.split(' '))
            .arg("--address")
            .arg(format!("unix:{}", self.setup.file("sock").display()))
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits until the row of a peer shows this state and this number of proxies in the
    /// open pool.
    pub(crate) async fn sees(&self, peer: &str, state: &str, proxies: usize) {
        let shown = format!("{peer}.example {state} {proxies}");
        let what = format!("{shown}; {}", self.log());
        until(&what, async || {
            let table = self.admin("peers").await;
            let mut rows = table
                .lines()
                .map(|row| row.split_whitespace().collect::<Vec<_>>().join(" "));
            rows.any(|row| row.starts_with(&shown))
        })
        .await;
    }

    pub(crate) fn reload(&self) {
        let id = Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap());
        kill_process(id.unwrap(), Signal::HUP).unwrap();
    }

    /// Starts a proxy that polls, and answers an offer.
    pub(crate) fn proxy(&self, sid: &str) -> JoinHandle<String> {
        let (at, sid) = (self.setup.http, sid.to_owned());
        tokio::spawn(async move {
            let polled = post(at, "/proxy", proxy_poll(&sid, "open")).await;
            assert!(polled.contains("client match"), "{polled}");
            post(at, "/answer", proxy_answer(&sid, &sid)).await
        })
    }

    /// The number of refused calls and handshakes of other brokers.
    pub(crate) async fn refused_credentials(&self) -> u64 {
        let metrics = post(self.setup.http, "/prometheus", String::new()).await;
        let name = "snowflake_broker_credentials_refused_total{listener=\"federation\"} ";
        let (_, rest) = metrics.split_once(name).unwrap();
        rest.lines().next().unwrap().parse().unwrap()
    }

    /// A client's reply.
    pub(crate) async fn client(&self) -> String {
        post(self.setup.http, "/client", client_poll("c", "restricted")).await
    }
}

async fn post(at: SocketAddr, path: &str, body: String) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let length = body.len();
    let request = format!("POST {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    reply
}
