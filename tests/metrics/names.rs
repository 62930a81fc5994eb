//! The metric names that dashboards use, with their labels, in both text formats.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::UNIX_EPOCH;

use axum::body::Body;
use http::Request;
use snowflake_broker::geoip::GeoIp;
use snowflake_broker::http::Settings;
use snowflake_broker::listener::RemoteAddress;
use snowflake_broker::matching;
use snowflake_broker::metrics::distinct_ips::WindowKey;
use snowflake_broker::metrics::exposition::Format;
use snowflake_broker::metrics::{GaugeSnapshot, LabelledTypes, Metrics};
use snowflake_broker::wire::proxy::{ProxyPoll, ProxyTypes};

use crate::exposed;
use crate::support::exposition::{Exposition, Family};
use crate::support::front::Front;
use crate::support::messages::{client_poll, proxy_answer, proxy_poll};
use crate::support::privacy::PrivacyWatch;
use crate::support::requests::{Reply, send};

/// The names in section 9 of the protocol.
const PUBLISHED: [(&str, &[&str]); 8] = [
    ("snowflake_proxy_total", &["cc", "nat", "type"]),
    ("snowflake_available_proxies", &["nat", "type"]),
    (
        "snowflake_rounded_proxy_poll_total",
        &["nat", "status", "type"],
    ),
    (
        "snowflake_rounded_proxy_poll_with_relay_url_extension_total",
        &["nat", "type"],
    ),
    (
        "snowflake_rounded_proxy_poll_without_relay_url_extension_total",
        &["nat", "type"],
    ),
    (
        "snowflake_rounded_proxy_poll_rejected_relay_url_extension_total",
        &["nat", "type"],
    ),
    (
        "snowflake_rounded_client_poll_total",
        &["cc", "nat", "rendezvous_method", "status"],
    ),
    ("snowflake_rounded_proxy_answer_total", &["status", "type"]),
];

fn front() -> Front {
    Front::new(matching::Settings::default())
}

