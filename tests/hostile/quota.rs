//! The number of proxies that one address can take by pretending to be many.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use snowflake_broker::broker::clock;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::broker::{Broker, Setup};
use crate::pool::Pool;
use crate::report::Row;
use crate::stranger::{connect, read_to_end};

/// One address's quota of clients: at once, and more each second.
const BURST: usize = 30;
const PER_SECOND: usize = 1;

/// The default of `limits.unconfirmed_factor`.
const UNCONFIRMED: usize = 10;

/// Time that a proxy takes to answer.
const GATHERING: Duration = Duration::from_millis(300);

/// Number of polls in flight beyond a quota.
const MORE: usize = 10;

fn small_quotas() -> Setup {
    Setup::new()
        .with("limits.client_poll_burst", BURST.to_string())
        .with(
            "limits.client_polls_per_minute",
            (PER_SECOND * 60).to_string(),
        )
}

/// An address that nobody here has, by number.
fn invented(number: usize) -> String {
    format!(
        "9.{}.{}.{}",
        number % 200 + 1,
        number / 200 % 250,
        1 + number % 250
    )
}

/// A poll of a client behind an open NAT, with a candidate at this address.
fn poll(address: &str) -> String {
    let sdp = format!("v=0\r\na=candidate:1 1 udp 1 {address} 5000 typ srflx\r\n");
    let offer = json!({"type": "offer", "sdp": sdp}).to_string();
    format!("1.0\n{}", json!({"offer": offer, "nat": "open"}))
}

/// A request with these additional header lines.
fn post(target: &str, lines: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}Content-Length: {length}\r\n\r\n{body}"
    )
}

/// Sends the polls, some at the same time. Returns the number of proxies taken and the
/// seconds needed.
async fn take(
    broker: &Broker,
    pool: u16,
    polls: usize,
    request: fn(usize) -> String,
) -> (usize, usize) {
    let pool = Pool::park(broker, pool, GATHERING).await;
    let started = clock::now();
    let places = Arc::new(Semaphore::new(100));
    let mut clients = JoinSet::new();
    for number in 0..polls {
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        clients.spawn(async move {
            let mut stream = connect(request(number).as_bytes()).await;
            read_to_end(&mut stream).await;
            drop(place);
        });
    }
    clients.join_all().await;
    let seconds = (clock::now() - started).as_secs() + 1;
    (pool.taken(), usize::try_from(seconds).unwrap())
}

fn judge(taken: usize, seconds: usize, quotas: usize, polls: usize) -> String {
    let most = quotas * (BURST + seconds * PER_SECOND) + MORE;
    assert!(
        taken <= most,
        "{taken} proxies taken, at most {most} expected"
    );
    // Otherwise there was no attack at all.
    assert!(taken >= BURST, "{taken} proxies");
    format!("{taken} proxies by {polls} polls (a client's quota: {BURST} and {PER_SECOND}/s)")
}

/// Uses the path of AMP caches, with a different client address in each offer.
pub(crate) async fn by_amp() -> Row {
    const POLLS: usize = 300;
    let attack = async |broker: &Broker| {
        let request = |number| {
            let poll = URL_SAFE_NO_PAD.encode(poll(&invented(number)));
            post(&format!("/amp/client/0{number}/{poll}"), "", "")
        };
        let (taken, seconds) = take(broker, 150, POLLS, request).await;
        judge(taken, seconds, 1, POLLS)
    };
    small_quotas().start().await.withstands(attack).await
}

/// Pretends to be a reverse proxy with many clients that do not exist.
pub(crate) async fn by_x_forwarded_for() -> Row {
    const POLLS: usize = 700;
    let attack = async |broker: &Broker| {
        let request = |number| {
            let line = format!("X-Forwarded-For: {}\r\n", invented(number));
            post("/client", &line, &poll("9.9.9.9"))
        };
        let (taken, seconds) = take(broker, 550, POLLS, request).await;
        judge(taken, seconds, UNCONFIRMED, POLLS)
    };
    small_quotas().start().await.withstands(attack).await
}

/// Uses headers that no reverse proxy writes, and addresses that belong to nobody.
pub(crate) async fn by_other_headers() -> Row {
    const POLLS: usize = 300;
    let attack = async |broker: &Broker| {
        let request = |number| {
            let line = match number % 6 {
                0 => format!("Forwarded: for={}", invented(number)),
                1 => format!(
                    "Forwarded: for=unknown;proto=https, for={}",
                    invented(number)
                ),
                2 => format!("X-Forwarded-For: 10.0.0.{}", number % 250),
                3 => "X-Forwarded-For: unknown".to_owned(),
                4 => format!("X-Forwarded-For: 127.0.0.{}", number % 250),
                _ => format!("X-Real-IP: {0}\r\nCF-Connecting-IP: {0}", invented(number)),
            };
            post("/client", &format!("{line}\r\n"), &poll("9.9.9.9"))
        };
        let (taken, seconds) = take(broker, 150, POLLS, request).await;
        judge(taken, seconds, 1, POLLS)
    };
    small_quotas().start().await.withstands(attack).await
}

/// Clients that do not wait for their answers, each of which still takes a proxy.
pub(crate) async fn by_leaving() -> Row {
    const POOL: u16 = 300;
    const AT_ONCE: usize = 8;
    // The defaults of the limits.
    let (burst, per_second) = (300, 10);
    let attack = async |broker: &Broker| {
        let pool = Pool::park(broker, POOL, GATHERING * 2).await;
        let started = clock::now();
        let polls = crate::stranger::over_and_over(AT_ONCE, poll_and_leave).await;
        let seconds = usize::try_from((clock::now() - started).as_secs() + 1).unwrap();
        let (taken, most) = (pool.taken(), (burst + seconds * per_second) / 5 + MORE);
        assert!(
            taken <= most,
            "{taken} proxies taken, at most {most} expected"
        );
        format!("{taken} proxies by {polls} polls (a client's quota: {burst} and {per_second}/s)")
    };
    Setup::new().start().await.withstands(attack).await
}

async fn poll_and_leave() -> usize {
    let request = post("/client", "", &poll("9.9.9.9"));
    let stream = connect(request.as_bytes()).await;
    sleep(Duration::from_millis(80)).await;
    stream.set_zero_linger().unwrap();
    1
}
