//! A single stop, stage by stage, from the view of its proxies and clients.

use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::restart::FOREVER;
use crate::restart::broker::{Program, Socket};
use crate::support::messages::{answer, client_poll, proxy_answer, proxy_poll};
use crate::support::peer::Peer;

/// An HTTP/1.1 connection that shows the heads of responses.
struct Connection(TcpStream);

struct Reply {
    head: String,
    body: Value,
}

impl Reply {
    /// Returns true if this response is the last of its connection.
    fn closes(&self) -> bool {
        self.head.to_ascii_lowercase().contains("connection: close")
    }
}

impl Connection {
    async fn open(socket: &Socket) -> Self {
        Self(TcpStream::connect(socket.addr()).await.unwrap())
    }

    async fn send(&mut self, path: &str, body: &str) {
        let length = body.len();
        let request =
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}");
        self.0.write_all(request.as_bytes()).await.unwrap();
    }

    async fn receive(&mut self) -> Reply {
        let mut read = String::new();
        loop {
            let mut bytes = [0; 4096];
            let length = timeout(FOREVER, self.0.read(&mut bytes))
                .await
                .expect("no reply")
                .unwrap();
            assert!(length > 0, "closed after {read:?}");
            read.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
            if let Some((head, body)) = read.split_once("\r\n\r\n")
                && let Ok(body) = serde_json::from_str(body)
            {
                let head = head.to_owned();
                return Reply { head, body };
            }
        }
    }

    async fn post(&mut self, path: &str, body: &str) -> Reply {
        self.send(path, body).await;
        self.receive().await
    }

    async fn is_closed(&mut self) {
        let read = timeout(FOREVER, self.0.read(&mut [0])).await;
        assert_eq!(read.expect("it stays open").unwrap(), 0);
    }
}

fn post(mut peer: Peer, path: &'static str, body: String) -> JoinHandle<(Peer, Value)> {
    tokio::spawn(async move {
        let (_, reply) = peer.post(path, body).await;
        (peer, serde_json::from_str(&reply).unwrap())
    })
}

/// Lets a request arrive.
async fn settle() {
    sleep(Duration::from_millis(200)).await;
}

async fn stop(program: &Program) {
    // Signals are not handled before the broker serves.
    program.until_logged("serving clients and proxies").await;
    settle().await;
    program.send(Signal::TERM);
    program.until_logged("stopping").await;
    settle().await;
}

#[tokio::test]
async fn in_the_grace_parked_polls_serve_clients_and_new_ones_are_sent_to_the_successor() {
    let socket = Socket::open();
    let program = Program::start(&socket, "http", &[("matching.drain_grace", "1h")]);
    let mut parked = Connection::open(&socket).await;
    parked.send("/proxy", &proxy_poll("parked", "open")).await;
    settle().await;
    stop(&program).await;

    let mut new = Connection::open(&socket).await;
    let reply = new.post("/proxy", &proxy_poll("new", "open")).await;
    assert_eq!(reply.body["Status"], "no match");
    let next_poll = reply.body["NextPoll"].as_u64().unwrap();
    assert!((1000..=3000).contains(&next_poll), "{next_poll}");
    assert!(reply.closes());
    new.is_closed().await;

    let mut client = Connection::open(&socket).await;
    client.send("/client", &client_poll("x", "strict")).await;
    let matched = parked.receive().await;
    assert_eq!(matched.body["Status"], "client match");
    assert!(!matched.closes());
    let delivered = parked.post("/answer", &proxy_answer("parked", "hi")).await;
    assert_eq!(delivered.body, json!({"Status": "success"}));
    assert!(delivered.closes());
    let answered = client.receive().await;
    assert_eq!(answered.body, json!({"answer": answer("hi")}));
    assert!(answered.closes());

    program.send(Signal::TERM);
    let (status, log) = program.end().await;
    assert!(status.success() && log.contains("second signal"), "{log}");
}

#[tokio::test]
async fn after_the_grace_answers_come_in_and_the_successor_gets_who_connects() {
    let socket = Socket::open();
    let settings = [("matching.drain_grace", "0")];
    let program = Program::start(&socket, "http", &settings);
    let mut idle = Connection::open(&socket).await;
    idle.post("/client", &client_poll("nobody", "open")).await;
    let mut old = Connection::open(&socket).await;
    old.send("/proxy", &proxy_poll("old", "open")).await;
    settle().await;
    let mut client = Connection::open(&socket).await;
    client.send("/client", &client_poll("x", "strict")).await;
    assert_eq!(old.receive().await.body["Status"], "client match");
    stop(&program).await;
    idle.is_closed().await;

    let mut next = Connection::open(&socket).await;
    next.send("/client", &client_poll("y", "strict")).await;
    settle().await;
    let delivered = old.post("/answer", &proxy_answer("old", "hi")).await;
    assert_eq!(delivered.body, json!({"Status": "success"}));
    let answered = client.receive().await;
    assert_eq!(answered.body, json!({"answer": answer("hi")}));
    let (status, log) = program.end().await;
    assert!(status.success(), "{log}");

    let _successor = Program::start(&socket, "http", &settings);
    let mut proxy = Connection::open(&socket).await;
    let matched = proxy.post("/proxy", &proxy_poll("new", "open")).await;
    assert_eq!(matched.body["Status"], "client match");
    proxy.post("/answer", &proxy_answer("new", "ho")).await;
    let answered = next.receive().await;
    assert_eq!(answered.body, json!({"answer": answer("ho")}));
}

/// Over HTTP/2, the answer is a new stream, which is impossible after a GOAWAY.
#[tokio::test]
async fn an_answer_comes_in_over_http2_too() {
    let socket = Socket::open();
    let program = Program::start(&socket, "http", &[("matching.drain_grace", "0")]);
    let poll = proxy_poll("a", "open");
    let poll = post(Peer::http2(socket.addr()).await, "/proxy", poll);
    settle().await;
    let client = client_poll("x", "strict");
    let client = post(Peer::http2(socket.addr()).await, "/client", client);
    let (proxy, matched) = poll.await.unwrap();
    assert_eq!(matched["Status"], "client match");
    stop(&program).await;
    let answered = post(proxy, "/answer", proxy_answer("a", "hi"));
    assert_eq!(answered.await.unwrap().1, json!({"Status": "success"}));
    assert_eq!(client.await.unwrap().1, json!({"answer": answer("hi")}));
    let (status, log) = program.end().await;
    assert!(status.success(), "{log}");
}

/// A silent proxy keeps neither its connection nor the broker alive.
#[tokio::test]
async fn no_answer_is_waited_for_for_ever() {
    let socket = Socket::open();
    let settings = [
        ("matching.drain_grace", "0"),
        ("matching.client_timeout", "2s"),
    ];
    let program = Program::start(&socket, "http", &settings);
    let mut silent = Connection::open(&socket).await;
    silent.send("/proxy", &proxy_poll("a", "open")).await;
    settle().await;
    let mut client = Connection::open(&socket).await;
    client.send("/client", &client_poll("x", "strict")).await;
    silent.receive().await;
    stop(&program).await;
    let timed_out = json!({"error": "timed out waiting for answer!"});
    assert_eq!(client.receive().await.body, timed_out);
    silent.is_closed().await;
    let (status, log) = program.end().await;
    assert!(status.success() && log.contains("stopped\n"), "{log}");
}
