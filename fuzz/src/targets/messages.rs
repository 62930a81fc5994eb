//! Messages of peers, of nodes and of operators, by protobuf.

mod administration;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::Request;
use snowflake_broker::broker::clock;
use snowflake_broker::cluster::{
    Bus, BusEvent, BusMessage, Cluster, ClusterKeys, NodeIdentity, NotSent, Subjects,
};
use snowflake_broker::grpc::federation::{PeerAuth, lender};
use snowflake_broker::listener::{Closing, PeerIdentity, Serve, Server};
use snowflake_broker::metrics::Metrics;
use snowflake_broker::metrics::distinct_ips::WindowKey;
use tokio::io::duplex;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic_health::server::HealthReporter;

use super::choice;
use super::fronts::{ended, on_front};
use crate::support::front::Front;

/// Longer than any call may take.
const FOREVER: Duration = Duration::from_hours(1);

/// Longer than a node's word counts, and a client waits.
const SETTLED: Duration = Duration::from_secs(20);

/// Inputs until there is a new broker, and operators' calls, which change it.
const INPUTS: u32 = 30;
const CALLS: u32 = 10;

/// The key of the cluster, 32 bytes of 1.
const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

pub(super) fn messages(input: &[u8]) {
    let Some((which, message)) = choice(input, 3) else {
        return;
    };
    match which {
        0 => on_front(INPUTS, async |front| peer(front, message).await),
        1 => on_front(CALLS, async |front| {
            administration::operator(front, message).await;
        }),
        _ => on_front(INPUTS, async |front| nodes(front, message).await),
    }
}

/// A peer's call: the number of the method, and the request.
async fn peer(front: &Front, input: &[u8]) {
    let Some((which, message)) = choice(input, 2) else {
        return;
    };
    let method = ["WatchSupply", "MatchOffer"][usize::from(which)];
    let path = format!("/snowflake.broker.federation.v1.Federation/{method}");
    let metrics = Arc::new(Metrics::new(UNIX_EPOCH, WindowKey::from([7; 16])));
    let auth = Arc::new(PeerAuth::new(["peer".into()].into(), None, metrics));
    let reporter = HealthReporter::new();
    let server = lender(
        &auth,
        Arc::clone(&front.broker),
        reporter,
        Closing::default(),
    );
    call(server, &path, message).await;
}

/// Calls a method as a peer with a certificate. Any response will do, even none.
async fn call(called: Server<impl Serve>, path: &str, message: &[u8]) {
    let (client, far_end) = duplex(64 * 1024);
    let identity = PeerIdentity::Tcp {
        is_loopback: true,
        certificate_names: ["peer".to_owned()].into(),
        holder: None,
    };
    let serving = tokio::spawn(Arc::new(called).serve_stream(far_end, identity));
    let (client, connection) = h2::client::handshake(client).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let request = Request::post(format!("http://broker{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a request");
    let mut client = client.ready().await.expect("a stream");
    let (response, mut body) = client.send_request(request, false).expect("a stream");
    let length = u32::try_from(message.len()).expect("an input is short");
    let framed = [&[0], &length.to_be_bytes()[..], message].concat();
    let _ = body.send_data(Bytes::from(framed), true);
    let response = timeout(FOREVER, response).await.expect("a response");
    drop((response, body, client));
    connection.abort();
    ended(serving).await;
}

/// What another node says, message by message, each after its length in a byte.
async fn nodes(front: &Front, mut input: &[u8]) {
    let keys = ClusterKeys::parse(KEY).expect("a key");
    let subject = Subjects::new("test", "a").listened()[0].clone();
    let (events, receiver) = tokio::sync::mpsc::unbounded_channel();
    let running = tokio::spawn(node().run(
        Arc::clone(&front.broker),
        UnboundedReceiverStream::new(receiver),
    ));
    while let Some((&length, rest)) = input.split_first() {
        let (message, rest) = rest.split_at(rest.len().min(length.into()));
        input = rest;
        let sealed = keys.seal(&subject, message).expect("random numbers");
        let event = BusEvent::Message(BusMessage {
            subject: subject.clone(),
            payload: sealed.into(),
        });
        events.send(event).expect("it listens");
        sleep(Duration::from_millis(100)).await;
    }
    sleep(SETTLED).await;
    assert!(!running.is_finished(), "it ends with the bus");
    drop(events);
    ended(running).await;
    assert_eq!(front.broker.control().parked_polls().len(), 0);
}

/// A node without any other.
fn node() -> Arc<Cluster> {
    let me = NodeIdentity {
        node: "a".to_owned(),
        incarnation: 1,
        started: clock::now(),
    };
    let metrics = Arc::new(Metrics::new(UNIX_EPOCH, WindowKey::from([7; 16])));
    let keys = ClusterKeys::parse(KEY).expect("a key");
    Arc::new(Cluster::new(
        me,
        "test",
        keys,
        0,
        Arc::new(Silent),
        metrics,
        7,
    ))
}

/// A bus on which nobody listens.
#[derive(Debug)]
struct Silent;

impl Bus for Silent {
    fn send(&self, _subject: String, _payload: Bytes) -> Result<(), NotSent> {
        Ok(())
    }

    fn reconnect(&self) {}
}
