//! Limits of connections per peer.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use snowflake_broker::listener::accounts::{Accounts, Bounds};
use snowflake_broker::listener::{self, Closing, DropCause, Observer, Server, Settings};
use snowflake_broker::matching;
use snowflake_broker::tls::{CertResolver, Certificate, ServerConfigs};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::sockets::{FOREVER, until};
use crate::support::front::Front;
use crate::support::messages::proxy_answer;
use crate::support::peer::Peer;

/// The listener's notifications.
#[derive(Debug, Default)]
struct Told {
    open: Mutex<usize>,
    dropped: Mutex<Vec<DropCause>>,
}

impl Observer for Told {
    fn opened(&self) {
        *self.open.lock().unwrap() += 1;
    }

    fn closed(&self) {
        *self.open.lock().unwrap() -= 1;
    }

    fn dropped(&self, reason: DropCause) {
        self.dropped.lock().unwrap().push(reason);
    }

    fn accept_failed(&self, _error: &io::Error) {}
    fn handshake_failed(&self, _error: Option<&io::Error>) {}
    fn tls_in_the_clear(&self) {}
}

/// Connects from this address.
async fn connect(from: &str, addr: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::new(from.parse().unwrap(), 0))
        .unwrap();
    socket.connect(addr).await.unwrap()
}

async fn is_served(stream: TcpStream) -> Option<Peer> {
    let mut peer = Peer::http1_over(stream).await;
    let (status, _) = peer.post("/answer", proxy_answer("nobody", "hi")).await;
    (status == 200).then_some(peer)
}

async fn is_closed(mut stream: TcpStream) -> bool {
    let mut rest = Vec::new();
    let read = timeout(FOREVER, stream.read_to_end(&mut rest)).await;
    read.is_ok() && rest.is_empty()
}

/// A handshake without room once counted as failed.
#[tokio::test]
async fn a_handshake_without_room_is_dropped_for_memory() {
    let pair = rcgen::generate_simple_self_signed(["broker.example".to_owned()]).unwrap();
    let (cert, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
    let resolver = CertResolver::default();
    resolver.set(Certificate::from_pem(cert.as_bytes(), key.as_bytes()).unwrap());
    let configs = ServerConfigs::new(&Arc::new(resolver)).unwrap();
    let front = Front::new(matching::Settings::default());
    let listener = listener::bind("127.0.0.1:0").await.unwrap().remove(0);
    let addr = listener.local_addr().unwrap();
    let told = Arc::new(Told::default());
    let bounds = Bounds {
        bytes: 16 * 5_000,
        ..Bounds::default()
    };
    let server = Server::new(
        Settings::default(),
        Some(Arc::new(move |hello: &[u8]| configs.choose(hello))),
        front.endpoints.clone(),
        told.clone(),
        Accounts::new(bounds),
        Closing::default(),
    );
    tokio::spawn(Arc::new(server).run(listener));
    let mut stream = connect("127.0.0.1", addr).await;
    // A record of 16 KB, with the beginning of a longer ClientHello.
    let record = [
        &[0x16, 3, 1, 0x3e, 0x80, 1, 0, 0xff, 0xff][..],
        &[0; 15_996],
    ]
    .concat();
    let _ = stream.write_all(&record).await;
    until(|| !told.dropped.lock().unwrap().is_empty()).await;
    assert_eq!(*told.dropped.lock().unwrap(), [DropCause::Memory]);
}

#[tokio::test]
async fn a_peer_has_its_share_of_connections_and_no_more() {
    let front = Front::new(matching::Settings::default());
    let settings = |max_connections_per_peer| Settings {
        max_connections_per_peer,
        ..Settings::default()
    };
    let listener = listener::bind("127.0.0.1:0").await.unwrap().remove(0);
    let addr = listener.local_addr().unwrap();
    let told = Arc::new(Told::default());
    let (endpoints, closing) = (front.endpoints.clone(), Closing::default());
    let accounts = Accounts::new(Bounds::default());
    let server = Server::new(
        settings(2),
        None,
        endpoints,
        told.clone(),
        accounts,
        closing,
    );
    let server = Arc::new(server);
    tokio::spawn(Arc::clone(&server).run(listener));

    let first = is_served(connect("127.0.0.1", addr).await).await.unwrap();
    let _second = is_served(connect("127.0.0.1", addr).await).await.unwrap();
    assert!(is_closed(connect("127.0.0.1", addr).await).await);
    let _other = is_served(connect("127.0.0.2", addr).await).await.unwrap();
    assert_eq!(
        *told.dropped.lock().unwrap(),
        [DropCause::ConnectionsPerPeer]
    );
    assert_eq!(*told.open.lock().unwrap(), 3);

    // Closing one connection allows another.
    drop(first);
    until(|| *told.open.lock().unwrap() == 2).await;
    let _third = is_served(connect("127.0.0.1", addr).await).await.unwrap();
    assert!(is_closed(connect("127.0.0.1", addr).await).await);

    // New settings and exemptions apply from the next connection on.
    let exempt = vec!["127.0.0.2/32".parse().unwrap()];
    server.accounts().set_exempt(exempt);
    server.set(settings(3), vec![]);
    let _fourth = is_served(connect("127.0.0.1", addr).await).await.unwrap();
    assert!(is_closed(connect("127.0.0.1", addr).await).await);
    for _ in 0..5 {
        let stream = connect("127.0.0.2", addr).await;
        assert!(is_served(stream).await.is_some());
    }
}
