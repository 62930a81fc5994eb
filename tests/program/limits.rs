//! The limits of connections and addresses from an operator's view: replies, metrics and
//! log lines.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::support::messages::{client_poll, proxy_answer, proxy_poll};
use crate::support::peer::Peer;
use crate::support::privacy::PrivacyWatch;
use crate::{FOREVER, Program, command};

/// A broker with a configuration file that a test may change.
struct Configured {
    folder: TempDir,
    program: Program,
}

impl Configured {
    async fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        fs::write(&file, config).unwrap();
        let program = Program::start(&["-config", file.to_str().unwrap()]).await;
        Self { folder, program }
    }

    async fn reload(&self, config: &str) {
        fs::write(self.folder.path().join("config.toml"), config).unwrap();
        let reloaded = || self.program.log().matches("configuration reloaded").count();
        let before = reloaded();
        self.program.send(Signal::HUP);
        let is_logged = timeout(FOREVER, async {
            while reloaded() == before {
                sleep(Duration::from_millis(10)).await;
            }
        });
        is_logged.await.expect("it is not reloaded");
    }

    /// The status and body of the response to a request for this address, through a
    /// reverse proxy on this machine.
    async fn post(&self, address: &str, path: &str, body: &str) -> (u16, String) {
        let headers = format!("X-Forwarded-For: {address}\r\n");
        let target = format!("POST {path}");
        let reply = self.program.request(&target, &headers, body).await;
        let status = reply.split(' ').nth(1).unwrap().parse().unwrap();
        let (_, body) = reply.split_once("\r\n\r\n").unwrap();
        (status, body.to_owned())
    }

    /// A sample of the metrics.
    async fn count(&self, series: &str) -> u64 {
        let metrics = self.program.metrics().await;
        let line = metrics
            .lines()
            .find(|line| line.starts_with(series))
            .unwrap_or_else(|| panic!("no {series}"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    async fn refusals(&self, request: &str, reason: &str) -> u64 {
        let name = "snowflake_broker_refusals_total";
        let labels = format!("{{request=\"{request}\",reason=\"{reason}\"}}");
        self.count(&format!("{name}{labels}")).await
    }

    async fn dropped(&self, reason: &str) -> u64 {
        let name = "snowflake_broker_connections_dropped_total";
        self.count(&format!("{name}{{reason=\"{reason}\"}}")).await
    }

    /// Waits until this many connections were dropped for this reason.
    async fn until_dropped(&self, reason: &str, count: u64) {
        let counted = timeout(FOREVER, async {
            while self.dropped(reason).await < count {
                sleep(Duration::from_millis(20)).await;
            }
        });
        counted.await.expect("it is not counted");
        assert_eq!(self.dropped(reason).await, count);
    }

    /// The number of log lines that contain this text; none contains an address.
    fn logged(&self, text: &str) -> usize {
        let log = self.program.log();
        let watch = PrivacyWatch::default();
        watch.check("the log", &log);
        watch.assert_clean("the log");
        log.lines().filter(|line| line.contains(text)).count()
    }
}

/// A burst of two of each kind, and one more per minute.
const TWO_AT_ONCE: &str = "
[limits]
proxy_polls_per_minute = 1
proxy_poll_burst = 2
client_polls_per_minute = 1
client_poll_burst = 2
answers_per_minute = 1
answer_burst = 2
[matching]
proxy_timeout = \"10ms\"
client_queue_wait = \"10ms\"
[poll_interval.refusals_as]
polled_too_soon = \"status\"
";

#[tokio::test]
async fn an_address_over_its_limits_hears_it_and_others_do_not() {
    let broker = Configured::start(TWO_AT_ONCE).await;
    let status = async |address: &str| {
        let (_, body) = broker
            .post(address, "/proxy", &proxy_poll("a", "open"))
            .await;
        let poll: Value = serde_json::from_str(&body).unwrap();
        poll["Status"].as_str().unwrap().to_owned()
    };
    for expected in ["no match", "no match", "polled too soon"] {
        assert_eq!(status("5.1.0.1").await, expected);
    }
    let error = async |address: &str| {
        let (_, body) = broker
            .post(address, "/client", &client_poll("x", "open"))
            .await;
        body
    };
    for _ in 0..2 {
        assert!(error("5.1.0.1").await.contains("no snowflake proxies"));
    }
    let slow_down = r#"{"error":"too many requests, slow down"}"#;
    assert_eq!(error("5.1.0.1").await, slow_down);
    for expected in [200, 200, 429] {
        let answer = proxy_answer("nobody", "hi");
        let (status, _) = broker.post("5.1.0.1", "/answer", &answer).await;
        assert_eq!(status, expected);
    }
    // Addresses in one /64.
    for expected in ["no match", "no match", "polled too soon"] {
        assert_eq!(status("2a01:4f8:1:1::1").await, expected);
    }
    assert_eq!(status("2a01:4f8:1:1:ffff::2").await, "polled too soon");
    assert_eq!(status("2a01:4f8:1:2::1").await, "no match");

    for _ in 0..100 {
        assert_eq!(error("5.1.0.1").await, slow_down);
    }
    assert_eq!(broker.refusals("proxy_poll", "too_soon").await, 3);
    assert_eq!(broker.refusals("client_poll", "limit").await, 101);
    assert_eq!(broker.refusals("proxy_answer", "limit").await, 1);
    let over = "its address is over limits.client_polls_per_minute";
    let logged = broker.logged(over);
    assert!((10..=20).contains(&logged), "{logged}");
}

#[tokio::test]
async fn sighup_changes_limits_at_once() {
    let broker = Configured::start(TWO_AT_ONCE).await;
    let poll = client_poll("x", "open");
    let is_limited = async || {
        let (_, body) = broker.post("5.1.0.1", "/client", &poll).await;
        body.contains("slow down")
    };
    for expected in [false, false, true] {
        assert_eq!(is_limited().await, expected);
    }
    broker
        .reload(&TWO_AT_ONCE.replace("[matching]", "exempt = [\"5.1.0.0/16\"]\n[matching]"))
        .await;
    for _ in 0..5 {
        assert!(!is_limited().await);
    }
    broker
        .reload(&TWO_AT_ONCE.replace("client_poll_burst = 2", "client_poll_burst = 1"))
        .await;
    for expected in [false, true] {
        assert_eq!(is_limited().await, expected);
    }
    broker.reload("[listener]\nmax_connections = 1\n").await;
    let held = TcpStream::connect(broker.program.addr).await.unwrap();
    until_closed(TcpStream::connect(broker.program.addr).await.unwrap()).await;
    drop(held);
    assert_eq!(broker.logged("wait for a restart"), 0);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_counted() {
    let broker = Configured::start("[listener]\nmax_connections = 3\n").await;
    let addr = broker.program.addr;
    let mut held = Vec::new();
    // Earlier connections may not have ended yet.
    while held.len() < 3 {
        held.extend(served(addr).await);
    }
    for _ in 0..20 {
        until_closed(TcpStream::connect(addr).await.unwrap()).await;
    }
    drop(held);
    let taken = timeout(FOREVER, async {
        while served(addr).await.is_none() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    taken.await.expect("it takes no more connections");
    assert!(broker.dropped("connections").await >= 20);
    let logged = broker.logged("over listener.max_connections");
    assert!((10..=20).contains(&logged), "{logged}");
}

#[tokio::test]
async fn this_machine_may_have_any_number_of_connections() {
    let broker = Configured::start("[listener]\nmax_connections_per_peer = 1\n").await;
    let mut held = Vec::new();
    for _ in 0..5 {
        let mut peer = Peer::http1(broker.program.addr).await;
        let (status, _) = peer.post("/answer", proxy_answer("nobody", "hi")).await;
        assert_eq!(status, StatusCode::OK);
        held.push(peer);
    }
    assert_eq!(broker.dropped("connections_per_peer").await, 0);
}

#[tokio::test]
async fn slow_heads_and_idle_connections_are_counted_apart() {
    let config = "[listener]\nheader_read_timeout = \"1s\"\nidle_timeout = \"200ms\"\n";
    let broker = Configured::start(config).await;
    let addr = broker.program.addr;
    for begun in ["", "POST /client HT"] {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        until_closed(stream).await;
    }
    // The first connection of all was made while waiting for the broker to listen.
    let at_start = broker.dropped("head_timeout").await;
    assert!((2..=3).contains(&at_start), "{at_start}");
    assert!(broker.logged("over listener.header_read_timeout") >= 2);
    let mut peer = Peer::http1(addr).await;
    let (status, _) = peer.post("/answer", proxy_answer("nobody", "hi")).await;
    assert_eq!(status, StatusCode::OK);
    broker.until_dropped("idle_timeout", 1).await;
    assert_eq!(broker.logged("idle_timeout"), 0);
}

#[tokio::test]
async fn a_slow_body_is_counted() {
    let broker = Configured::start("[http]\nbody_read_timeout = \"200ms\"\n").await;
    let begun =
        "POST /client HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 9\r\n\r\n1.0";
    let reply = broker.program.exchange(begun.as_bytes()).await;
    assert!(reply.starts_with("HTTP/1.1 400"), "{reply}");
    assert_eq!(broker.refusals("client_poll", "too_slow").await, 1);
    assert_eq!(broker.logged("http.body_read_timeout"), 1);
}

#[tokio::test]
async fn a_slow_tls_handshake_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(["broker.example".to_owned()]).unwrap();
    let (cert, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    fs::write(&cert, pair.cert.pem()).unwrap();
    fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    let program = Program::start_with(|addr| {
        let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
        let mut command = command(addr, &["-disable-geoip", "-cert", cert, "-key", key]);
        command.env("SNOWFLAKE_BROKER_LISTENER__TLS_HANDSHAKE_TIMEOUT", "200ms");
        command
    })
    .await;
    let mut stream = TcpStream::connect(program.addr).await.unwrap();
    // The beginning of a ClientHello.
    stream.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    until_closed(stream).await;
    let logged = timeout(FOREVER, async {
        while !program
            .log()
            .contains("over listener.tls_handshake_timeout")
        {
            sleep(Duration::from_millis(10)).await;
        }
    });
    logged.await.expect("it is not logged");
}

#[tokio::test]
async fn a_rapid_reset_ends_its_connection_and_is_counted() {
    let broker = Configured::start("").await;
    let mut stream = TcpStream::connect(broker.program.addr).await.unwrap();
    let mut attack = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    attack.extend(frame(SETTINGS, 0, 0, &[]));
    for stream in 0..5_000 {
        let stream = 2 * stream + 1;
        // GET / from the static table (RFC 7541, appendix A): method, scheme, path.
        attack.extend(frame(
            HEADERS,
            END_STREAM | END_HEADERS,
            stream,
            &[0x82, 0x86, 0x84],
        ));
        attack.extend(frame(RST_STREAM, 0, stream, &CANCEL));
    }
    stream.write_all(&attack).await.ok();
    until_closed(stream).await;
    broker.until_dropped("http2_abuse", 1).await;
    assert_eq!(broker.logged("over listener.http2_max_resets"), 1);
    // Ordinary requests continue.
    let mut peer = Peer::http2(broker.program.addr).await;
    let (status, _) = peer.post("/answer", proxy_answer("nobody", "hi")).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn hundreds_of_polls_are_parked_on_one_http2_connection() {
    let broker = Configured::start("[matching]\nproxy_timeout = \"2m\"\n").await;
    let Peer::Http2(sender) = Peer::http2(broker.program.addr).await else {
        unreachable!("it speaks HTTP/2");
    };
    let polls: Vec<_> = (0..800)
        .map(|number| {
            let mut peer = Peer::Http2(sender.clone());
            let poll = proxy_poll(&number.to_string(), "open");
            tokio::spawn(async move { peer.post("/proxy", poll).await })
        })
        .collect();
    let parked = timeout(FOREVER, async {
        while broker
            .count("snowflake_broker_parked_polls{pool=\"open\"}")
            .await
            < 800
        {
            sleep(Duration::from_millis(50)).await;
        }
    });
    parked.await.expect("they are not all parked");
    drop(polls);
}

/// A connection that is kept after a request, if it is served.
async fn served(addr: SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = b"GET /robots.txt HTTP/1.1\r\nHost: a\r\n\r\n";
    stream.write_all(request).await.ok()?;
    let mut start = [0; 12];
    let read = timeout(FOREVER, stream.read_exact(&mut start)).await;
    read.expect("it hangs").ok()?;
    Some(stream)
}

/// Waits until the broker has closed the connection.
async fn until_closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let read = timeout(FOREVER, stream.read_to_end(&mut rest)).await;
    read.expect("it is not closed").ok();
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// An HTTP/2 frame (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}
