//! The status page, for operators and for everyone.

mod live;
mod me;

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::Value;
use snowflake_broker::broker::clock;
use snowflake_broker::http::Endpoints;
use snowflake_broker::http::status_page::Settings;

use crate::support::messages::{client_poll, proxy_poll};
use crate::support::requests::{Reply, send};
use crate::{front, start};

fn settings(public: bool) -> Settings {
    Settings {
        public,
        notice: Some("Thank you <all>.".to_owned()),
        ..Settings::default()
    }
}

async fn get(endpoints: &Endpoints, path: &str) -> Reply {
    send(endpoints, Request::get(path).body(Body::empty()).unwrap()).await
}

async fn data(endpoints: &Endpoints) -> Value {
    let reply = get(endpoints, "/status.json").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    serde_json::from_str(&reply.body).unwrap()
}

#[tokio::test]
async fn operators_see_exact_counts_and_everyone_rounded_ones() {
    let front = front();
    let _parked = start(&front, "/proxy", proxy_poll("a", "unrestricted")).await;
    let own = front.endpoints.for_status(&settings(true));
    let public = front.endpoints.clone().showing_status(&settings(true));
    let (own, public) = (data(&own).await, data(&public).await);
    for (data, parked) in [(&own, 1), (&public, 8)] {
        assert_eq!(data["pools"][0]["parked"], parked, "{data}");
        assert_eq!(data["pools"][0]["wanted"], "enough", "{data}");
        assert_eq!(data["pools"][1]["wanted"], "needed", "{data}");
        assert_eq!(data["pools"][0]["interval_seconds"], 20, "{data}");
    }
    assert_eq!(own["operator"]["queued_clients"], 0, "{own}");
    assert_eq!(
        own["operator"]["hour"]["bins"].as_array().unwrap().len(),
        12
    );
    assert!(public["operator"].is_null(), "{public}");
}

#[tokio::test]
async fn the_page_is_whole_without_its_script_and_runs_no_other() {
    let front = front();
    let own = front.endpoints.for_status(&settings(false));
    for path in ["/", "/status"] {
        let reply = get(&own, path).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        assert!(reply.body.contains("open NAT"), "{}", reply.body);
        let scripts: Vec<_> = reply.body.match_indices("<script").collect();
        assert_eq!(scripts.len(), 1, "{}", reply.body);
        assert!(
            reply
                .body
                .contains("<script src=\"/status.js\" defer></script>")
        );
        assert!(!reply.body.contains("<all>"), "{}", reply.body);
        let policy = reply.headers["content-security-policy"].to_str().unwrap();
        let expected = "default-src 'none'; style-src 'self'; script-src 'self'; \
                        connect-src 'self'; base-uri 'none'; form-action 'none'; \
                        frame-ancestors 'none'";
        assert_eq!(policy, expected);
        assert_eq!(reply.headers["x-content-type-options"], "nosniff");
        assert_eq!(reply.headers["cache-control"], "no-store");
    }
    for (path, content_type) in [
        ("/status.css", "text/css; charset=utf-8"),
        ("/status.js", "text/javascript; charset=utf-8"),
    ] {
        let reply = get(&own, path).await;
        assert_eq!(reply.headers["content-type"], content_type);
        assert_eq!(reply.headers["x-content-type-options"], "nosniff");
    }
}

#[tokio::test]
async fn it_is_public_only_if_it_shall_be() {
    let front = front();
    for (public, status) in [(false, StatusCode::NOT_FOUND), (true, StatusCode::OK)] {
        let endpoints = front.endpoints.clone().showing_status(&settings(public));
        for path in [
            "/status",
            "/status.json",
            "/status.css",
            "/status.js",
            "/status/me",
            "/status/me.json",
        ] {
            assert_eq!(get(&endpoints, path).await.status, status, "{path}");
        }
        assert_eq!(live::read(&endpoints, None).await.status(), status);
        let root = get(&endpoints, "/").await;
        assert_eq!(root.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn it_says_when_the_broker_drains() {
    let front = front();
    let own = front.endpoints.for_status(&settings(false));
    assert_eq!(get(&own, "/readyz").await.status, StatusCode::OK);
    front.broker.control().start_draining();
    let ready = get(&own, "/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get(&own, "/livez").await.status, StatusCode::OK);
    let data = data(&own).await;
    assert_eq!(data["is_serving"], false, "{data}");
    assert_eq!(data["operator"]["alarms"][0], "The broker is draining.");
}

#[tokio::test(start_paused = true)]
async fn plots_show_the_history_and_its_gaps() {
    let front = front();
    let own = front.endpoints.for_status(&settings(false));
    front.post("/client", client_poll("x", "open")).await;
    let gauges = front.broker.control().waiting();
    front
        .broker
        .metrics()
        .record_history(clock::wall_clock(), &gauges);
    let data = data(&own).await;
    for (span, bins) in [("hour", 12), ("day", 24), ("month", 30)] {
        let clients = &data["operator"][span];
        assert_eq!(clients["denied"], 1, "{data}");
        assert_eq!(clients["timed_out"], 0, "{data}");
        let all = clients["bins"].as_array().unwrap();
        assert_eq!((all.len(), &all[bins - 1]["denied"]), (bins, &1.into()));
        assert!(all[0].is_null(), "{data}");
    }
    let page = get(&own, "/status").await;
    assert_eq!(page.body.matches("<svg").count(), 9, "{}", page.body);
    // Before it began, nothing is known.
    let gap = "<path class=\"gap\" d=\"M0 0h20v100h-20z";
    assert_eq!(page.body.matches(gap).count(), 9, "{}", page.body);
}
