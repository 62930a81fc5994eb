//! Refused peers: both logs show the reason, while other peers are served.

use std::time::Duration;

use rustls::ClientConfig;
use snowflake_broker::proto::federation::v1;
use snowflake_broker::proto::federation::v1::federation_client::FederationClient;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tonic::Code;

use crate::program::brokers::{Broker, Setup};
use crate::program::caller::{channel, connect, roots};
use crate::program::until;
use crate::support::certificates::Authority;

/// The time for which a repeatedly refused broker is watched: about ten attempts.
const WHILE: Duration = Duration::from_secs(4);

/// The lender b, its good peer a, and room for another broker.
struct World {
    folder: TempDir,
    authority: Authority,
    b: Broker,
    a: Broker,
}

impl World {
    async fn start(terms_of_a: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path(), "ca");
        for name in ["a", "b"] {
            let names = format!("{name}.example");
            authority.certify(folder.path(), name, &names, 2100);
        }
        let setup = |name| Setup::new(folder.path(), name, &authority.file);
        let (mut a, mut b) = (setup("a"), setup("b"));
        a.add_peer("b", b.grpc, "");
        b.add_peer("a", a.grpc, terms_of_a);
        let (a, b) = (a.start().await, b.start().await);
        a.sees("b", "connected", 0).await;
        Self {
            folder,
            authority,
            b,
            a,
        }
    }

    /// Another broker that wants to borrow from b.
    async fn somebody(&self, certificate: &str, authority: &Authority) -> Broker {
        let mut somebody = Setup::new(self.folder.path(), "x", &authority.file);
        certificate.clone_into(&mut somebody.certificate);
        somebody.add_peer("b", self.b.setup.grpc, "");
        somebody.start().await
    }

    /// The other broker gets the reason, and keeps it although the next connection is
    /// just closed.
    async fn keeps_saying(&self, somebody: &Broker, why: &str) {
        somebody.logs(&["federation: no connection", why]).await;
        sleep(WHILE).await;
        let peers = somebody.admin("peers").await;
        let problem = peers.lines().find(|line| line.starts_with("b.example: "));
        assert!(problem.is_some_and(|line| line.contains(why)), "{peers}");
        let log = somebody.log();
        // The first connection may have been closed without a reason.
        assert!(
            log.matches("federation: no connection").count() <= 2,
            "{log}"
        );
    }

    /// The good peer is served as usual.
    async fn serves_others(&self) {
        let proxy = self.b.proxy("p");
        self.a.sees("b", "connected", 1).await;
        let reply = self.a.client().await;
        assert!(reply.contains("answer"), "{reply}");
        assert!(proxy.await.unwrap().contains("success"));
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let world = World::start("").await;
    let other = Authority::new(world.folder.path(), "other");
    other.certify(world.folder.path(), "x", "a.example", 2100);
    // It trusts b's authority; otherwise it would not call b at all.
    let x = world.somebody("x", &world.authority).await;
    world.keeps_saying(&x, "UnknownCA").await;
    let refused = ["federation.listen: TLS handshake failed", "UnknownIssuer"];
    world.b.logs(&refused).await;
    world.serves_others().await;
}

#[tokio::test]
async fn a_lender_of_another_authority_is_not_asked() {
    let world = World::start("").await;
    let other = Authority::new(world.folder.path(), "other");
    world
        .authority
        .certify(world.folder.path(), "x", "a.example", 2100);
    let x = world.somebody("x", &other).await;
    x.logs(&["federation: no connection", "UnknownIssuer"])
        .await;
    world.b.logs(&["TLS handshake failed", "UnknownCA"]).await;
    world.serves_others().await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let world = World::start("").await;
    world
        .authority
        .certify(world.folder.path(), "x", "a.example", 2020);
    let x = world.somebody("x", &world.authority).await;
    world.keeps_saying(&x, "CertificateExpired").await;
    let expired = ["TLS handshake failed", "it expired at 2020-"];
    world.b.logs(&expired).await;
    world.serves_others().await;
}

