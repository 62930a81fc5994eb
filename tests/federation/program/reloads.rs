//! Changes by SIGHUP.

use std::fs;

use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::program::brokers::Setup;
use crate::program::caller::channel;
use crate::support::certificates::Authority;

#[tokio::test]
async fn peers_and_certificates_are_read_again() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let authority = Authority::new(folder, "ca");
    authority.certify(folder, "b", "b.example", 2100);
    // At first, a has a name that b does not know, and b is not a peer of a.
    authority.certify(folder, "a", "old.example", 2100);
    let setup = |name| Setup::new(folder, name, &authority.file);
    let (a, mut b) = (setup("a"), setup("b"));
    b.add_peer("a", a.grpc, "borrow = false");
    let grpc_of_b = b.grpc;
    let mut a = a.start().await;
    let b = b.start().await;
    assert_eq!(a.admin("peers").await, "no peers\n");

    a.setup.add_peer("b", grpc_of_b, "");
    a.setup.write();
    a.reload();
    a.logs(&["reloaded", "federation"]).await;
    let why = "none of the names of your certificate is a peer here";
    a.logs(&["federation: no connection", why]).await;
    a.sees("b", "not connected", 0).await;

    authority.certify(folder, "a", "a.example", 2100);
    a.reload();
    a.sees("b", "connected", 0).await;
    let proxy = b.proxy("p");
    a.sees("b", "connected", 1).await;
    assert!(a.client().await.contains("answer"));
    assert!(proxy.await.unwrap().contains("success"));

    // Errors are named, and nothing changes.
    fs::write(folder.join("a.pem"), "rubbish").unwrap();
    a.reload();
    a.logs(&["nothing reloaded", "federation.tls.cert"]).await;
    a.sees("b", "connected", 0).await;
}

#[tokio::test]
async fn a_broker_that_drains_is_not_asked_and_not_healthy() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let authority = Authority::new(folder, "ca");
    let setup = |name: &str| {
        authority.certify(folder, name, &format!("{name}.example"), 2100);
        Setup::new(folder, name, &authority.file)
    };
    let (mut a, mut b) = (setup("a"), setup("b"));
    a.add_peer("b", b.grpc, "");
    b.add_peer("a", a.grpc, "");
    let (a, b) = (a.start().await, b.start().await);
    a.sees("b", "connected", 0).await;
    let mut health = HealthClient::new(channel(&a.setup, b.setup.grpc).await);
    let mut status = async || {
        let request = HealthCheckRequest {
            service: "snowflake.broker.federation.v1.Federation".to_owned(),
        };
        health.check(request).await.unwrap().into_inner().status()
    };
    assert_eq!(status().await, ServingStatus::Serving);
    b.admin("drain").await;
    a.sees("b", "draining", 0).await;
    assert_eq!(status().await, ServingStatus::NotServing);
    b.admin("resume").await;
    a.sees("b", "connected", 0).await;
    assert_eq!(status().await, ServingStatus::Serving);
}
