//! Connections that do not behave like callers.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::thread;

use crate::FOREVER;
use crate::broker::Broker;

/// Returns true if the other end closes the connection, after the server's own greeting.
fn is_closed(mut stream: impl std::io::Read) -> bool {
    let mut nothing = Vec::new();
    match stream.read_to_end(&mut nothing) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[tokio::test]
async fn who_does_not_begin_is_sent_away() {
    let broker = Broker::start("").await;
    broker.grpcurl().call("GetStatus", "{}").await.unwrap();
    let open = |sent: &[u8]| {
        let mut stream = UnixStream::connect(broker.socket()).unwrap();
        stream.set_read_timeout(Some(FOREVER)).unwrap();
        stream.write_all(sent).unwrap();
        stream
    };
    let silent = open(b"");
    let half = open(b"PRI * HTTP/2.0\r\n");
    let rubbish = open(&[0xff; 1000]);
    let closed = [silent, half, rubbish].map(|stream| thread::spawn(move || is_closed(stream)));
    // They disturb no other caller.
    broker.grpcurl().call("GetStatus", "{}").await.unwrap();
    for closed in closed {
        assert!(closed.join().unwrap());
    }
    let watched = broker.grpcurl().watch("{}").await.unwrap();
    assert!(!watched.is_empty());
}