#[tokio::test]
async fn a_name_that_is_not_configured_is_refused() {
    let world = World::start("").await;
    world
        .authority
        .certify(world.folder.path(), "x", "x.example", 2100);
    let x = world.somebody("x", &world.authority).await;
    let why = "none of the names of your certificate is a peer here";
    world.keeps_saying(&x, why).await;
    world
        .b
        .logs(&["refused a broker that is not a peer", "x.example"])
        .await;
    world.serves_others().await;
}

/// Its certificate is valid, so it passes the handshake; but it is not a peer.
#[tokio::test]
async fn a_stranger_does_not_stay_connected() {
    let world = World::start("").await;
    world
        .authority
        .certify(world.folder.path(), "x", "x.example", 2100);
    let x = Setup::new(world.folder.path(), "x", &world.authority.file);
    let stranger = channel(&x, world.b.setup.grpc).await;
    let mut stranger = FederationClient::new(stranger);
    let status = stranger.watch_supply(v1::WatchSupplyRequest {}).await;
    assert_eq!(status.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(world.b.refused_credentials().await, 1);
    // The connection is its only one: once that is closed, calls fail.
    until("it is disconnected", async || {
        let status = stranger.watch_supply(v1::WatchSupplyRequest {}).await;
        status.unwrap_err().code() != Code::PermissionDenied
    })
    .await;
    let admitted = "federation.listen: ";
    assert!(!world.b.log().contains(admitted), "{}", world.b.log());
    world.serves_others().await;
}

#[tokio::test]
async fn a_lender_with_another_name_is_not_asked() {
    let world = World::start("").await;
    world
        .authority
        .certify(world.folder.path(), "x", "x.example", 2100);
    let mut x = Setup::new(world.folder.path(), "x", &world.authority.file);
    x.add_peer("other", world.b.setup.grpc, "");
    let x = x.start().await;
    x.logs(&["its certificate has other names: b.example"])
        .await;
    world.serves_others().await;
}

#[tokio::test]
async fn no_certificate_and_no_tls_are_refused() {
    let world = World::start("").await;
    let bare = ClientConfig::builder().with_root_certificates(roots(&world.authority.file));
    let mut stream = connect(world.b.setup.grpc, bare.with_no_client_auth()).await;
    let refused = async { stream.read(&mut [0; 1]).await };
    let refused = refused.await.unwrap_err().to_string();
    assert!(refused.contains("CertificateRequired"), "{refused}");
    world
        .b
        .logs(&["TLS handshake failed", "no certificates"])
        .await;

    let mut plain = TcpStream::connect(world.b.setup.grpc).await.unwrap();
    plain
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    // An alert, or nothing.
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said).await;
    assert!(said.len() < 10, "{said:?}");
    world
        .b
        .logs(&["TLS handshake failed", "it is not TLS that came"])
        .await;
    world.serves_others().await;
}

#[tokio::test]
async fn ten_megabytes_are_refused() {
    let world = World::start("").await;
    let channel = channel(&world.a.setup, world.b.setup.grpc).await;
    let huge = v1::MatchOfferRequest {
        offer: "x".repeat(10_000_000),
        ..v1::MatchOfferRequest::default()
    };
    let status = FederationClient::new(channel)
        .match_offer(huge)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    let words = ["refused a peer's call", "a.example", "too large"];
    world.b.logs(&words).await;
    world.serves_others().await;
}

#[tokio::test]
async fn a_peer_over_its_rate_is_refused() {
    let world = World::start("max_per_second = 1").await;
    let proxies = [world.b.proxy("1"), world.b.proxy("2")];
    world.a.sees("b", "connected", 2).await;
    let replies = tokio::join!(world.a.client(), world.a.client());
    let replies = [replies.0, replies.1];
    let answered = replies.iter().filter(|reply| reply.contains("answer\""));
    assert_eq!(answered.count(), 1, "{replies:?}");
    world
        .a
        .logs(&["federation: it fails a client", "b.example", "over_rate"])
        .await;
    world
        .b
        .logs(&["refused a peer's call", "a.example", "over_rate"])
        .await;
    for proxy in proxies {
        proxy.abort();
    }
    sleep(Duration::from_secs(1)).await;
    world.serves_others().await;
}
