//! Callers over TCP without valid credentials: they lock out nobody who has them.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use snowflake_broker::broker::clock;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::access::{Remote, SECRETS};
use crate::broker::{Broker, Setup};
use crate::grpcurl::Grpcurl;
use crate::support::peer::Peer;
use crate::support::{namespace, port};
use crate::until;

/// More connections than there are slots.
const CROWD: usize = 1_100;
/// The limit for one address.
const PER_ADDRESS: usize = 20;

/// Returns true if the broker has not closed the connection, which must not have been
/// read.
fn is_open(stream: &TcpStream) -> bool {
    matches!(stream.try_read(&mut [0; 64]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// Opens a connection from one of our addresses.
async fn connect(from: &str, to: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let from: SocketAddr = format!("{from}:0").parse().unwrap();
    socket.bind(from).unwrap();
    socket.connect(to.parse().unwrap()).await.unwrap()
}

/// Begins HTTP/2, answers and sends pings, but makes no call. Ends when the broker ends
/// the connection.
async fn ping(address: &str) -> JoinHandle<()> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, mut connection) = h2::client::handshake(stream).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    tokio::spawn(async move {
        let pinging = async {
            while pings.ping(h2::Ping::opaque()).await.is_ok() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            _ = connection => {}
            () = pinging => {}
        }
        // Dropping it earlier would end the connection.
        drop(sender);
    })
}

fn with_token(address: &str) -> Grpcurl {
    let header = format!("authorization: Bearer {}", SECRETS[1]);
    Grpcurl::new(&["-plaintext"], address).with("-H", &header)
}

/// A broker on the loopback that requires a token.
async fn with_a_token() -> (Broker, String) {
    let setup = Setup::new();
    let address = format!("127.0.0.1:{}", port::free().unwrap());
    let token = setup.write("token", SECRETS[1]);
    setup.configure(&format!(
        "[admin]\nlisten = {address:?}\n\
         [[admin.tokens]]\nname = \"alice\"\nrole = \"operator\"\nfile = \"{}\"\n",
        token.display()
    ));
    (setup.start().await, address)
}

/// The number of refused calls in the broker's metrics.
async fn refused(broker: &Broker) -> u64 {
    let mut peer = Peer::http1(broker.addr()).await;
    let (_, text) = peer.post("/prometheus", String::new()).await;
    let name = "snowflake_broker_credentials_refused_total{listener=\"admin\"} ";
    let (_, rest) = text.split_once(name).unwrap();
    rest.lines().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn pings_are_no_credentials() {
    let (broker, address) = with_a_token().await;
    let watching = with_token(&address)
        .with("-d", "{}")
        .command(&["snowflake.broker.admin.v1.Admin/WatchStatus"])
        .spawn()
        .unwrap();
    let pinging = ping(&address).await;
    until("it is closed", async || pinging.is_finished()).await;
    // A caller that has authenticated may stay for any time.
    let mut watching = watching;
    assert!(watching.try_wait().unwrap().is_none());
    assert!(
        !broker.log_of_calls().contains("127.0.0.1"),
        "{}",
        broker.log()
    );
}

#[tokio::test]
async fn a_full_house_keeps_nobody_out_who_says_who_calls() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
    let (broker, address) = with_a_token().await;
    let operator = with_token(&address);
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(TcpStream::connect(&address).await.unwrap());
    }
    operator.call("GetStatus", "{}").await.unwrap();
    // Each has sent its greeting.
    let are_open = || {
        let mut open = 0;
        for stream in &crowd {
            let mut greeting = [0; 64];
            while stream.try_read(&mut greeting).is_ok_and(|count| count > 0) {}
            open += usize::from(is_open(stream));
        }
        open
    };
    until("the oldest have gone", async || are_open() <= 950).await;
    broker.logs("places for connections are taken").await;
    until("all have gone", async || are_open() == 0).await;
    operator.call("GetStatus", "{}").await.unwrap();
    assert!(
        !broker.log_of_calls().contains("127.0.0.1"),
        "{}",
        broker.log()
    );
}

#[tokio::test]
async fn whoever_speaks_tls_to_a_port_in_the_clear_is_told_of() {
    let (broker, address) = with_a_token().await;
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let hello = [22, 3, 1, 0, 5, 1, 0, 0, 1, 3];
    stream.write_all(&hello).await.unwrap();
    broker
        .logs("it came to a port that is served in the clear")
        .await;
    with_token(&address).call("GetStatus", "{}").await.unwrap();
}

/// Limits by address do not apply to the loopback.
#[tokio::test]
async fn an_address_has_its_share_and_its_operator_gets_in() {
    if !namespace::entered() {
        let name = "strangers::an_address_has_its_share_and_its_operator_gets_in";
        namespace::run_inside(name).await.unwrap();
        return;
    }
    namespace::connect().await.unwrap();
    let [here, there] = namespace::ADDRESSES;
    let remote = Remote::start_at(here, "").await;
    let mut crowd = Vec::new();
    for _ in 0..3 * PER_ADDRESS {
        crowd.push(connect(there, &remote.address).await);
    }
    let open = || -> Vec<usize> {
        let numbered = crowd.iter().enumerate();
        let open = numbered.filter(|(_, stream)| is_open(stream));
        open.map(|(number, _)| number).collect()
    };
    until("the share is kept", async || open().len() <= PER_ADDRESS).await;
    // The oldest connections are gone, at least most of them.
    let open = open();
    assert!(open.iter().all(|&n| n >= 2 * PER_ADDRESS), "{open:?}");
    remote.broker.logs("20 connections from one address").await;

    // grpcurl calls from this address.
    let mut crowd = Vec::new();
    for _ in 0..PER_ADDRESS {
        crowd.push(connect(here, &remote.address).await);
    }
    let operator = remote.grpcurl("alice");
    operator.call("GetStatus", "{}").await.unwrap();
    until("it has made room", async || {
        crowd.iter().any(|stream| !is_open(stream))
    })
    .await;
    let log = remote.broker.log_of_calls();
    assert!(!log.contains(here) && !log.contains(there), "{log}");
}

#[tokio::test]
async fn refused_credentials_are_counted_logged_and_slowed_down() {
    let remote = Remote::with_tokens().await;
    assert_eq!(refused(&remote.broker).await, 0);
    let wrong = remote.with_token("not a token of anybody");
    let describe = ["describe", "snowflake.broker.admin.v1.Admin"];
    for _ in 0..4 {
        wrong.lines(&describe).await.unwrap_err();
    }
    let began = clock::now();
    let waiting = tokio::spawn(async move { wrong.lines(&describe).await });
    remote
        .with_token(SECRETS[0])
        .call("GetStatus", "{}")
        .await
        .unwrap();
    let failure = waiting.await.unwrap().unwrap_err();
    assert_eq!(failure.code, "Unauthenticated", "{}", failure.text);
    // 100 ms for the first, and twice as long for each further one; grpcurl makes more
    // than one call.
    assert!(began.elapsed() >= Duration::from_millis(1_600));

    // Unknown certificates are refused, too, in the handshake.
    let before = refused(&remote.broker).await;
    let stranger = remote.grpcurl("stranger").with("-connect-timeout", "2");
    stranger.call("GetStatus", "{}").await.unwrap_err();
    until("it is counted", async || {
        refused(&remote.broker).await > before
    })
    .await;
    assert!(before >= 5, "{before}");
    let logged = "admin.listen: refused a call: the bearer token is not known";
    remote.broker.logs(logged).await;
    assert!(!remote.broker.log_of_calls().contains("127.0.0.1"));
}
