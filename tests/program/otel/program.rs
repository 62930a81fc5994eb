//! A broker with a collector.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::otel::{FOREVER, until};
use crate::support::messages::{client_poll, proxy_answer, proxy_poll};
use crate::support::peer::Peer;
use crate::support::port;

/// The session of every proxy here, which must stay secret.
pub(crate) const SID: &str = "secret-session";
/// The SDP of every client here, which must stay secret.
pub(crate) const SDP: &str = "secret-offer";

/// A running broker. Dropping it kills it.
pub(crate) struct Program {
    child: Child,
    addr: SocketAddr,
    operator: SocketAddr,
    log: NamedTempFile,
}

impl Program {
    /// Starts it with these variables, and waits until it listens.
    pub(crate) async fn start(variables: &[(&str, &str)]) -> Self {
        let free = || SocketAddr::from((Ipv4Addr::LOCALHOST, port::free().unwrap()));
        let (addr, operator) = (free(), free());
        let log = NamedTempFile::new().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"))
            .arg(format!("--addr={addr}"))
            .args(["--disable-tls", "--disable-geoip"])
            .env("SNOWFLAKE_BROKER_MATCHING__DRAIN_GRACE", "0")
            .env("SNOWFLAKE_BROKER_OPERATOR__LISTEN", operator.to_string())
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.reopen().unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        until("it listens", || std::net::TcpStream::connect(addr).is_ok()).await;
        Self {
            child,
            addr,
            operator,
            log,
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap()
    }

    /// A complete rendezvous: a proxy polls, a client comes, and the proxy answers.
    pub(crate) async fn rendezvous(&self) {
        let poll = self.post("/proxy", proxy_poll(SID, "open"));
        self.until_parked().await;
        let client = self.post("/client", client_poll(SDP, "strict"));
        assert_eq!(result(poll).await["Status"], "client match");
        let answer = self.post("/answer", proxy_answer(SID, "secret-answer"));
        assert_eq!(result(answer).await["Status"], "success");
        assert!(result(client).await["answer"].is_string());
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) async fn stop(mut self) -> (ExitStatus, String) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), Signal::TERM).unwrap();
        let status = timeout(FOREVER, self.child.wait()).await;
        (status.expect("it does not stop").unwrap(), self.log())
    }

    fn post(&self, path: &'static str, body: String) -> JoinHandle<String> {
        let addr = self.addr;
        tokio::spawn(async move { Peer::http1(addr).await.post(path, body).await.1 })
    }

    async fn until_parked(&self) {
        let parked = timeout(FOREVER, async {
            let mut peer = Peer::http2(self.operator).await;
            while !peer
                .post("/debug", String::new())
                .await
                .1
                .contains("available: 1")
            {}
        });
        parked.await.expect("no poll is parked");
    }
}

async fn result(request: JoinHandle<String>) -> Value {
    let body = timeout(FOREVER, request).await.expect("no reply").unwrap();
    serde_json::from_str(&body).unwrap()
}
