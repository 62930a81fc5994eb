//! Cost of a scrape, and its effect on polls: a broker with all possible series serves
//! 5,000 requests a second over real sockets, for some seconds alone and for some seconds
//! with scrapes that each render a page.

#[path = "support/all_series.rs"]
mod all_series;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use all_series::all_series;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use snowflake_broker::broker::{Broker, Directory, clock};
use snowflake_broker::http::{self as front, Sources};
use snowflake_broker::listener::accounts::{Accounts, Bounds};
use snowflake_broker::listener::{self, Closing, DropCause, Observer, Server};
use snowflake_broker::matching;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, interval_at};

const CONNECTIONS: u32 = 100;
const REQUESTS_PER_SECOND: u32 = 5_000;
const PHASE: Duration = Duration::from_secs(10);
/// Longer than a page is cached, so that each scrape renders one.
const SCRAPE_INTERVAL: Duration = Duration::from_millis(1_100);
/// A poll that is denied at once, an answer for which no client waits, and a poll that
/// stays idle for this broker's short time-out.
const REQUESTS: [(&str, &str); 3] = [
    (
        "/client",
        "1.0\n{\"offer\":\"{\\\"type\\\":\\\"offer\\\",\\\"sdp\\\":\\\"v=0\\\"}\",\"nat\":\"strict\"}",
    ),
    (
        "/answer",
        r#"{"Version":"1.3","Sid":"nobody","Answer":"{\"type\":\"answer\",\"sdp\":\"a=candidate\"}"}"#,
    ),
    (
        "/proxy",
        r#"{"Sid":"NUMBER","Version":"1.3","Type":"webext","NAT":"strict","Clients":0}"#,
    ),
];

fn main() -> io::Result<()> {
    // The clients have their own threads, as if they were on other machines.
    let broker = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let peers = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let addresses = broker.block_on(serve())?;
    for with_scrapes in [false, true, false, true] {
        let measured = peers.block_on(measure(addresses, with_scrapes));
        report(with_scrapes, measured)?;
    }
    Ok(())
}

/// Returns the address for clients and proxies, and the one for operators.
async fn serve() -> io::Result<[SocketAddr; 2]> {
    let settings = matching::Settings {
        client_queue_max: 0,
        proxy_timeout: Duration::from_millis(1),
        ..matching::Settings::default()
    };
    let broker = Broker::new(settings, Directory::default(), Arc::new(all_series()), 7);
    let broker = Arc::new(broker);
    let driven = Arc::clone(&broker);
    tokio::spawn(async move { driven.drive().await });
    let accounts = Accounts::new(Bounds::default());
    let sources = Sources {
        metrics_log: None,
        accounts: Arc::clone(&accounts),
        process_figures: || None,
    };
    let endpoints = front::router(broker, front::Settings::default(), sources);
    let operators = listen(endpoints.for_operators(), Arc::clone(&accounts)).await?;
    Ok([listen(endpoints, accounts).await?, operators])
}

async fn listen(endpoints: front::Endpoints, accounts: Arc<Accounts>) -> io::Result<SocketAddr> {
    let settings = listener::Settings::default();
    let closing = Closing::default();
    let server = Server::new(
        settings,
        None,
        endpoints,
        Arc::new(Unobserved),
        accounts,
        closing,
    );
    let listener = listener::bind("127.0.0.1:0").await?.remove(0);
    let addr = listener.local_addr()?;
    tokio::spawn(Arc::new(server).run(listener));
    Ok(addr)
}

struct Unobserved;

impl Observer for Unobserved {
    fn opened(&self) {}
    fn closed(&self) {}
    fn dropped(&self, _reason: DropCause) {}
    fn accept_failed(&self, _error: &io::Error) {}
    fn handshake_failed(&self, _error: Option<&io::Error>) {}
    fn tls_in_the_clear(&self) {}
}

/// Returns the durations of requests and of scrapes.
async fn measure(
    [addr, operators]: [SocketAddr; 2],
    with_scrapes: bool,
) -> (Vec<Duration>, Vec<Duration>) {
    let mut peers = JoinSet::new();
    for number in 0..CONNECTIONS {
        peers.spawn(poll(addr, number));
    }
    let scrapes = if with_scrapes {
        scrape(operators).await
    } else {
        Vec::new()
    };
    (peers.join_all().await.concat(), scrapes)
}

/// Sends one connection's share of the requests. Each is timed from when it was due, so a
/// late request makes the next ones late too.
async fn poll(addr: SocketAddr, number: u32) -> Vec<Duration> {
    let mut connection = connect(addr).await;
    let each = Duration::from_secs(1) * CONNECTIONS / REQUESTS_PER_SECOND;
    let start = Instant::from_std(clock::now()) + each * number / CONNECTIONS;
    let mut due = interval_at(start, each);
    let mut took = Vec::new();
    while due.period() * u32::try_from(took.len()).unwrap_or(u32::MAX) < PHASE {
        let due = due.tick().await;
        let (path, body) = REQUESTS[took.len() % REQUESTS.len()];
        let body = body.replace("NUMBER", &format!("{number}.{}", took.len()));
        send(&mut connection, path, body).await;
        took.push(clock::now() - due.into_std());
    }
    took
}

async fn scrape(addr: SocketAddr) -> Vec<Duration> {
    let mut connection = connect(addr).await;
    let mut due = interval(SCRAPE_INTERVAL);
    let mut took = Vec::new();
    while SCRAPE_INTERVAL * u32::try_from(took.len()).unwrap_or(u32::MAX) < PHASE {
        due.tick().await;
        let begun = clock::now();
        let length = send(&mut connection, "/prometheus", String::new()).await;
        took.push(clock::now() - begun);
        assert!(length > 2_000_000, "not every series is there");
    }
    took
}

async fn connect(addr: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(addr).await.expect("the server listens");
    let connected = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = connected.expect("the server speaks HTTP");
    tokio::spawn(connection);
    sender
}

/// Sends a request. Returns the length of the response.
async fn send(connection: &mut SendRequest<Full<Bytes>>, path: &str, body: String) -> usize {
    let request = Request::post(path).header("Host", "broker.example");
    let request = request.body(Full::from(body)).expect("it is a request");
    let response = connection.send_request(request).await.expect("a response");
    let body = response.into_body().collect().await.expect("all of it");
    body.to_bytes().len()
}

fn report(
    with_scrapes: bool,
    (requests, scrapes): (Vec<Duration>, Vec<Duration>),
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let with = if with_scrapes {
        "with scrapes"
    } else {
        "alone"
    };
    writeln!(
        out,
        "{} requests, {with}: {}",
        requests.len(),
        quantiles(requests)
    )?;
    if with_scrapes {
        writeln!(out, "  {} scrapes: {}", scrapes.len(), quantiles(scrapes))?;
    }
    Ok(())
}

fn quantiles(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let at = |permille: usize| took[(took.len() - 1) * permille / 1000];
    format!(
        "median {:?}, 90 % {:?}, 99 % {:?}, 99.9 % {:?}, longest {:?}",
        at(500),
        at(900),
        at(990),
        at(999),
        at(1000)
    )
}
