//! Peers that do not read the responses to their requests.

use std::convert::Infallible;
use std::fmt::Display;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{Stream, stream};
use h2::client::SendRequest;
use http::{HeaderMap, Request, Response, StatusCode};
use snowflake_broker::listener::Settings;
use snowflake_broker::listener::accounts::{Accounts, Bounds};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::sockets::{FOREVER, until};
use crate::support::serve::serve_in;

const WRITE_TIMEOUT: Duration = Duration::from_millis(400);
/// More than the kernel buffers for a connection at both ends.
const LARGE: usize = 4_000_000;

/// Pieces of a body without an end, with pauses in which nothing is to be read.
const PIECE: usize = 1_000;
const PAUSE: Duration = Duration::from_millis(600);

fn pieces() -> impl Stream<Item = Result<Vec<u8>, Infallible>> {
    stream::unfold(Duration::ZERO, async |pause| {
        sleep(pause).await;
        Some((Ok(vec![b'x'; PIECE]), PAUSE))
    })
}

/// A server whose responses have the length in their paths, and its accounts.
async fn server(bounds: Bounds) -> (SocketAddr, Arc<Accounts>) {
    patient_server(bounds, WRITE_TIMEOUT).await
}

async fn patient_server(bounds: Bounds, write_timeout: Duration) -> (SocketAddr, Arc<Accounts>) {
    let accounts = Accounts::new(bounds);
    let of_length = |axum::extract::Path(length): axum::extract::Path<usize>| async move {
        ([("access-control-allow-origin", "*")], vec![b'x'; length])
    };
    let service = Router::new()
        .route("/{length}", get(of_length))
        .route("/pieces", get(async || Body::from_stream(pieces())));
    let settings = Settings {
        write_timeout,
        ..Settings::default()
    };
    let addr = serve_in(Arc::clone(&accounts), service, settings, None).await;
    (addr, accounts)
}

/// Room for one large response of one address.
fn roomy() -> Bounds {
    Bounds {
        bytes: 32 * LARGE,
        ..Bounds::default()
    }
}

/// An HTTP/2 connection with this flow-control window for streams.
async fn connect(addr: SocketAddr, window: u32) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(addr).await.unwrap();
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(window);
    let (sender, connection) = builder.handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn ask(
    sender: &SendRequest<Bytes>,
    path: impl Display,
) -> Result<Response<h2::RecvStream>, h2::Error> {
    let mut sender = sender.clone().ready().await?;
    let uri = format!("http://a.example/{path}");
    let request = Request::get(uri).body(()).unwrap();
    let (response, _) = sender.send_request(request, true)?;
    response.await
}

/// Reads without granting the peer more window.
async fn read_on(mut body: h2::RecvStream) -> Result<usize, h2::Error> {
    let mut read = 0;
    while let Some(data) = timeout(FOREVER, body.data()).await.expect("it hangs") {
        read += data?.len();
    }
    Ok(read)
}

#[tokio::test]
async fn a_stream_that_is_not_read_ends_and_the_others_go_on() {
    let (addr, accounts) = server(roomy()).await;
    let sender = connect(addr, 20_000).await;
    let large = ask(&sender, LARGE).await.unwrap();
    assert!(accounts.figures().bytes >= LARGE);
    // These requests do not keep it alive.
    let busy = async {
        loop {
            let small = ask(&sender, 100).await.unwrap();
            assert_eq!(read_on(small.into_body()).await.unwrap(), 100);
            sleep(WRITE_TIMEOUT / 10).await;
        }
    };
    let ended = tokio::select! {
        ended = read_on(large.into_body()) => ended.unwrap_err(),
        () = busy => unreachable!(),
    };
    assert_eq!(ended.reason(), Some(h2::Reason::CANCEL));
    assert!(ended.is_reset());
    let small = ask(&sender, 100).await.unwrap();
    assert_eq!(read_on(small.into_body()).await.unwrap(), 100);
    until(|| accounts.figures().bytes == 0).await;
}

#[tokio::test]
async fn streams_without_a_window_end() {
    let (addr, accounts) = server(roomy()).await;
    let sender = connect(addr, 0).await;
    let asked = join_all((0..50).map(|_| ask(&sender, 8_000))).await;
    assert!(accounts.figures().bytes > 8_000);
    for response in asked {
        read_on(response.unwrap().into_body()).await.unwrap_err();
    }
    until(|| accounts.figures().bytes == 0).await;
    // The connection is still usable.
    assert_eq!(ask(&sender, 1).await.unwrap().status(), StatusCode::OK);
}

/// Whether h2 has a part of a piece or hyper has all of it.
#[tokio::test]
async fn a_piece_that_is_not_taken_ends_a_stream_with_pauses() {
    let (addr, _) = server(roomy()).await;
    let soon = PAUSE + 5 * WRITE_TIMEOUT;
    for window in [PIECE - 1, PIECE] {
        let sender = connect(addr, window.try_into().unwrap()).await;
        let body = ask(&sender, "pieces").await.unwrap().into_body();
        let ended = timeout(soon, read_on(body)).await.expect("it goes on");
        assert_eq!(ended.unwrap_err().reason(), Some(h2::Reason::CANCEL));
    }
    let sender = connect(addr, 1_000_000).await;
    let body = ask(&sender, "pieces").await.unwrap().into_body();
    assert!(timeout(soon, read_on(body)).await.is_err());
}

