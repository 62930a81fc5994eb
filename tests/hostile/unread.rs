//! Responses that are not read, or very slowly.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use snowflake_broker::broker::clock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use crate::broker::{Broker, Setup};
use crate::frames::{
    END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, PREFACE, RST_STREAM, WINDOW_UPDATE, frame,
    get, headers, read, request, settings,
};
use crate::network::{BROKER, PORT, STRANGER};
use crate::report::Row;
use crate::stranger::{connect, over_and_over, read_to_end};
use crate::until;

/// The time after which a stalled response is ended, and the time by which it has ended
/// on a busy machine.
const STANDS_STILL: &str = "5s";
const ENDS: Duration = Duration::from_secs(20);

const CONNECTIONS: usize = 40;
const STREAMS: u32 = 100;

/// The paths requested alternately.
const PATHS: [&str; 2] = ["/prometheus", "/metrics"];

const LOG_BEGIN: &str = "snowflake-stats-end 2026-01-01 00:00:00 (86400 s)\n";

/// A client that reads nothing, or a byte of each response now and then.
#[derive(Clone, Copy)]
enum Reader {
    None,
    Slow,
}

/// A broker with a log of about a hundred days, which is 600 KB.
fn with_a_log() -> Setup {
    let setup = Setup::new();
    let log = setup.path("metrics.log");
    let day = format!(
        "{LOG_BEGIN}snowflake-ips {}\n",
        "DE=1000,".repeat(250) + "??=1\nsnowflake-ips-nat-open 0"
    );
    fs::write(&log, day.repeat(300)).unwrap();
    let setup = setup.with("metrics.metrics_log", log);
    setup.with("listener.write_timeout", STANDS_STILL)
}

/// Flow-control windows of zero, on connections kept busy by small requests.
pub(crate) async fn http2() -> Row {
    let attack = async |_: &_| {
        let started = clock::now();
        let mut readers = JoinSet::new();
        for number in 0..CONNECTIONS {
            let reader = [Reader::None, Reader::Slow][number % 2];
            readers.spawn(timeout(ENDS, wait_for_the_end(reader)));
        }
        let ends = readers.join_all().await;
        let late = ends.iter().filter(|end| end.is_err()).count();
        assert_eq!(late, 0, "of {CONNECTIONS} connections");
        let last = (clock::now() - started).as_secs();
        format!("{CONNECTIONS} connections of {STREAMS} responses each, ended in {last} s")
    };
    with_a_log().start().await.withstands(attack).await
}

/// Waits until the connection or the last response has ended.
async fn wait_for_the_end(kind: Reader) {
    let mut bytes = [PREFACE, &settings(&[(INITIAL_WINDOW_SIZE, 0)])].concat();
    let mut open: BTreeSet<u32> = (1..2 * STREAMS).step_by(2).collect();
    for (path, stream) in PATHS.iter().cycle().zip(&open) {
        bytes.extend(get(*stream, path));
    }
    let (mut reader, mut writer) = connect(&bytes).await.into_split();
    let mut next = 2 * STREAMS + 1;
    let mut every = interval(Duration::from_secs(1));
    let busy = async {
        loop {
            every.tick().await;
            let mut bytes = headers(next, END_STREAM, &request("OPTIONS", "/client"));
            next += 2;
            if matches!(kind, Reader::Slow) {
                for stream in (1..2 * STREAMS).step_by(2) {
                    bytes.extend(frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 1]));
                }
            }
            if writer.write_all(&bytes).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let end = async {
        while !open.is_empty() {
            let Ok(frame) = read(&mut reader).await else {
                return;
            };
            let is_last = frame.kind == HEADERS && frame.flags & END_STREAM != 0;
            if frame.kind == RST_STREAM || is_last {
                open.remove(&frame.stream);
            }
            if frame.kind == GOAWAY {
                return;
            }
        }
    };
    tokio::select! {
        () = busy => unreachable!("the requests never end"),
        () = end => {}
    }
}

/// Responses larger than all buffers on the way, and then pipelined requests for many
/// more.
pub(crate) async fn http1() -> Row {
    /// Number of such responses that an address has memory for.
    const LARGE: usize = 20;
    const PIPELINED: usize = 200;
    let attack = async |broker: &Broker| {
        let started = clock::now();
        let requests = PATHS.map(|path| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let _large = ask_and_not_read(LARGE, &requests[1]).await;
        sleep(Duration::from_secs(1)).await;
        let _pipelined = ask_and_not_read(PIPELINED, &requests.concat().repeat(50)).await;
        let closed = until("they are closed", async || {
            let late = [("reason", "write_timeout")];
            let closed = broker.count("connections_dropped_total", &late).await;
            usize::try_from(closed).unwrap() >= LARGE
        });
        timeout(ENDS, closed)
            .await
            .expect("responses were not ended in time");
        let last = (clock::now() - started).as_secs();
        format!("{LARGE} large responses, closed in {last} s, {PIPELINED} times 100 others")
    };
    with_a_log().start().await.withstands(attack).await
}

/// Half of the clients read nothing, and half next to nothing.
async fn ask_and_not_read(peers: usize, requests: &str) -> (Vec<TcpStream>, JoinSet<()>) {
    let (mut unread, mut slow) = (Vec::new(), JoinSet::new());
    for number in 0..peers {
        let mut stream = with_small_buffers().await;
        stream.write_all(requests.as_bytes()).await.ok();
        if number % 2 == 0 {
            unread.push(stream);
        } else {
            slow.spawn(read_slowly(stream));
        }
    }
    (unread, slow)
}

async fn with_small_buffers() -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.bind((STRANGER, 0).into()).unwrap();
    let stream = socket.connect(SocketAddr::from((BROKER, PORT))).await;
    stream.unwrap()
}

async fn read_slowly(mut stream: TcpStream) {
    let mut every = interval(Duration::from_secs(1));
    let mut some = [0; 100];
    loop {
        every.tick().await;
        if !stream.read(&mut some).await.is_ok_and(|read| read > 0) {
            return;
        }
    }
}

/// The operators' pages, requested as fast as possible.
pub(crate) async fn scrapes() -> Row {
    let attack = async |_: &_| {
        let pages = over_and_over(20, scrape).await;
        format!("{pages} pages")
    };
    with_a_log().start().await.withstands(attack).await
}

async fn scrape() -> usize {
    let requests = ["/prometheus", "/debug", "/metrics"]
        .map(|path| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
        .concat();
    let last = "GET /prometheus HTTP/1.0\r\n\r\n";
    let mut stream = connect((requests + last).as_bytes()).await;
    read_to_end(&mut stream).await.matches("HTTP/1.").count()
}
