//! Accepted and refused sockets.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use serde_json::Value;
use tokio::net::{TcpStream, UdpSocket};

use crate::restart::broker::{Program, Socket};
use crate::support::messages::client_poll;
use crate::support::peer::Peer;
use crate::support::port;

/// A broker without proxies denies the client, which shows that it serves.
async fn is_served(socket: &Socket) {
    let mut peer = Peer::http1(socket.addr()).await;
    let (_, reply) = peer.post("/client", client_poll("x", "open")).await;
    let reply: Value = serde_json::from_str(&reply).unwrap();
    assert!(reply["error"].is_string(), "{reply}");
}

/// The error with which it refuses to start.
async fn refusal(program: Program) -> String {
    let (status, log) = program.end().await;
    assert_eq!(status.code(), Some(1), "{log}");
    log.lines().last().unwrap().to_owned()
}

#[tokio::test]
async fn a_socket_is_known_by_its_name_or_by_being_the_only_one() {
    for name in ["http", "https", "snowflake-broker.socket", "unknown", ""] {
        let socket = Socket::open();
        let program = Program::start(&socket, name, &[]);
        is_served(&socket).await;
        let log = program.log();
        assert!(log.contains("socket in place of listener.addr"), "{log}");
    }
}

#[tokio::test]
async fn several_sockets_of_one_name_are_all_served() {
    let (one, other) = (Socket::open(), Socket::open());
    let _program = Program::start_with(&[&one, &other], "http:http", &[], |_| {});
    is_served(&one).await;
    is_served(&other).await;
}

/// systemd passes no socket if the unit was changed but not restarted.
#[tokio::test]
async fn a_missing_socket_is_named_and_opened_all_the_same() {
    let missing = "the service manager has not passed the socket";
    let socket = Socket::open();
    let expected = [("listener.expected_sockets", "http,operator")];
    let program = Program::start(&socket, "http", &expected);
    is_served(&socket).await;
    program
        .until_logged(&format!("{missing} \"operator\""))
        .await;
    let log = program.log();
    assert!(!log.contains(&format!("{missing} \"http\"")), "{log}");

    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free().unwrap()));
    let program = Program::without_sockets(addr, |command| {
        command.env("SNOWFLAKE_BROKER_LISTENER__EXPECTED_SOCKETS", "http");
    });
    program.until_logged(&format!("{missing} \"http\"")).await;
    program.until_logged("serving clients and proxies").await;
    assert!(TcpStream::connect(addr).await.is_ok());
}

/// Operators may have several sockets, too, regardless of the settings.
#[tokio::test]
async fn operators_have_sockets_of_their_own() {
    let (public, operators) = (Socket::open(), Socket::open());
    let sockets = [&public, &operators];
    let program = Program::start_with(&sockets, "http:operator", &[], |_| {});
    is_served(&public).await;
    let mut peer = Peer::http1(operators.addr()).await;
    let (_, ready) = peer.post("/readyz", String::new()).await;
    assert_eq!(ready, "ok\n");
    let log = program.log();
    assert!(log.contains("socket in place of operator.listen"), "{log}");
}

#[tokio::test]
async fn a_socket_that_nothing_is_served_on_is_named() {
    let (one, other) = (Socket::open(), Socket::open());
    let program = Program::start_with(&[&one, &other], "http:coffee", &[], |_| {});
    let line = refusal(program).await;
    assert!(line.contains("LISTEN_FDNAMES: "), "{line}");
    assert!(line.contains("\"coffee\""), "{line}");
}

#[tokio::test]
async fn of_several_sockets_each_needs_a_name() {
    let (one, other) = (Socket::open(), Socket::open());
    let program = Program::start_with(&[&one, &other], "http:b.socket", &[], |_| {});
    let line = refusal(program).await;
    assert!(line.contains("FileDescriptorName="), "{line}");
}

#[tokio::test]
async fn there_are_as_many_names_as_sockets() {
    let socket = Socket::open();
    let line = refusal(Program::start(&socket, "http:admin", &[])).await;
    assert!(line.contains("2 names for 1 sockets"), "{line}");
}

#[tokio::test]
async fn what_is_no_tcp_socket_that_listens_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let unix = UnixListener::bind(folder.path().join("socket")).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let listening = Socket::open();
    let connected = TcpStream::connect(listening.addr()).await.unwrap();
    let wrong: [OwnedFd; 3] = [
        unix.into(),
        udp.into_std().unwrap().into(),
        connected.into_std().unwrap().into(),
    ];
    for wrong in wrong {
        let socket = Socket::open();
        let program = Program::start_with(&[&socket], "http", &[], |command| {
            command.stdin(Stdio::from(wrong));
        });
        let line = refusal(program).await;
        assert!(line.contains("the inherited socket \"http\": "), "{line}");
    }
}
