#!/usr/bin/env bash
# A hyper server on tokio's threads, whose service reads a body that came with the head.
#
# Guess: a request whose bytes have all come in one segment is served in one go: one thread wakes for
# it, and sleeps again.
#
# Seen with hyper 1.12.0 and tokio 1.54.1 on two threads: with a body, a second thread wakes for nearly
# every request, finds nothing and sleeps again. When the service begins to read the body, hyper wakes
# the connection, so that it feeds the body, though the connection is what is running at that
# moment. tokio takes that for a task that makes way for others: it puts it at the end of its queue,
# and wakes another thread that might take it from there. A task that polls its connection again
# itself, if it was woken meanwhile, has no thread woken.
#
# Needs cargo, and two processors.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat >Cargo.toml <<'END'
[package]
name = "wakes"
version = "0.1.0"
edition = "2024"

[dependencies]
http-body-util = "=0.1.3"
hyper = { version = "=1.12.0", features = ["http1", "server"] }
hyper-util = { version = "=0.1.21", features = ["tokio"] }
tokio = { version = "=1.54.1", features = ["net", "rt-multi-thread"] }
END
cat >src/main.rs <<'END'
use std::convert::Infallible;
use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

const REQUESTS: u32 = 500;

/// Sends requests, each with its body in one piece, one after the other.
fn send(to: std::net::SocketAddr, body: usize) {
    let mut stream = std::net::TcpStream::connect(to).unwrap();
    let request = format!("POST / HTTP/1.1\r\ncontent-length: {body}\r\n\r\n{}", "x".repeat(body));
    for _ in 0..REQUESTS {
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = [0; 1024];
        assert!(stream.read(&mut reply).unwrap() > 0);
        thread::sleep(Duration::from_millis(2));
    }
}

/// The number of times that threads went to sleep while requests were served.
fn sleeps(body: usize) -> u64 {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_io()
        .build()
        .unwrap();
    let metrics = runtime.metrics();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(|request: Request<Incoming>| async {
            request.collect().await.unwrap();
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        });
        http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
    });
    let count = || (0..2).map(|thread| metrics.worker_park_count(thread)).sum::<u64>();
    let before = count();
    send(address, body);
    count() - before
}

fn main() {
    println!("{} {}", sleeps(0), sleeps(2_500));
}
END
cargo build --release --quiet
read -r without with < <(./target/release/wakes)
echo "500 requests, threads went to sleep: without a body $without times, with one $with times"
((without < 750 && with > 850)) || { echo "this has changed" >&2; exit 1; }