/// hyper has finished with a response once h2 has it, which sends it as the window
/// allows.
#[tokio::test]
async fn what_only_h2_has_left_ends_with_its_connection() {
    let (addr, accounts) = server(roomy()).await;
    let sender = connect(addr, 1).await;
    let body = ask(&sender, 8_000).await.unwrap().into_body();
    read_on(body).await.unwrap_err();
    until(|| accounts.figures().connections == 0).await;
    assert_eq!(accounts.figures().bytes, 0);
}

#[tokio::test]
async fn an_http1_peer_that_does_not_read_is_closed() {
    let (addr, accounts) = server(roomy()).await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET /{LARGE} HTTP/1.1\r\nHost: a.example\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    until(|| accounts.figures().bytes >= LARGE).await;
    until(|| accounts.figures().connections == 0).await;
    assert_eq!(accounts.figures().bytes, 0);
    let mut read = Vec::new();
    // Closed with unread bytes, it may be reset.
    let _ = timeout(FOREVER, stream.read_to_end(&mut read))
        .await
        .unwrap();
    assert!(read.len() < LARGE);
}

#[tokio::test]
async fn who_reads_slowly_but_fast_enough_gets_all() {
    let (addr, _) = server(roomy()).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(addr).await.unwrap();
    let length = 500_000;
    let request = format!("GET /{length} HTTP/1.0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut read, mut buffer) = (0, [0; 10_000]);
    // Longer in total than any single write may stall.
    for _ in 0..2_000 {
        let count = timeout(FOREVER, stream.read(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        read += count;
        if count == 0 {
            break;
        }
        sleep(WRITE_TIMEOUT / 40).await;
    }
    assert!(read > length, "{read}");
}

#[tokio::test]
async fn a_response_without_room_is_503_that_other_origins_may_read() {
    let bounds = Bounds {
        bytes: 16 * 150_000,
        ..Bounds::default()
    };
    let (addr, accounts) = patient_server(bounds, FOREVER).await;
    let sender = connect(addr, 1_000_000).await;
    let allows_all = |headers: &HeaderMap| headers["access-control-allow-origin"] == "*";
    let refused = ask(&sender, 160_000).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(allows_all(refused.headers()));
    assert_eq!(read_on(refused.into_body()).await.unwrap(), 0);
    let fits = ask(&sender, 60_000).await.unwrap();
    assert_eq!(fits.status(), StatusCode::OK);
    assert_eq!(read_on(fits.into_body()).await.unwrap(), 60_000);
    until(|| accounts.figures().bytes == 0).await;
}

/// Small responses once were charged to no account after the kernel had them: up to 64
/// KiB of each connection, and as much data from the peer.
#[tokio::test]
async fn what_the_kernel_keeps_of_connections_has_the_share_of_their_address() {
    let share = 400_000;
    let bounds = Bounds {
        bytes: 16 * share,
        ..Bounds::default()
    };
    let (addr, accounts) = patient_server(bounds, FOREVER).await;
    let requests = "GET /5000 HTTP/1.1\r\nHost: a.example\r\n\r\n".repeat(200);
    let mut streams = Vec::new();
    for _ in 0..20 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let mut stream = socket.connect(addr).await.unwrap();
        // A connection that has been closed does not take everything.
        let _ = stream.write_all(requests.as_bytes()).await;
        streams.push(stream);
    }
    // There is room for four connections, with 64 and 16 KiB each.
    let is_closed = |stream: &&TcpStream| {
        let written = stream.try_write(b" ");
        written.is_err_and(|error| error.kind() != ErrorKind::WouldBlock)
    };
    until(|| streams.iter().filter(is_closed).count() == 16).await;
    let held = accounts.figures();
    assert_eq!(held.connections, 4);
    assert!((4 * 80 * 1024..=share).contains(&held.bytes), "{held:?}");
    drop(streams);
    until(|| accounts.figures().connections == 0).await;
    assert_eq!(accounts.figures().bytes, 0);
}

#[tokio::test]
async fn what_has_waited_in_the_kernel_is_given_back_once_it_is_read() {
    let (addr, accounts) = patient_server(roomy(), FOREVER).await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET /{LARGE} HTTP/1.1\r\nHost: a.example\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    until(|| accounts.figures().bytes >= LARGE + 80 * 1024).await;
    let mut body = vec![0; LARGE];
    timeout(FOREVER, stream.read_exact(&mut body))
        .await
        .unwrap()
        .unwrap();
    until(|| accounts.figures().bytes == 0).await;
    assert_eq!(accounts.figures().connections, 1);
}
