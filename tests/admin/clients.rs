//! Other foreign clients on the Unix socket, the broker's default listener. They differ
//! in the host name that they send. gRPC for Python and grpcurl have their own files.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use serde_json::Value;
use snowflake_broker::proto::admin::v1::GetStatusRequest;
use snowflake_broker::proto::admin::v1::admin_client::AdminClient;
use tokio::process::Command;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tonic::transport::Endpoint;

use crate::FOREVER;
use crate::broker::Broker;
use crate::grpcurl::SERVICE;
use crate::support::unpacked;

/// Runs a program that must succeed, and returns its output.
async fn printed(command: &mut Command) -> String {
    let output = timeout(FOREVER, command.kill_on_drop(true).output())
        .await
        .expect("it hangs")
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn javascript_calls_watches_and_gives_up() {
    let broker = Broker::start("").await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/admin/caller.js");
    let mut node = Command::new("node");
    node.arg(script)
        .arg(format!("unix:{}", broker.socket().display()))
        .arg(unpacked::file("node/node_modules"));
    printed(&mut node).await;
}

/// Over gRPC and with reflection, since the broker does not speak buf's own protocol.
#[tokio::test]
async fn buf_calls() {
    let broker = Broker::start("").await;
    let mut buf = Command::new(unpacked::file("node/node_modules/.bin/buf"));
    buf.args(["curl", "--protocol", "grpc", "--http2-prior-knowledge"])
        .arg("--unix-socket")
        .arg(broker.socket())
        .arg(format!("http://any.example/{SERVICE}/GetStatus"))
        // buf has a cache there.
        .env("HOME", broker.setup.folder.path());
    let status = printed(&mut buf).await;
    let status: Value = serde_json::from_str(&status).unwrap();
    let version = status["version"].as_str();
    assert_eq!(version, Some(env!("CARGO_PKG_VERSION")), "{status:#}");
}

#[tokio::test]
async fn tonic_calls() {
    let broker = Broker::start("").await;
    let address = format!("unix:{}", broker.socket().display());
    let channel = Endpoint::from_shared(address).unwrap().connect().await;
    let mut client = AdminClient::new(channel.unwrap());
    for _ in 0..2 {
        let status = client.get_status(GetStatusRequest {}).await.unwrap();
        assert!(!status.into_inner().version.is_empty());
    }
}

/// Literal fields with an indexed name, which then enters the dynamic table: the second
/// request's `:authority` refers to it. Both heads are padded and split into two frames.
#[tokio::test]
async fn heads_of_every_make_are_understood() {
    let broker = Broker::start("").await;
    let mut stream = UnixStream::connect(broker.socket()).unwrap();
    stream.set_read_timeout(Some(FOREVER)).unwrap();
    let path = format!("/{SERVICE}/GetStatus");
    let path = [&[0x04, u8::try_from(path.len()).unwrap()], path.as_bytes()].concat();
    let rest = [
        &path[..],
        b"\x0f\x10\x10application/grpc\x00\x02te\x08trailers",
    ]
    .concat();
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(frame(4, 0, 0, b""));
    for (stream, authority) in [(1, &b"\x41\x09run%2Fa.s"[..]), (3, b"\x7e\x05/a.so")] {
        let padded = [&[2, 0x83, 0x86], authority, &[0; 2]].concat();
        sent.extend(frame(1, 0x8, stream, &padded));
        sent.extend(frame(9, 0x4, stream, &rest));
        // A message of no bytes.
        sent.extend(frame(0, 0x1, stream, &[0; 5]));
    }
    stream.write_all(&sent).unwrap();
    let answered = spawn_blocking(move || {
        let mut trailers = 0;
        while trailers < 2 {
            let mut head = [0; 9];
            stream.read_exact(&mut head).unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            stream.read_exact(&mut payload).unwrap();
            assert!(
                ![3, 7].contains(&head[3]),
                "reset or told to go: {payload:?}"
            );
            // Each response begins and ends with a head.
            trailers += usize::from(head[3] == 1 && head[4] & 0x1 != 0);
        }
    });
    timeout(FOREVER, answered).await.unwrap().unwrap();
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags, 0, 0, 0, stream]].concat();
    [head, payload.to_vec()].concat()
}
