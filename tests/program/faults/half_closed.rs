//! Peers that close only their side of a connection, or not even that.

use tokio::io::AsyncWriteExt as _;

use crate::faults::broker::Setup;
use crate::faults::stranger::{connect, read_to_end};
use crate::support::messages::proxy_poll;

/// The number of peers of each kind.
const PEERS: usize = 100;

#[tokio::test]
async fn connections_of_which_one_side_is_closed() {
    let setup = Setup::new()
        .with("matching.proxy_timeout", "2s")
        .with("listener.header_read_timeout", "2s")
        .with("listener.idle_timeout", "2s");
    let broker = setup.start().await;
    let before = broker.at_rest().await;

    let poll = proxy_poll("half", "strict");
    let head = format!(
        "POST /proxy HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        poll.len()
    );
    let kinds = [
        String::new(),
        head[..20].to_owned(),
        head.clone(),
        format!("{head}{}", &poll[..10]),
        format!("{head}{poll}"),
        format!("{head}{poll}{head}"),
    ];
    let mut half = Vec::new();
    for bytes in &kinds {
        for _ in 0..PEERS {
            let mut stream = connect(broker.addr, bytes.as_bytes()).await;
            stream.shutdown().await.unwrap();
            half.push(stream);
        }
    }
    // These never close, whatever the broker does.
    let mut open = Vec::new();
    for bytes in &kinds {
        for _ in 0..PEERS {
            open.push(connect(broker.addr, bytes.as_bytes()).await);
        }
    }
    for stream in &mut half {
        read_to_end(stream).await;
    }
    broker.recovers("half-closed connections", before).await;
    drop(open);
}
