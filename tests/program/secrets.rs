//! Nothing that identifies a proxy or client leaves the program: in its log at the most
//! verbose level, its data for operators, or its files.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::messages::proxy_poll;
use crate::support::privacy::PrivacyWatch;
use crate::{Program, command, result};

/// A part of every text from a proxy or client, except the relay pattern.
const NEEDLE: &str = "NeEdLe";
const V4: &str = "5.11.22.33";
const V6: &str = "2a01:4f8:dead:beef::77";
const OFFERED: &str = r#""Status":"client match""#;

/// Headers with addresses and secrets for each request.
fn headers() -> String {
    format!(
        "X-Forwarded-For: {V6}, {V4}\r\nForwarded: for=\"[{V6}]:443\";by={NEEDLE}\r\n\
         User-Agent: {NEEDLE}\r\nX-Session-ID: {NEEDLE}\r\nReferer: http://{V4}/{NEEDLE}\r\n"
    )
}

fn sdp(kind: &str) -> String {
    let sdp = format!(
        "v=0\r\no=- {NEEDLE} 2 IN IP4 {V4}\r\nc=IN IP6 {V6}\r\n\
         a=candidate:1 1 udp 1 {V4} 5000 typ host\r\na=candidate:2 1 udp 1 {V6} 5000 typ srflx\r\n"
    );
    json!({"type": kind, "sdp": sdp}).to_string()
}

fn sid(number: u32) -> String {
    format!("{NEEDLE}-{number}")
}

fn client(fingerprint: &str) -> String {
    let body = json!({"offer": sdp("offer"), "nat": "open", "fingerprint": fingerprint});
    format!("1.0\n{body}")
}

fn answer(number: u32) -> String {
    json!({"Version": "1.3", "Sid": sid(number), "Answer": sdp("answer")}).to_string()
}

fn amp(poll: &str) -> String {
    format!(
        "GET /amp/client/0{NEEDLE}/{}?{NEEDLE}",
        URL_SAFE_NO_PAD.encode(poll)
    )
}

/// Starts it in its own folder, with short intervals.
async fn start(folder: &Path, format: &str) -> Program {
    Program::start_with(|addr| {
        let mut command = command(addr, &["--disable-geoip", "--metrics-log=log"]);
        command.current_dir(folder).envs([
            ("SNOWFLAKE_BROKER_TELEMETRY__LOG_LEVEL", "trace"),
            ("SNOWFLAKE_BROKER_TELEMETRY__LOG_FORMAT", format),
            ("SNOWFLAKE_BROKER_MATCHING__PROXY_TIMEOUT", "2s"),
            ("SNOWFLAKE_BROKER_MATCHING__CLIENT_TIMEOUT", "2s"),
            ("SNOWFLAKE_BROKER_MATCHING__CLIENT_QUEUE_WAIT", "10ms"),
            ("SNOWFLAKE_BROKER_LISTENER__HEADER_READ_TIMEOUT", "300ms"),
        ]);
        command
    })
    .await
}

#[tokio::test]
async fn nothing_of_what_peers_say_leaves_the_program() {
    for format in ["text", "json"] {
        let folder = tempfile::tempdir().unwrap();
        let program = start(folder.path(), format).await;
        matched_and_left(&program).await;
        refused(&program).await;
        malformed(&program).await;
        check(program, &folder).await;
    }
}

