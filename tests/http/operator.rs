//! Pages for operators only, and the cost of producing them.

use std::io::{self, Read as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use flate2::read::GzDecoder;
use futures_util::future::join_all;
use http::request::Builder;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use snowflake_broker::geoip::GeoIp;
use snowflake_broker::http::{Endpoints, MetricsLog, ReadMetricsLog, Settings, Sources, router};
use snowflake_broker::listener::RemoteAddress;
use snowflake_broker::listener::accounts::{Accounts, Bounds};
use snowflake_broker::matching;
use tokio::time::{advance, sleep};
use tower::ServiceExt as _;

use crate::support::front::Front;
use crate::support::messages::{client_poll, proxy_poll};
use crate::support::requests::{Reply, send};
use crate::{front, start};

/// The metric families of section 9 of the protocol.
const PUBLISHED: [&str; 8] = [
    "snowflake_proxy_total",
    "snowflake_available_proxies",
    "snowflake_rounded_proxy_poll_total",
    "snowflake_rounded_proxy_poll_with_relay_url_extension_total",
    "snowflake_rounded_proxy_poll_without_relay_url_extension_total",
    "snowflake_rounded_proxy_poll_rejected_relay_url_extension_total",
    "snowflake_rounded_client_poll_total",
    "snowflake_rounded_proxy_answer_total",
];

const OPEN_METRICS: &str = "application/openmetrics-text";

async fn operator(front: &Front, path: &str) -> Reply {
    let request = Request::get(path).body(Body::empty()).unwrap();
    send(&front.endpoints.for_operators(), request).await
}

/// The families in a text of the older format.
fn families(text: &str) -> Vec<&str> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .filter_map(|family| family.split(' ').next())
        .collect()
}

fn shows_everything(reply: &Reply) -> bool {
    let is_full = families(&reply.body).len() > PUBLISHED.len();
    assert!(
        is_full || families(&reply.body) == PUBLISHED,
        "{}",
        reply.body
    );
    is_full
}

#[tokio::test(start_paused = true)]
async fn strangers_see_the_families_of_the_reference_broker_and_operators_all() {
    let front = front();
    front.post("/proxy", proxy_poll("a", "open")).await;
    front.post("/client", client_poll("x", "open")).await;
    let told = front.get("/prometheus").await;
    assert_eq!(families(&told.body), PUBLISHED);
    for line in told.body.lines().filter(|line| line.contains("rounded")) {
        let (_, value) = line.rsplit_once(' ').unwrap();
        let is_rounded = value
            .parse()
            .is_ok_and(|value: u64| value.is_multiple_of(8));
        assert!(line.starts_with('#') || is_rounded, "{line}");
    }
    let all = operator(&front, "/prometheus").await;
    assert!(shows_everything(&all), "{}", all.body);
    let published = families(&all.body);
    assert!(PUBLISHED.iter().all(|name| published.contains(name)));

    let request = Request::get("/prometheus").header("Accept", OPEN_METRICS);
    let told = front.send(request.body(Body::empty()).unwrap()).await;
    assert!(
        told.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with(OPEN_METRICS)
    );
    assert!(told.body.ends_with("# EOF\n"), "{}", told.body);
    assert_eq!(families(&told.body).len(), PUBLISHED.len());
}

#[tokio::test(start_paused = true)]
async fn figures_are_for_no_store_and_those_of_operators_for_no_page_of_a_browser() {
    let front = front();
    for path in ["/prometheus", "/debug"] {
        for method in ["GET", "HEAD", "OPTIONS"] {
            let request = Request::builder().method(method).uri(path);
            let public = front.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(public.headers["cache-control"], "no-store", "{path}");
        }
    }
    for path in ["/prometheus", "/debug", "/livez", "/readyz"] {
        let reply = operator(&front, path).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}");
        assert_eq!(reply.headers["cache-control"], "no-store", "{path}");
        let cors = reply.headers.get("access-control-allow-origin");
        assert_eq!(cors, None, "{path}");
    }
}

