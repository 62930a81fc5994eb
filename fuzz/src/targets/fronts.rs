//! The HTTP front, by the bytes of a connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use snowflake_broker::http::Endpoints;
use snowflake_broker::listener::accounts::{Accounts, Bounds};
use snowflake_broker::listener::{self, Closing, ClosingStage, PeerIdentity, Server, Settings};
use snowflake_broker::matching;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, duplex, split};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::choice;
use crate::support::front::Front;
use crate::support::serve::Unobserved;

/// Longer than any request may take.
const FOREVER: Duration = Duration::from_hours(1);

/// The preface of HTTP/2 (RFC 9113, section 3.4), and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Longer than anything is left of a connection that has ended.
const SETTLED: Duration = Duration::from_secs(30);

/// Inputs until there is a new broker: each costs more than most inputs.
const INPUTS: u32 = 30;

/// HTTP/1 over TCP, with and without a PROXY header. The preface of HTTP/2 is understood
/// there, too.
pub(super) fn http1(input: &[u8]) {
    let Some((which, bytes)) = choice(input, 2) else {
        return;
    };
    on_front(INPUTS, async |front| {
        let settings = Settings {
            proxy_protocol: which == 1,
            header_read_timeout: Duration::from_millis(5),
            ..Settings::default()
        };
        let accounts = Accounts::new(Bounds::default());
        let (endpoints, closing) = (front.endpoints.clone(), Closing::default());
        let server = server(endpoints, settings, &accounts, closing.clone());
        let listener = listener::bind("127.0.0.1:0")
            .await
            .expect("a port")
            .remove(0);
        let address = listener.local_addr().expect("a port");
        let serving = tokio::spawn(server.run(listener));
        let stream = TcpStream::connect(address).await.expect("it listens");
        exchange(stream, bytes).await;
        assert_settled(front, &accounts).await;
        closing.advance(ClosingStage::Leaving);
        ended(serving).await;
    });
}

/// HTTP/2 from its first frame on, over a stream in memory.
pub(super) fn http2(input: &[u8]) {
    on_front(INPUTS, async |front| {
        let accounts = Accounts::new(Bounds::default());
        let (endpoints, closing) = (front.endpoints.clone(), Closing::default());
        let server = server(endpoints, Settings::default(), &accounts, closing);
        let (client, far_end) = duplex(64 * 1024);
        let identity = PeerIdentity::Unix { uid: None };
        let serving = tokio::spawn(server.serve_stream(far_end, identity));
        exchange(client, &[PREFACE, input].concat()).await;
        ended(serving).await;
        assert_settled(front, &accounts).await;
    });
}

/// A broker, and the time that passes for it.
struct Stand {
    front: Front,
    /// Dropped after the broker.
    runtime: Runtime,
    inputs: u32,
}

/// Brokers for further inputs.
static STANDS: Mutex<Vec<Stand>> = Mutex::new(Vec::new());

/// Runs a test of a broker that so many inputs share, in time that passes only while
/// everything waits. It is looked at whole after the last one.
pub(super) fn on_front(inputs: u32, test: impl AsyncFnOnce(&Front)) {
    let stand = lock(&STANDS).pop();
    let mut stand = stand.unwrap_or_else(Stand::new);
    stand.runtime.block_on(test(&stand.front));
    stand.inputs += 1;
    if stand.inputs < inputs {
        return lock(&STANDS).push(stand);
    }
    let Stand { front, runtime, .. } = stand;
    runtime.block_on(async { drop(front) });
}

fn lock(stands: &Mutex<Vec<Stand>>) -> MutexGuard<'_, Vec<Stand>> {
    stands.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stand {
    fn new() -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let front = runtime.block_on(async { Front::new(hasty()) });
        Self {
            front,
            runtime,
            inputs: 0,
        }
    }
}

fn server(
    endpoints: Endpoints,
    settings: Settings,
    accounts: &Arc<Accounts>,
    closing: Closing,
) -> Arc<Server<Endpoints>> {
    let (observer, accounts) = (Arc::new(Unobserved), Arc::clone(accounts));
    let server = Server::new(settings, None, endpoints, observer, accounts, closing);
    Arc::new(server)
}

/// The task ends, and has not panicked.
pub(super) async fn ended(task: JoinHandle<()>) {
    let ended = timeout(FOREVER, task).await;
    ended.expect("an end").expect("no panic");
}

/// Sends everything, and reads until the broker closes the connection.
async fn exchange(stream: impl AsyncRead + AsyncWrite, bytes: &[u8]) {
    let (mut receiver, mut sender) = split(stream);
    let sending = async {
        // The broker may close the connection before it has read everything.
        let _ = sender.write_all(bytes).await;
        let _ = sender.shutdown().await;
    };
    let mut response = Vec::new();
    let receiving = receiver.read_to_end(&mut response);
    let both = async { tokio::join!(sending, receiving) };
    let _ = timeout(FOREVER, both).await.expect("an end");
}

/// Nothing is left of a connection that has ended: no request, no byte in an account.
async fn assert_settled(front: &Front, accounts: &Accounts) {
    sleep(SETTLED).await;
    let waiting = front.broker.control().snapshot();
    assert_eq!(
        waiting.queued_clients + waiting.matched_clients,
        0,
        "clients wait"
    );
    assert_eq!(
        front.broker.control().parked_polls().len(),
        0,
        "polls are parked"
    );
    assert_eq!(accounts.figures().bytes, 0, "bytes in accounts");
}

/// Time-outs that are soon over even where time is real.
fn hasty() -> matching::Settings {
    matching::Settings {
        client_timeout: Duration::from_millis(3),
        proxy_timeout: Duration::from_millis(3),
        ..matching::Settings::default()
    }
}