async fn matched_and_left(program: &Program) {
    let headers = headers();
    let poll = program
        .start_post("/proxy", proxy_poll(&sid(1), "open"))
        .await;
    let asking = client("");
    let request = program.request("POST /client", &headers, &asking);
    let (reply, ()) = tokio::join!(request, async {
        assert_eq!(result(poll).await["Status"], "client match");
        let taken = program.request("POST /answer", &headers, &answer(1)).await;
        assert!(taken.contains("success"), "{taken}");
    });
    assert!(reply.contains(r#"{"answer":"#), "{reply}");
    program.request("POST /answer", &headers, &answer(1)).await;

    // A client that gets no answer, and one that leaves early.
    let poll = program
        .start_post("/proxy", proxy_poll(&sid(2), "open"))
        .await;
    let timed_out = program.request(&amp(&client("")), &headers, "").await;
    assert!(timed_out.starts_with("HTTP/1.1 200"), "{timed_out}");
    assert!(poll.await.unwrap().contains(OFFERED));
    for target in ["POST /client", "POST /proxy"] {
        let mut stream = TcpStream::connect(program.addr).await.unwrap();
        let body = proxy_poll(&sid(3), "open");
        let length = body.len() + 10;
        let head = format!("{target} HTTP/1.1\r\nHost: {NEEDLE}\r\nContent-Length: {length}\r\n");
        let request = format!("{head}{headers}\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
    }
}

async fn refused(program: &Program) {
    let headers = headers();
    let unknown_bridge = "f".repeat(40);
    let legacy = format!("{headers}Snowflake-NAT-Type: {NEEDLE}\r\n");
    let poll = |key: &str, value: &str| {
        let mut poll = json!({"Sid": sid(4), "Version": "1.3", "Type": NEEDLE, "NAT": "open"});
        poll[key] = json!(value);
        poll.to_string()
    };
    let pattern = format!("{V4}.[{V6}]:443{}", "x".repeat(50_000));
    for (target, headers, body) in [
        ("POST /client", &headers, client("")),
        ("POST /client", &headers, client(&unknown_bridge)),
        ("POST /client", &headers, client(NEEDLE)),
        (
            "POST /client",
            &headers,
            format!("1.0\n{{\"offer\":\"{NEEDLE}\"}}"),
        ),
        (
            "POST /client",
            &headers,
            format!("1.0\n{{\"nat\":{{\"{NEEDLE}\":\"{V4}\"}}}}"),
        ),
        ("POST /client", &headers, format!("{NEEDLE} {V4}")),
        ("POST /client", &legacy, sdp("offer")),
        ("POST /client", &headers, sdp(NEEDLE)),
        (&*amp(NEEDLE), &headers, String::new()),
        (&*amp(&client(&unknown_bridge)), &headers, String::new()),
        (
            &*format!("GET /amp/client/1/{NEEDLE}%ff"),
            &headers,
            String::new(),
        ),
        (
            "POST /proxy",
            &headers,
            poll("AcceptedRelayPattern", &pattern),
        ),
        ("POST /proxy", &headers, poll("NAT", NEEDLE)),
        ("POST /proxy", &headers, poll("Version", NEEDLE)),
        ("POST /proxy", &headers, poll("Clients", NEEDLE)),
        ("POST /proxy", &headers, format!("{{\"Sid\":{NEEDLE} {V4}")),
        ("POST /proxy", &headers, NEEDLE.repeat(20_000)),
        ("POST /answer", &headers, answer(9)),
        (
            "POST /answer",
            &headers,
            format!("a=candidate:{NEEDLE} {V4}"),
        ),
        ("POST /answer", &headers, format!("{NEEDLE} {V6}")),
        (
            &*format!("GET /{NEEDLE}/{V4}?{V6}"),
            &headers,
            String::new(),
        ),
        (
            &*format!("OPTIONS /proxy?{NEEDLE}"),
            &headers,
            String::new(),
        ),
    ] {
        let reply = program.request(target, headers, &body).await;
        assert!(reply.starts_with("HTTP/1.1 "), "{target}: {reply}");
    }
}

async fn malformed(program: &Program) {
    for request in [
        format!("GET /{NEEDLE} {V4} HTTP/1.1\r\n\r\n"),
        format!("GET /{NEEDLE} HTTP/1.1\r\n{NEEDLE} {V4}\r\n\r\n"),
        format!("POST /proxy HTTP/1.1\r\nContent-Length: {NEEDLE}\r\n\r\n"),
        format!("POST /proxy HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{NEEDLE}\r\n{V4}"),
        format!("{NEEDLE} {V4}\r\n\r\n"),
    ] {
        program.exchange(request.as_bytes()).await;
    }
    let path = format!("/amp/client/0{NEEDLE} {V4}");
    program.exchange(&http2("a", &path, "trailers")).await;
    program
        .exchange(&http2(&format!("{NEEDLE} {V4}"), "/", "trailers"))
        .await;
    program.exchange(&http2("a", "/", NEEDLE)).await;
}

/// An HTTP/2 connection (RFC 9113) with one request, which may be malformed.
fn http2(authority: &str, path: &str, te: &str) -> Vec<u8> {
    let mut fields = vec![0x82, 0x86]; // :method GET, :scheme http
    let mut add = |name: &[u8], value: &str| {
        fields.extend(name);
        fields.push(u8::try_from(value.len()).unwrap());
        fields.extend(value.bytes());
    };
    // Literals without indexing (RFC 7541, section 6.2.2).
    add(&[0x01], authority);
    add(&[0x04], path);
    add(b"\x00\x02te", te);
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]); // SETTINGS
    // HEADERS of stream 1, END_STREAM and END_HEADERS.
    bytes.extend([0, 0, u8::try_from(fields.len()).unwrap(), 1, 5, 0, 0, 0, 1]);
    bytes.extend(fields);
    bytes
}

async fn check(program: Program, folder: &TempDir) {
    let watch = PrivacyWatch::default();
    watch.forbid(NEEDLE);
    let offer = URL_SAFE_NO_PAD.encode(client(""));
    watch.forbid(&offer[..40]);
    for page in ["/prometheus", "/debug", "/metrics"] {
        let reply = program.request(&format!("GET {page}"), "", "").await;
        assert!(reply.starts_with("HTTP/1.1 200"), "{page}: {reply}");
        watch.check(page, &reply);
    }
    watch.check("all metrics", &program.metrics().await);
    program.signal(Signal::TERM, "stopping").await;
    let (status, log) = program.end().await;
    assert!(status.success(), "{status}\n{log}");
    assert!(log.contains("refused a client's poll"), "{log}");
    assert!(log.contains("its relay pattern"), "{log}");
    let longest = log.lines().map(str::len).max().unwrap();
    assert!(longest < 1_000, "a line of {longest} bytes");
    watch.check("the log", &log);
    for file in fs::read_dir(folder.path()).unwrap() {
        let path = file.unwrap().path();
        let content = fs::read(&path).unwrap();
        watch.check(
            &path.display().to_string(),
            &String::from_utf8_lossy(&content),
        );
    }
    watch.assert_clean("");
}