/// A reverse proxy may store the log but must revalidate it each time; the same holds for
/// a missing log, so that its absence is not cached either.
#[tokio::test(start_paused = true)]
async fn the_metrics_log_is_asked_for_anew() {
    let front = front();
    let log = || MetricsLog::new(b"snowflake-stats-end\n".to_vec());
    let sources = |metrics_log| Sources {
        accounts: Accounts::new(Bounds::default()),
        metrics_log,
        process_figures: || None,
    };
    let nothing: ReadMetricsLog = Arc::new(|| Err(io::ErrorKind::NotFound.into()));
    let something: ReadMetricsLog = Arc::new(move || Ok(log()));
    for (read, status, then) in [
        (None, 404, 404),
        (Some(nothing), 404, 404),
        (Some(something), 200, 304),
    ] {
        let broker = Arc::clone(&front.broker);
        let endpoints = router(broker, Settings::default(), sources(read));
        let ask = async |tag: &str| {
            let request = Request::get("/metrics").header("If-None-Match", tag);
            send(&endpoints, request.body(Body::empty()).unwrap()).await
        };
        let first = ask("\"0\"").await;
        assert_eq!(first.status, status);
        let tag = first
            .headers
            .get("etag")
            .map_or("*", |tag| tag.to_str().unwrap());
        let second = ask(tag).await;
        assert_eq!(second.status, then);
        for reply in [&first, &second] {
            assert_eq!(reply.headers["cache-control"], "no-cache");
        }
    }
}

/// The text of a compressed reply.
async fn inflated(endpoints: &Endpoints, request: Builder) -> (HeaderMap, String) {
    let request = request.body(Body::empty()).unwrap();
    let response = endpoints.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    assert_eq!(head.headers["content-encoding"], "gzip");
    let mut text = String::new();
    GzDecoder::new(&*body).read_to_string(&mut text).unwrap();
    assert!(
        body.len() < text.len() / 8,
        "{} of {}",
        body.len(),
        text.len()
    );
    (head.headers, text)
}

