//! The live page: server-sent events to bounded numbers of readers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use snowflake_broker::http::Endpoints;
use snowflake_broker::{listener, matching};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::ServiceExt as _;

use super::settings;
use crate::support::front::Front;
use crate::support::messages::proxy_poll;
use crate::support::serve::serve;
use crate::{elapsed, front, start};

const PATH: &str = "/status/events";

/// Asks for events, from this address or from within the broker.
pub(super) async fn read(endpoints: &Endpoints, from: Option<IpAddr>) -> Response {
    let mut request = Request::get(PATH).body(Body::empty()).unwrap();
    if let Some(from) = from {
        let remote = listener::RemoteAddress(SocketAddr::from((from, 1)));
        request.extensions_mut().insert(remote);
    }
    endpoints.clone().oneshot(request).await.unwrap()
}

/// The next event; `None` at the end.
async fn next(body: &mut Body) -> Option<Bytes> {
    let frame = body.frame().await?;
    Some(frame.unwrap().into_data().unwrap())
}

async fn text(body: &mut Body) -> String {
    let event = next(body).await.expect("another event");
    String::from_utf8(event.to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn all_readers_get_what_changes_until_the_broker_drains() {
    let patient = matching::Settings {
        proxy_timeout: Duration::from_mins(1),
        ..matching::Settings::default()
    };
    let front = Arc::new(Front::new(patient));
    for (endpoints, interval, parked) in [
        (front.endpoints.for_status(&settings(false)), 2, 1),
        (
            front.endpoints.clone().showing_status(&settings(true)),
            10,
            8,
        ),
    ] {
        let response = read(&endpoints, None).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        let mut one = response.into_body();
        let first = text(&mut one).await;
        assert!(first.starts_with("retry: 5000\ndata: "), "{first}");
        assert!(
            first.ends_with("\n\n") && !first.contains("\n\nd"),
            "{first}"
        );
        assert!(first.contains("<dt>Waiting</dt><dd>0</dd>"), "{first}");
        assert!(!first.contains("<all>"), "{first}");
        let mut other = read(&endpoints, None).await.into_body();
        text(&mut other).await;

        let poll = start(&front, "/proxy", proxy_poll("a", "unrestricted")).await;
        let (passed, event) = elapsed(next(&mut one)).await;
        assert!(passed <= Duration::from_secs(interval), "{passed:?}");
        let event = event.unwrap();
        let expected = format!("<dt>Waiting</dt><dd>{parked}</dd>");
        assert!(String::from_utf8_lossy(&event).contains(&expected));
        // Neither another rendering nor another copy of it.
        let shared = next(&mut other).await.unwrap();
        assert_eq!(shared.as_ptr(), event.as_ptr());
        let (passed, _) = elapsed(next(&mut one)).await;
        assert_eq!(passed.as_secs(), interval);
        poll.abort();
        poll.await.unwrap_err();
    }
    let own = front.endpoints.for_status(&settings(false));
    let mut body = read(&own, None).await.into_body();
    text(&mut body).await;
    front.broker.control().start_draining();
    assert_eq!(next(&mut body).await, None);
    assert_eq!(
        read(&own, None).await.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
}

#[tokio::test(start_paused = true)]
async fn a_place_is_for_an_hour() {
    let front = front();
    let public = front.endpoints.clone().showing_status(&settings(true));
    let mut body = read(&public, None).await.into_body();
    let (passed, events) = elapsed(async {
        let mut events = 0;
        while next(&mut body).await.is_some() {
            events += 1;
        }
        events
    })
    .await;
    assert_eq!((passed.as_secs() / 60, events), (59, 360));
}

#[tokio::test]
async fn readers_are_limited_by_address_and_in_all() {
    let front = front();
    let address = |number: u8| Some(IpAddr::from([5, 1, 0, number]));
    let public = front.endpoints.clone().showing_status(&settings(true));
    let mut readers = Vec::new();
    for number in 0..64 {
        for _ in 0..4 {
            let response = read(&public, address(number)).await;
            assert_eq!(response.status(), StatusCode::OK);
            readers.push(response);
        }
        let refused = read(&public, address(number)).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()["retry-after"], "30");
    }
    for stranger in [address(64), None] {
        let refused = read(&public, stranger).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    readers.pop();
    assert_eq!(read(&public, address(64)).await.status(), StatusCode::OK);

    let own = front.endpoints.for_status(&settings(true));
    let mut readers = Vec::new();
    for _ in 0..64 {
        readers.push(read(&own, address(0)).await);
    }
    assert!(readers.iter().all(|it| it.status() == StatusCode::OK));
    let refused = read(&own, address(1)).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_reader_who_does_not_read_loses_its_place() {
    let front = front();
    let public = front.endpoints.clone().showing_status(&settings(true));
    let settings = listener::Settings {
        write_timeout: Duration::from_millis(300),
        ..listener::Settings::default()
    };
    let addr = serve(public.clone(), settings, None).await;
    let stream = TcpStream::connect(addr).await.unwrap();
    let mut builder = h2::client::Builder::new();
    let (sender, connection) = builder
        .initial_window_size(100)
        .handshake::<_, Bytes>(stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut sender = sender.ready().await.unwrap();
    let request = Request::get(format!("http://a.example{PATH}"));
    let request = request.body(()).unwrap();
    let (response, _) = sender.send_request(request, true).unwrap();
    let body = response.await.unwrap().into_body();
    // Before there is another event.
    let reset = timeout(Duration::from_secs(5), until_reset(body)).await;
    let reset = reset.expect("it hangs");
    assert_eq!(reset.reason(), Some(h2::Reason::CANCEL));
}

/// Reads without granting any more window.
async fn until_reset(mut body: h2::RecvStream) -> h2::Error {
    loop {
        if let Err(reset) = body.data().await.expect("not an end") {
            return reset;
        }
    }
}
