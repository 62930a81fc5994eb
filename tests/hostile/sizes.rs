//! Bodies at the limit and beyond it, for each way of marking the end of a body.

use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::ATTACK;
use crate::broker::Setup;
use crate::frames::{DATA, frame, hello, post};
use crate::network::{STRANGER, connect};
use crate::report::Row;
use crate::shapes::{ENDLESS_HEAD, flood};
use crate::stranger::read_to_end;
use crate::support::peer::Peer;

/// The default of `http.max_body_bytes`.
const MOST: usize = 100_000;

/// A body of exactly the limit is read, and one byte more is refused.
pub(crate) async fn at_the_limit() -> Row {
    let attack = async |_: &_| {
        for (size, status) in [(MOST, "200"), (MOST + 1, "400")] {
            let body = client_poll_of(size);
            let length = format!("Content-Length: {size}");
            let told = [
                http1(&length, body.as_bytes()).await,
                http1("Transfer-Encoding: chunked", &chunks(&body)).await,
                http2(body).await,
            ];
            assert_eq!(told, [status; 3], "{size} bytes");
        }
        format!("{MOST} bytes read, {} refused, in three framings", MOST + 1)
    };
    Setup::new().start().await.withstands(attack).await
}

/// A client's poll, padded to a size, for an unknown bridge.
fn client_poll_of(size: usize) -> String {
    let poll = format!(
        "1.0\n{{\"offer\":{:?},\"fingerprint\":\"{}\"}}",
        crate::support::messages::offer("x"),
        "0".repeat(40)
    );
    let padding = " ".repeat(size - poll.len());
    poll + &padding
}

async fn http1(framing: &str, body: &[u8]) -> String {
    let head =
        format!("POST /client HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{framing}\r\n\r\n");
    let mut stream = crate::stranger::connect(head.as_bytes()).await;
    // The body may be refused before it is sent completely.
    stream.write_all(body).await.ok();
    let reply = read_to_end(&mut stream).await;
    reply.split(' ').nth(1).unwrap_or_default().to_owned()
}

async fn http2(body: String) -> String {
    let stream = connect(STRANGER).await.unwrap();
    let mut peer = Peer::http2_over(stream).await;
    let (status, _) = peer.post("/client", body).await;
    status.as_str().to_owned()
}

fn chunks(body: &str) -> Vec<u8> {
    let mut chunks = Vec::new();
    for chunk in body.as_bytes().chunks(4_000) {
        chunks.extend(format!("{:x}\r\n", chunk.len()).bytes());
        chunks.extend(chunk);
        chunks.extend(b"\r\n");
    }
    chunks.extend(b"0\r\n\r\n");
    chunks
}

/// Bodies and heads without an end.
pub(crate) async fn endless() -> Row {
    const EACH: usize = 10;
    const CHUNKED: &str = "POST /client HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let piece = "a".repeat(16_000);
    let length = CHUNKED.replace("Transfer-Encoding: chunked", "Content-Length: 1000000000");
    let kinds = [
        (
            CHUNKED.to_owned().into_bytes(),
            format!("3e80\r\n{piece}\r\n").into_bytes(),
        ),
        // A chunk extension, and the trailers.
        (
            format!("{CHUNKED}1;").into_bytes(),
            piece.clone().into_bytes(),
        ),
        (
            format!("{CHUNKED}0\r\n").into_bytes(),
            format!("x: {piece}\r\n").into_bytes(),
        ),
        (length.into_bytes(), piece.clone().into_bytes()),
        (
            [hello(), post(1, "/client")].concat(),
            frame(DATA, 0, 1, piece.as_bytes()),
        ),
        // Heads: one endless field, endless fields, and an endless request line.
        (b"POST /".to_vec(), piece.clone().into_bytes()),
        (ENDLESS_HEAD.to_vec(), piece.into_bytes()),
        (b"POST / HTTP/1.1\r\n".to_vec(), b"x: a\r\n".repeat(1_000)),
    ];
    let attack = async |_: &_| {
        let mut senders = JoinSet::new();
        for (begin, more) in &kinds {
            for _ in 0..EACH {
                let (begin, more) = (begin.clone(), more.clone());
                senders.spawn(async move {
                    let mut stream = crate::stranger::connect(&begin).await;
                    let sent = timeout(ATTACK, flood(&mut stream, &more)).await;
                    sent.unwrap_or(usize::MAX)
                });
            }
        }
        let sent = senders.join_all().await;
        let most = sent.iter().max().unwrap();
        // A few pieces are in the buffers in between.
        assert!(*most < 1_000, "{sent:?}");
        format!("{} without an end, each refused", sent.len())
    };
    Setup::new().start().await.withstands(attack).await
}