#[tokio::test(start_paused = true)]
async fn scrapes_are_compressed_for_whoever_asks_for_it() {
    let front = front();
    let operators = front.endpoints.for_operators();
    for endpoints in [&front.endpoints, &operators] {
        for accept in ["*/*", OPEN_METRICS] {
            let request = || Request::get("/prometheus").header("Accept", accept);
            let plain = send(endpoints, request().body(Body::empty()).unwrap()).await;
            assert!(!plain.headers.contains_key("content-encoding"));
            let (headers, text) =
                inflated(endpoints, request().header("Accept-Encoding", "br, gzip")).await;
            assert_eq!(text, plain.body);
            for name in ["content-type", "cache-control", "vary"] {
                assert_eq!(headers[name], plain.headers[name]);
            }
            assert_eq!(headers["vary"], "accept, accept-encoding");
            let refusing = request().header("Accept-Encoding", "gzip;q=0, *;q=0");
            let refused = send(endpoints, refusing.body(Body::empty()).unwrap()).await;
            assert_eq!(refused.body, plain.body);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_port_has_its_own_paths() {
    let front = front();
    for path in ["/livez", "/readyz"] {
        assert_eq!(
            front.get(path).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    for path in [
        "/",
        "/client",
        "/proxy",
        "/answer",
        "/amp/client/0x/x",
        "/metrics",
        "/robots.txt",
    ] {
        let reply = operator(&front, path).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(
        front.get("/debug").await.body,
        operator(&front, "/debug").await.body
    );
}

#[tokio::test(start_paused = true)]
async fn a_broker_is_ready_unless_it_drains_and_alive_in_any_case() {
    let front = front();
    let expect = async |ready: StatusCode, text: &str| {
        let reply = operator(&front, "/readyz").await;
        assert_eq!((reply.status, reply.body.trim_end()), (ready, text));
        assert_eq!(operator(&front, "/livez").await.status, StatusCode::OK);
    };
    expect(StatusCode::OK, "ok").await;
    front.broker.control().start_lame_duck();
    expect(StatusCode::SERVICE_UNAVAILABLE, "lame duck").await;
    front.broker.control().resume();
    expect(StatusCode::OK, "ok").await;
    front.broker.control().drain().await;
    expect(StatusCode::SERVICE_UNAVAILABLE, "draining").await;
    front.broker.control().resume();
    // As during a shutdown.
    front.broker.control().expect_successor();
    front.broker.control().start_lame_duck();
    expect(StatusCode::SERVICE_UNAVAILABLE, "stopping").await;
    front.broker.control().drain().await;
    expect(StatusCode::SERVICE_UNAVAILABLE, "stopping").await;
}

fn scrape_from(peer: &str) -> Builder {
    let peer = format!("{peer}:1").parse().unwrap();
    Request::get("/prometheus").extension(RemoteAddress(peer))
}

async fn is_shown_everything(front: &Front, request: Builder) -> bool {
    shows_everything(&front.send(request.body(Body::empty()).unwrap()).await)
}

fn with_networks(http: Settings, networks: &[&str]) -> Front {
    let front = Front::with(matching::Settings::default(), http, GeoIp::default());
    let networks = networks.iter().map(|network| network.parse().unwrap());
    front.endpoints.set_operator_networks(networks.collect());
    front
}

#[tokio::test(start_paused = true)]
async fn only_those_who_come_from_the_operators_networks_see_everything() {
    let front = with_networks(Settings::default(), &["203.0.113.0/24", "2001:db8::/32"]);
    for (peer, is_operators) in [
        ("203.0.113.7", true),
        ("[::ffff:203.0.113.7]", true),
        ("[2001:db8::1]", true),
        ("203.0.112.7", false),
        ("127.0.0.1", false),
        ("[::1]", false),
    ] {
        let shown = is_shown_everything(&front, scrape_from(peer)).await;
        assert_eq!(shown, is_operators, "{peer}");
    }
    // Without a connection, the sender is unknown.
    assert!(!is_shown_everything(&front, Request::get("/prometheus")).await);
    front.endpoints.set_operator_networks(Vec::new());
    assert!(!is_shown_everything(&front, scrape_from("203.0.113.7")).await);
}

/// Any stranger can write a header, and behind a reverse proxy on this machine all
/// strangers connect from the loopback.
#[tokio::test(start_paused = true)]
async fn no_header_makes_an_operator_of_a_stranger() {
    let networks = ["127.0.0.0/8", "::1/128", "8.8.8.0/24"];
    let front = with_networks(Settings::default(), &networks);
    assert!(is_shown_everything(&front, scrape_from("127.0.0.1")).await);
    for (name, value) in [
        ("X-Forwarded-For", "8.8.8.8"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-For", ""),
        ("Forwarded", "for=8.8.8.8"),
        ("X-Real-IP", "8.8.8.8"),
        ("Via", "1.1 vegur"),
        ("CF-Connecting-IP", "8.8.8.8"),
        ("CDN-Loop", "cdn.example"),
        ("Fastly-Client-IP", "8.8.8.8"),
        ("X-Cluster-Client-IP", "8.8.8.8"),
    ] {
        for peer in ["127.0.0.1", "[::1]", "5.1.0.1", "8.8.8.9"] {
            let request = scrape_from(peer).header(name, value);
            let shown = is_shown_everything(&front, request).await;
            assert!(!shown, "{peer} with {name}: {value}");
        }
    }
}

/// The relevant address is the one that the proxy names, not the proxy's.
#[tokio::test(start_paused = true)]
async fn a_reverse_proxy_of_ours_says_who_comes() {
    let settings = Settings {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..Settings::default()
    };
    let front = with_networks(settings, &["127.0.0.0/8", "8.8.8.0/24"]);
    for (peer, forwarded_for, is_operators) in [
        ("127.0.0.1", Some("8.8.8.8"), true),
        ("127.0.0.1", Some("5.1.0.1"), false),
        ("127.0.0.1", Some("8.8.8.8, 5.1.0.1"), false),
        ("127.0.0.1", Some("unknown"), false),
        ("127.0.0.1", None, false),
        ("5.1.0.1", Some("8.8.8.8"), false),
        ("8.8.8.8", None, true),
    ] {
        let mut request = scrape_from(peer);
        if let Some(forwarded_for) = forwarded_for {
            request = request.header("X-Forwarded-For", forwarded_for);
        }
        let shown = is_shown_everything(&front, request).await;
        assert_eq!(shown, is_operators, "{peer} for {forwarded_for:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn scrapes_of_one_second_share_a_page() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let front = front();
    let sources = Sources {
        accounts: Accounts::new(Bounds::default()),
        metrics_log: None,
        process_figures: || {
            MADE.fetch_add(1, Ordering::SeqCst);
            None
        },
    };
    let broker = Arc::clone(&front.broker);
    let endpoints = router(broker, Settings::default(), sources).for_operators();
    let scrape = async || {
        let request = Request::get("/prometheus").body(Body::empty()).unwrap();
        send(&endpoints, request).await
    };
    for second in 1..=3 {
        let at_once = join_all((0..100).map(|_| scrape())).await;
        let one_more = scrape().await;
        assert!(at_once.iter().all(|reply| reply.body == one_more.body));
        assert_eq!(MADE.load(Ordering::SeqCst), second);
        advance(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_strangers_see_is_of_one_moment_a_second() {
    let front = front();
    let pages = async || {
        (
            front.get("/debug").await.body,
            front.get("/prometheus").await.body,
        )
    };
    let empty = pages().await;
    let _poll = start(&front, "/proxy", proxy_poll("a", "open")).await;
    assert_eq!(pages().await, empty);
    assert!(
        operator(&front, "/debug")
            .await
            .body
            .contains("available: 1")
    );
    sleep(Duration::from_secs(1)).await;
    let (debug, prometheus) = pages().await;
    assert!(debug.contains("available: 1"), "{debug}");
    let available = "snowflake_available_proxies{nat=\"open\",type=\"standalone\"} 1\n";
    assert!(prometheus.contains(available), "{prometheus}");
}
