//! `/status/me`: the word to a volunteer on its proxy.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::request::Builder;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use snowflake_broker::http::Endpoints;
use snowflake_broker::listener::RemoteAddress;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{get, settings};
use crate::front;
use crate::support::front::Front;
use crate::support::messages::{client_poll, proxy_poll};
use crate::support::requests::{Reply, send};

const JSON: &str = "/status/me.json";
const PROXY: &str = "2001:db8::1";
/// In the same /64.
const NEIGHBOUR: &str = "2001:db8::2";
const STRANGER: &str = "2001:db8:0:1::1";

fn from(address: &str, request: Builder) -> Builder {
    let address: IpAddr = address.parse().unwrap();
    request.extension(RemoteAddress(SocketAddr::from((address, 1))))
}

async fn asked(endpoints: &Endpoints, request: Builder) -> Value {
    let reply = send(endpoints, request.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    reply.json()
}

async fn poll(front: &Arc<Front>, from_address: &str, body: String) -> JoinHandle<Reply> {
    let request = from(from_address, Request::post("/proxy"));
    let request = request.body(body.into()).unwrap();
    let front = Arc::clone(front);
    let poll = tokio::spawn(async move { front.send(request).await });
    sleep(Duration::from_millis(1)).await;
    poll
}

#[tokio::test(start_paused = true)]
async fn a_volunteer_and_its_neighbours_see_its_proxy() {
    let front = front();
    let public = front.endpoints.clone().showing_status(&settings(true));
    let own = front.endpoints.for_status(&settings(false));
    let asks = |address| from(address, Request::get(JSON));
    let unseen = json!({
        "seen": false, "nats": [], "types": [], "matches": null, "refused": [],
    });
    assert_eq!(asked(&public, asks(PROXY)).await, unseen);

    let parked = poll(&front, PROXY, proxy_poll("a", "unrestricted")).await;
    poll(&front, PROXY, "{}".to_owned()).await;
    let mut seen = json!({
        "seen": true, "nats": ["open"], "types": ["standalone"], "matches": "0",
        "refused": [{"reason": "bad_request", "text": "A poll was malformed."}],
    });
    for endpoints in [&public, &own] {
        assert_eq!(asked(endpoints, asks(NEIGHBOUR)).await, seen);
    }
    assert_eq!(asked(&public, asks(STRANGER)).await, unseen);

    let client = front.post("/client", client_poll("x", "restricted"));
    let (poll, _) = tokio::join!(parked, client);
    assert_eq!(poll.unwrap().json()["Status"], "client match");
    assert_eq!(asked(&public, asks(PROXY)).await, seen);
    sleep(Duration::from_mins(1)).await;
    seen["matches"] = "1 to 8".into();
    assert_eq!(asked(&public, asks(PROXY)).await, seen);
    sleep(Duration::from_mins(10)).await;
    assert_eq!(asked(&public, asks(PROXY)).await, unseen);
}

#[tokio::test]
async fn an_address_is_believed_as_everywhere() {
    let front = front();
    let public = front.endpoints.clone().showing_status(&settings(true));
    let _here = poll(&front, "127.0.0.1", proxy_poll("a", "strict")).await;
    let asks = || from("127.0.0.1", Request::get(JSON));
    assert_eq!(asked(&public, asks()).await["nats"], json!(["strict"]));
    // A reverse proxy on this machine.
    let forwarded = asks().header("x-forwarded-for", "5.1.0.1");
    assert_eq!(asked(&public, forwarded).await["seen"], false);
    let nameless = asks().header("x-forwarded-for", "unknown");
    assert_eq!(asked(&public, nameless).await["seen"], Value::Null);
    // A stranger is whoever it claims to forward for.
    let claims = from("5.1.0.2", Request::get(JSON)).header("x-forwarded-for", "127.0.0.1");
    assert_eq!(asked(&public, claims).await["seen"], false);
}

#[tokio::test]
async fn the_page_for_volunteers_has_no_script() {
    let front = front();
    let own = front.endpoints.for_status(&settings(false));
    let _here = poll(&front, "127.0.0.1", proxy_poll("a", "strict")).await;
    let page = get(&own, "/status/me").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        page.body.contains("A proxy at your address has polled"),
        "{}",
        page.body
    );
    assert!(page.body.contains("<dd>strict</dd>") && !page.body.contains("<script"));
}
