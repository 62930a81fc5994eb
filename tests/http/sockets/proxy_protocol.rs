//! Load balancers that name the sender in a PROXY header.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use snowflake_broker::broker::limits;
use snowflake_broker::geoip::GeoIp;
use snowflake_broker::listener::accounts::{Accounts, Bounds};
use snowflake_broker::listener::{self, Closing, Server, Settings};
use snowflake_broker::{http as front, matching};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::front::Front;
use crate::support::messages::proxy_poll;
use crate::support::serve::Unobserved;

/// A broker behind a load balancer on this machine, with one poll per address.
async fn front() -> (Front, SocketAddr) {
    let limits = limits::Settings {
        proxy_polls_per_minute: 1,
        proxy_poll_burst: 1,
        intermediary_factor: 2,
        ..limits::Settings::default()
    };
    let http = front::Settings {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..front::Settings::default()
    };
    let matching = matching::Settings {
        proxy_timeout: Duration::from_millis(10),
        ..matching::Settings::default()
    };
    let trusted = http.trusted_proxies.clone();
    let front = Front::limited(matching, http, GeoIp::default(), None, limits).outspoken();
    let listener = listener::bind("127.0.0.1:0").await.unwrap().remove(0);
    let addr = listener.local_addr().unwrap();
    let settings = Settings {
        proxy_protocol: true,
        ..Settings::default()
    };
    let server = Server::new(
        settings.clone(),
        None,
        front.endpoints.clone(),
        Arc::new(Unobserved),
        Accounts::new(Bounds::default()),
        Closing::default(),
    );
    server.set(settings, trusted);
    tokio::spawn(Arc::new(server).run(listener));
    (front, addr)
}

/// Returns true if a proxy's poll is within its limit.
async fn polls(addr: SocketAddr, header: &[u8], forwarded_for: Option<&str>) -> bool {
    let body = proxy_poll("a", "open");
    let field = forwarded_for.map(|address| format!("X-Forwarded-For: {address}\r\n"));
    let request = format!(
        "POST /proxy HTTP/1.0\r\n{}Content-Length: {}\r\n\r\n{body}",
        field.unwrap_or_default(),
        body.len()
    );
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let bytes = [header, request.as_bytes()].concat();
    stream.write_all(&bytes).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert!(reply.starts_with("HTTP/1.0 200"), "{reply}");
    !reply.contains("polled too soon")
}

/// It counts as a load balancer's own connection, and the load balancer is trusted.
#[tokio::test]
async fn who_is_not_named_is_the_load_balancer_whose_headers_are_believed() {
    const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    for header in [&b"PROXY UNKNOWN\r\n"[..], LOCAL] {
        let (_front, addr) = front().await;
        for sender in ["5.1.0.1", "6.1.0.1"] {
            assert!(polls(addr, header, Some(sender)).await);
            assert!(!polls(addr, header, Some(sender)).await);
        }
        // Without one, it is an intermediary, with two quotas.
        for expected in [true, true, false] {
            assert_eq!(polls(addr, header, None).await, expected);
        }
    }
}

#[tokio::test]
async fn the_header_of_whoever_is_named_is_not_believed() {
    let (_front, addr) = front().await;
    let header = b"PROXY TCP4 7.1.0.1 127.0.0.1 4711 443\r\n";
    assert!(polls(addr, header, Some("5.1.0.1")).await);
    assert!(!polls(addr, header, Some("6.1.0.1")).await);
    assert!(!polls(addr, header, None).await);
}
