//! Countries of proxies and clients, as counted.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, UNIX_EPOCH};

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, Request};
use serde_json::json;
use snowflake_broker::geoip::GeoIp;
use snowflake_broker::http::Settings;
use snowflake_broker::listener::{self, RemoteAddress};
use snowflake_broker::matching;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::exposed;
use crate::support::front::Front;
use crate::support::messages::{client_poll, offer, proxy_poll};
use crate::support::serve::serve;
use crate::support::stats_log;

/// A front with short time-outs, because only arrivals are counted.
fn front(http: Settings) -> Front {
    let mut geoip = GeoIp::default();
    // 5.1.0.0/16, 5.2.0.0/16, 5.3.0.0/16
    let ipv4 = "83951616,84017151,FR\n84017152,84082687,DE\n84082688,84148223,IR\n";
    geoip.load_ipv4(ipv4.as_bytes()).unwrap();
    geoip.load_ipv6(b"2a01::,2a01:ffff::,SE\n").unwrap();
    let short = Duration::from_millis(10);
    let settings = matching::Settings {
        proxy_timeout: short,
        client_queue_wait: short,
        ..matching::Settings::default()
    };
    Front::with(settings, http, geoip)
}

/// The countries of the clients in the metrics log, each with a count of 8.
fn countries(front: &Front, rendezvous: &str) -> Vec<String> {
    let end = UNIX_EPOCH + Duration::from_hours(24);
    let log = front.broker.metrics().block(end).encode();
    let block = &stats_log::parse(&log).unwrap()[0];
    let list = block.list(&format!("client-{rendezvous}-ips"));
    list.iter().map(|(country, _)| country.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn proxies_are_counted_once_an_address_in_their_country() {
    let front = front(Settings::default());
    for peer in [
        "5.1.0.1",
        "5.1.0.1",
        "5.1.0.2",
        "5.2.0.1",
        "::ffff:5.2.0.1",
        "2a01::5",
        "9.9.9.9",
    ] {
        let peer: IpAddr = peer.parse().unwrap();
        let request = Request::post("/proxy").extension(RemoteAddress(SocketAddr::from((peer, 1))));
        let body = Body::from(proxy_poll("a", "open"));
        front.send(request.body(body).unwrap()).await;
    }
    let told = exposed(&front);
    for (country, count) in [("FR", 2), ("DE", 1), ("SE", 1), ("??", 1)] {
        let labels = [("cc", country), ("type", "standalone"), ("nat", "open")];
        let proxies = told.sum("snowflake_proxy_total", &labels);
        assert_eq!(proxies, count, "{country}");
    }
    assert_eq!(told.sum("snowflake_proxy_total", &[]), 5);
}

/// As in the reference broker: once in all, not once for each type and NAT.
#[tokio::test(start_paused = true)]
async fn a_proxy_that_says_another_type_or_nat_is_still_one() {
    let front = front(Settings::default());
    let peer = SocketAddr::from((Ipv4Addr::new(5, 1, 0, 1), 1));
    let poll = async |kind: &str, nat: &str| {
        let body = json!({"Sid": "a", "Version": "1.3", "Type": kind, "NAT": nat});
        let request = Request::post("/proxy")
            .extension(RemoteAddress(peer))
            .body(Body::from(body.to_string()))
            .unwrap();
        front.send(request).await;
    };
    let proxies = |kind, nat| {
        let labels = [("cc", "FR"), ("type", kind), ("nat", nat)];
        exposed(&front).sum("snowflake_proxy_total", &labels)
    };
    poll("webext", "unknown").await;
    poll("webext", "restricted").await;
    poll("standalone", "unknown").await;
    assert_eq!(proxies("webext", "unknown"), 1);
    assert_eq!(exposed(&front).sum("snowflake_proxy_total", &[]), 1);
    // The metrics log counts one address, with both types and NATs.
    let metrics = front.broker.metrics();
    let block = metrics.end_window(UNIX_EPOCH, [9; 16].into()).block;
    assert_eq!(block.ips.total, 1);
    assert_eq!((block.ips.by_type.len(), block.ips.by_nat.len()), (2, 2));
    // The next day the address counts again, with its new type and NAT.
    poll("standalone", "restricted").await;
    assert_eq!(proxies("standalone", "restricted"), 1);
    assert_eq!(exposed(&front).sum("snowflake_proxy_total", &[]), 2);
}

#[tokio::test(start_paused = true)]
async fn amp_clients_are_where_the_candidates_in_their_offer_are() {
    for (candidates, country) in [
        (
            &[
                "1 1 udp 1 192.168.0.2 1 typ host",
                "2 1 udp 1 5.3.0.1 1 typ srflx",
            ][..],
            "IR",
        ),
        (
            &[
                "1 1 udp 1 x.local 1 typ host",
                "2 1 udp 1 2a01::7 1 typ host",
            ],
            "SE",
        ),
        (
            &["1 1 udp 1 9.9.9.9 1 typ relay raddr 5.1.0.9 rport 1"],
            "FR",
        ),
        // As Firefox writes it: the relay does not locate its client.
        (
            &["0 1 UDP 1 5.1.0.9 1 typ relay raddr 5.1.0.9 rport 1"],
            "??",
        ),
        (&["1 1 udp 1 10.0.0.1 1 typ host"], "??"),
        (&[], "??"),
    ] {
        let front = front(Settings::default());
        let lines = candidates
            .iter()
            .map(|line| format!("a=candidate:{line}\r\n"));
        let offer = json!({"type": "offer", "sdp": lines.collect::<String>()});
        let body = format!("1.0\n{}", json!({"offer": offer.to_string()}));
        let path = format!("/amp/client/0/{}", URL_SAFE_NO_PAD.encode(body));
        // The cache itself is in Germany.
        let cache = SocketAddr::from((Ipv4Addr::new(5, 2, 0, 1), 443));
        let request = Request::get(path).extension(RemoteAddress(cache));
        front.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(countries(&front, "ampcache"), [country], "{candidates:?}");
        let labels = [("cc", country), ("rendezvous_method", "ampcache")];
        let name = "snowflake_rounded_client_poll_total";
        assert_eq!(exposed(&front).sum(name, &labels), 8);
    }
}

/// A crawler is not a client, nor is the sender of half a poll or of a poll for an
/// unknown bridge: the metrics log and the reference broker's families do not include
/// them.
#[tokio::test(start_paused = true)]
async fn who_sends_no_poll_is_no_client() {
    let front = front(Settings::default());
    let get = |path: &str| (Method::GET, path.to_owned(), String::new());
    let post = |body: &str| (Method::POST, "/client".to_owned(), body.to_owned());
    let amp = |body: &str| get(&format!("/amp/client/0/{}", URL_SAFE_NO_PAD.encode(body)));
    let unknown_bridge = json!({"offer": offer("x"), "fingerprint": "f".repeat(40)});
    let unknown_bridge = format!("1.0\n{unknown_bridge}");
    for (method, path, body) in [
        get("/client"),
        get("/amp/client/"),
        get("/amp/client/favicon.ico"),
        get("/amp/client/0/"),
        amp("1.0\n{}"),
        amp(&unknown_bridge),
        post("{}"),
        post("1.0\n"),
        post("1.0\n{}"),
        post("1.1\n{}"),
        post(&unknown_bridge),
        post(&"x".repeat(100_001)),
    ] {
        let peer = RemoteAddress(SocketAddr::from((Ipv4Addr::new(5, 1, 0, 1), 1)));
        let request = Request::builder().method(method).uri(path).extension(peer);
        front.send(request.body(Body::from(body)).unwrap()).await;
    }
    let log = front.broker.metrics().block(UNIX_EPOCH).encode();
    let block = &stats_log::parse(&log).unwrap()[0];
    for rendezvous in ["http", "ampcache"] {
        assert_eq!(block.count(&format!("client-{rendezvous}-count")), 0);
        assert_eq!(block.list(&format!("client-{rendezvous}-ips")), []);
    }
    let told = exposed(&front);
    assert_eq!(told.sum("snowflake_rounded_client_poll_total", &[]), 0);
    // The operator's families include them.
    let refused = told.sum(
        "snowflake_broker_client_polls_total",
        &[("outcome", "refused")],
    );
    assert_eq!(refused, 12);
}

/// Uses a real socket: the remote address is the loopback, as behind a reverse proxy.
#[tokio::test]
async fn clients_are_where_trusted_headers_say() {
    let hops = |trusted_hops| Settings {
        trusted_hops,
        ..Settings::default()
    };
    let by = |header: &str| Settings {
        forwarded_by: header.to_owned().try_into().unwrap(),
        ..Settings::default()
    };
    for (settings, headers, country) in [
        (hops(1), "", "??"),
        (hops(1), "X-Forwarded-For: 5.1.0.1", "FR"),
        (hops(1), "X-Forwarded-For: 5.1.0.1, 5.2.0.1", "DE"),
        (hops(2), "X-Forwarded-For: 5.1.0.1, 5.2.0.1", "FR"),
        (
            hops(2),
            "X-Forwarded-For: 9.9.9.9, 5.1.0.1\r\nX-Forwarded-For: 5.2.0.1",
            "FR",
        ),
        (hops(0), "X-Forwarded-For: 5.1.0.1", "??"),
        (
            by("forwarded"),
            "Forwarded: for=\"[2a01::5]:443\";proto=https",
            "SE",
        ),
        (
            by("forwarded"),
            "Forwarded: for=5.3.0.1\r\nX-Forwarded-For: 5.1.0.1",
            "IR",
        ),
        (
            hops(1),
            "Forwarded: for=5.3.0.1\r\nX-Forwarded-For: 5.1.0.1",
            "FR",
        ),
        (
            by("cf-connecting-ip"),
            "CF-Connecting-IP: 5.3.0.1\r\nX-Forwarded-For: 5.1.0.1",
            "IR",
        ),
        (by("none"), "X-Forwarded-For: 5.1.0.1", "??"),
        (hops(1), "X-Forwarded-For: rubbish", "??"),
        (
            Settings {
                trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
                ..hops(1)
            },
            "X-Forwarded-For: 5.1.0.1",
            "??",
        ),
        (
            Settings {
                trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
                ..hops(1)
            },
            "X-Forwarded-For: 5.1.0.1, 127.0.0.9",
            "FR",
        ),
    ] {
        let front = front(settings);
        let addr = serve(front.endpoints.clone(), listener::Settings::default(), None).await;
        let reply = exchange(addr, headers).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        assert_eq!(countries(&front, "http"), [country], "{headers}");
        let labels = [("cc", country), ("status", "denied")];
        let name = "snowflake_rounded_client_poll_total";
        assert_eq!(exposed(&front).sum(name, &labels), 8, "{headers}");
    }
}

async fn exchange(addr: SocketAddr, headers: &str) -> io::Result<String> {
    let body = client_poll("x", "open");
    let mut stream = TcpStream::connect(addr).await?;
    let request = format!(
        "POST /client HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n{}\r\n{body}",
        body.len(),
        if headers.is_empty() {
            String::new()
        } else {
            format!("{headers}\r\n")
        },
    );
    stream.write_all(request.as_bytes()).await?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await?;
    Ok(reply)
}