/// The operator's page for a scraper with this `Accept` header.
async fn scrape(front: &Front, accept: Option<&str>) -> Reply {
    let mut request = Request::get("/prometheus");
    if let Some(accept) = accept {
        request = request.header("Accept", accept);
    }
    let operators = front.endpoints.for_operators();
    send(&operators, request.body(Body::empty()).unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn each_published_name_has_exactly_its_labels() {
    let told = exposed(&front());
    for (name, labels) in PUBLISHED {
        let samples: Vec<_> = told.samples().filter(|s| s.name == name).collect();
        assert!(!samples.is_empty(), "{name}");
        for sample in samples {
            let names: Vec<&str> = sample.labels().map(|(name, _)| name).collect();
            assert_eq!(names, labels, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_value_of_a_label_is_there_from_the_start_at_0() {
    let told = exposed(&front());
    let types = [
        "badge",
        "bloco",
        "iptproxy",
        "orbot-android",
        "orbot-ios",
        "orbot-macos",
        "standalone",
        "webext",
        "unknown",
    ];
    let nats = [
        "restricted",
        "unrestricted",
        "strict",
        "moderate",
        "open",
        "unknown",
    ];
    for (name, statuses) in [
        (
            "snowflake_rounded_proxy_poll_total",
            &["idle", "matched"][..],
        ),
        (
            "snowflake_rounded_proxy_answer_total",
            &["success", "timeout"],
        ),
        (
            "snowflake_rounded_client_poll_total",
            &["matched", "denied", "timeout"],
        ),
    ] {
        for status in statuses {
            assert_eq!(told.sum(name, &[("status", status)]), 0);
        }
    }
    for r#type in types {
        for nat in nats {
            for (name, labels) in PUBLISHED {
                if labels.contains(&"type") && labels.contains(&"nat") {
                    assert_eq!(told.sum(name, &[("type", r#type), ("nat", nat)]), 0);
                }
            }
        }
    }
    for method in ["http", "ampcache", "sqs"] {
        let name = "snowflake_rounded_client_poll_total";
        let labels = [("rendezvous_method", method), ("cc", "??")];
        assert_eq!(told.sum(name, &labels), 0);
    }
    let seldom_0 = [
        "snowflake_broker_bridge_addresses",
        "snowflake_broker_build_info",
        "snowflake_broker_poll_interval_seconds",
        "process_start_time_seconds",
    ];
    for sample in told.samples() {
        let is_seldom_0 = seldom_0.contains(&&*sample.name);
        assert!(is_seldom_0 || sample.value == 0.0, "{sample:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn counts_are_rounded_up_to_multiples_of_8_where_the_name_says_so() {
    let front = front();
    for polls in 1..=20_u64 {
        let sid = polls.to_string();
        front.post("/proxy", proxy_poll(&sid, "open")).await;
        front.post("/answer", proxy_answer(&sid, "hi")).await;
        front.post("/client", client_poll("x", "open")).await;
        let told = exposed(&front);
        for (family, labels) in [
            ("snowflake_rounded_proxy_poll_total", ("status", "idle")),
            ("snowflake_rounded_client_poll_total", ("status", "denied")),
            (
                "snowflake_rounded_proxy_answer_total",
                ("status", "timeout"),
            ),
            (
                "snowflake_rounded_proxy_poll_with_relay_url_extension_total",
                ("nat", "open"),
            ),
        ] {
            let shown = told.sum(family, &[labels]);
            assert_eq!(shown, polls.next_multiple_of(8), "{family}");
        }
        let idle = front.count("snowflake_broker_proxy_polls_total", &[r#"outcome="idle""#]);
        assert_eq!(idle, polls);
    }
}

/// Types that are not listed are one, so that the series of the types sum to all polls.
#[tokio::test(start_paused = true)]
async fn each_listed_type_has_its_series_and_all_others_are_unknown() {
    let front = front();
    for (number, kind) in ["orbot-ios", "webext", "my-app", "Orbot-iOS", ""]
        .iter()
        .enumerate()
    {
        let body = proxy_poll(&number.to_string(), "open").replace("standalone", kind);
        front.post("/proxy", body).await;
    }
    let polls = |labels: &[&str]| front.count("snowflake_broker_proxy_polls_total", labels);
    assert_eq!(polls(&[r#"type="orbot-ios""#]), 1);
    assert_eq!(polls(&[r#"type="webext""#]), 1);
    assert_eq!(polls(&[r#"type="unknown""#]), 3);
    assert_eq!(
        polls(&[]),
        front.count("snowflake_broker_proxy_polls_received_total", &[])
    );
    let types = LabelledTypes {
        counted: ProxyTypes::new(["my-app"]),
        published: Vec::new(),
    };
    let metrics = Metrics::labelled(UNIX_EPOCH, WindowKey::from([7; 16]), types);
    let body = proxy_poll("a", "open").replace("standalone", "my-app");
    let poll = ProxyPoll::decode(body.as_bytes(), metrics.proxy_types()).unwrap();
    metrics.begin_proxy_poll(&poll).idle();
    let told = metrics.expose(&GaugeSnapshot::default(), None, Format::Text);
    let series = |kind: &str| {
        let begins = format!("snowflake_broker_proxy_polls_total{{type=\"{kind}\",nat=\"open\"");
        told.lines()
            .filter(|line| line.starts_with(&begins))
            .count()
    };
    assert_eq!(series("my-app"), series("unknown"));
    assert_eq!(series("webext"), 0);
    let idle = r#"{type="my-app",nat="open",outcome="idle"} 1"#;
    assert!(told.contains(idle), "{told}");
}

#[tokio::test(start_paused = true)]
async fn both_forms_tell_the_same_and_say_which_they_are() {
    let front = front();
    front.post("/proxy", proxy_poll("a", "open")).await;
    let prometheus =
        "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    let open_metrics = scrape(&front, Some(prometheus)).await;
    assert_eq!(
        open_metrics.headers["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert!(Exposition::open_metrics(&open_metrics.body).is_ok());
    for accept in [None, Some("*/*"), Some("text/plain;version=0.0.4")] {
        let text = scrape(&front, accept).await;
        assert_eq!(
            text.headers["content-type"],
            "text/plain; version=0.0.4; charset=utf-8"
        );
        assert!(Exposition::text(&text.body).is_ok());
    }
    let text = front.broker.control().expose_metrics(None, Format::Text);
    let text = Exposition::text(&text).unwrap();
    assert_eq!(series(&text), series(&exposed(&front)));
}

fn series(told: &Exposition) -> BTreeMap<String, String> {
    let series = told.samples();
    series
        .map(|s| (format!("{}{:?}", s.name, s.labels), s.value.to_string()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn only_published_families_tell_countries_and_none_tells_an_address() {
    let mut geoip = GeoIp::default();
    geoip.load_ipv4(b"84017152,84082687,DE\n").unwrap();
    let front = Front::with(matching::Settings::default(), Settings::default(), geoip);
    let peer = SocketAddr::from((Ipv4Addr::new(5, 2, 3, 4), 80));
    for (path, body) in [
        ("/proxy", proxy_poll("Sid-of-a-proxy", "open")),
        ("/client", client_poll("x", "open")),
    ] {
        let request = Request::post(path).extension(RemoteAddress(peer));
        front.send(request.body(Body::from(body)).unwrap()).await;
    }
    let told = exposed(&front);
    let countries = |family: &Family| family.samples.iter().any(|s| s.labels.contains_key("cc"));
    let families = told.families.iter();
    let with_countries: BTreeSet<&str> = families
        .filter(|(_, family)| countries(family))
        .map(|(name, _)| &**name)
        .collect();
    let published = ["snowflake_proxy", "snowflake_rounded_client_poll"];
    assert_eq!(with_countries, BTreeSet::from(published));
    assert_eq!(told.sum("snowflake_proxy_total", &[("cc", "DE")]), 1);

    let watch = PrivacyWatch::default();
    watch.forbid("Sid-of-a-proxy");
    watch.check("/prometheus", &scrape(&front, None).await.body);
    watch.check("/debug", &front.get("/debug").await.body);
    watch.assert_clean("");
}
