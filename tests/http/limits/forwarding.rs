//! Quotas of peers that claim to forward.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use http::request::Builder;
use snowflake_broker::broker::limits;
use snowflake_broker::geoip::GeoIp;
use snowflake_broker::http as front;
use snowflake_broker::matching;

use crate::support::front::Front;
use crate::support::messages::{client_poll, proxy_poll};

use super::{SLOW_DOWN, STRANGER, amp, amp_path, ask_amp, client, from, one_each, proxy};

/// Returns true if a proxy's poll from this peer with this header is admitted.
async fn polled(front: &Front, peer: &str, header: &str) -> bool {
    let request = from(peer, Request::post("/proxy"))
        .header("X-Forwarded-For", header)
        .body(Body::from(proxy_poll("a", "open")));
    let status = front.send(request.unwrap()).await.json()["Status"].clone();
    status == "no match"
}

fn trusting(trusted_proxies: &str) -> front::Settings {
    front::Settings {
        trusted_proxies: vec![trusted_proxies.parse().unwrap()],
        ..front::Settings::default()
    }
}

#[tokio::test(start_paused = true)]
async fn the_forwarded_address_is_limited_and_not_who_forwards() {
    for (front, proxy) in [
        (one_each(front::Settings::default()), "127.0.0.1"),
        (one_each(trusting("192.0.2.0/24")), "192.0.2.9"),
    ] {
        for client in ["2a01::1", "5.3.0.1"] {
            assert!(polled(&front, proxy, client).await);
            assert!(!polled(&front, proxy, client).await);
        }
        // The same /64.
        assert!(!polled(&front, proxy, "2a01::2").await);
        // The senders that it does not name share three tokens.
        for expected in [true, true, true, false] {
            assert_eq!(polled(&front, proxy, "unknown").await, expected);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stranger_does_not_become_somebody_who_forwards_by_saying_so() {
    for settings in [
        front::Settings::default(),
        front::Settings {
            trusted_hops: 0,
            ..front::Settings::default()
        },
        front::Settings {
            forwarded_by: "none".to_owned().try_into().unwrap(),
            ..front::Settings::default()
        },
        trusting("192.0.2.0/24"),
    ] {
        for nobody in ["unknown", "10.0.0.1", "127.0.0.1", "::1", "192.168.0.1", ""] {
            let front = one_each(settings.clone());
            assert!(polled(&front, STRANGER, nobody).await);
            assert!(!polled(&front, STRANGER, nobody).await);
            assert_eq!(proxy(&front, STRANGER).await["Status"], "polled too soon");
        }
        if !settings.trusted_proxies.is_empty() || !settings.reads_headers() {
            let front = one_each(settings);
            assert!(polled(&front, STRANGER, "5.3.0.1").await);
            assert!(!polled(&front, STRANGER, "5.3.0.2").await);
        }
    }
}

/// A front with default limits, which keeps no client waiting.
fn by_default(http: front::Settings) -> Front {
    let matching = matching::Settings {
        proxy_timeout: Duration::from_millis(1),
        client_queue_wait: Duration::ZERO,
        ..matching::Settings::default()
    };
    Front::limited(
        matching,
        http,
        GeoIp::default(),
        None,
        limits::Settings::default(),
    )
}

#[tokio::test(start_paused = true)]
async fn a_stranger_at_the_amp_endpoint_has_the_quota_of_one_client() {
    let front = by_default(front::Settings::default());
    let mut admitted = 0;
    for number in 0..2_000_u32 {
        // Each offer contains another address.
        let [_, a, b, c] = number.to_be_bytes();
        let candidate = format!("5.{a}.{b}.{c}");
        let error = amp(&front, STRANGER, Some(&candidate)).await;
        admitted += u32::from(error != SLOW_DOWN);
    }
    assert_eq!(admitted, limits::Settings::default().client_poll_burst);
    // The other endpoint has the same quota.
    assert_eq!(client(&front, STRANGER).await, SLOW_DOWN);
    // One of Google's caches has a hundred times as much.
    for _ in 0..2_000 {
        assert_ne!(amp(&front, "66.249.83.1", None).await, SLOW_DOWN);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stranger_that_claims_many_addresses_has_ten_quotas() {
    let quota = limits::Settings::default().client_poll_burst;
    let claims = |request: Builder, number: u32| {
        let [_, a, b, c] = (number << 8).to_be_bytes();
        let request = from(STRANGER, request);
        request.header("X-Forwarded-For", format!("6.{a}.{b}.{c}"))
    };
    for is_amp in [false, true] {
        let front = by_default(front::Settings::default());
        let mut admitted = 0;
        for number in 0..4_000_u32 {
            let error = if is_amp {
                ask_amp(&front, claims(Request::get(amp_path(None)), number)).await
            } else {
                let request = claims(Request::post("/client"), number);
                let poll = Body::from(client_poll("x", "open"));
                front.send(request.body(poll).unwrap()).await.json()["error"].clone()
            };
            admitted += u32::from(error != SLOW_DOWN);
        }
        for _ in 0..2 * quota {
            admitted += u32::from(client(&front, STRANGER).await != SLOW_DOWN);
        }
        assert_eq!(admitted, 10 * quota, "{is_amp}");
    }
}
