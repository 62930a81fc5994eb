//! HTTP on a TLS port, and TLS on a plain HTTP port.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::sockets::FOREVER;
use crate::sockets::tls::front;

/// The whole reply until the server closes, which must happen in an orderly way.
async fn reply(addr: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut reply = String::new();
    let read = timeout(FOREVER, stream.read_to_string(&mut reply)).await;
    read.expect("the server did not close").unwrap();
    reply
}

#[tokio::test]
async fn http_on_a_port_for_tls_is_told_so() {
    let front = front().await;
    let long = format!(
        "POST /client HTTP/1.1\r\nContent-Length: 50000\r\n\r\n{:50000}",
        ""
    );
    for request in [
        "GET / HTTP/1.1\r\nHost: broker.example\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "G",
        &long,
    ] {
        let reply = reply(front.addr, request.as_bytes()).await;
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        assert!(
            head.contains(&format!("Content-Length: {}\r\n", body.len())),
            "{head}"
        );
        assert!(head.contains("\r\nConnection: close"), "{head}");
        assert!(body.contains("HTTPS"), "{body}");
        assert_eq!(body.lines().count(), 1, "{body}");
    }
}
