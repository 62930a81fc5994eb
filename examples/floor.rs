//! A minimal server on the broker's libraries (hyper, tokio, axum, rustls), the floor
//! that the broker's CPU a request is compared with. See `examples/load.rs`.
//!
//! ```sh
//! cargo build --profile dist --examples
//! target/dist/examples/load --broker target/dist/examples/floor
//! ```
//!
//! It answers `/proxy`, `/client` and `/answer` with as many bytes as the broker, and
//! lets client and proxy meet, so that requests are parked and woken as in the broker.
//! The first to wait is served first; offers and answers are cut out of one body and
//! pasted into the other without being parsed. There are no checks, limits, deadlines or
//! counts. It understands only what the load generator sends, and the broker's flags for
//! address and certificate.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use clap::Parser;
use http::StatusCode;
use http::header::{ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use memchr::memmem::{find, rfind};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// Answers like a broker, and does nothing else.
#[derive(Parser)]
struct Options {
    /// Address and port.
    #[arg(long)]
    addr: String,
    /// Serve without TLS.
    #[arg(long, required_unless_present_all = ["cert", "key"])]
    disable_tls: bool,
    /// The certificate chain, PEM.
    #[arg(long)]
    cert: Option<PathBuf>,
    /// The certificate's private key, PEM.
    #[arg(long)]
    key: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    raise_file_limit()?;
    let tls = acceptor(&options)?;
    let listener = TcpListener::bind(&options.addr).await?;
    let router = Router::new()
        .route("/proxy", any(proxy_poll))
        .route("/client", any(client_poll))
        .route("/answer", any(proxy_answer))
        .with_state(Arc::<Meeting>::default());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (tls, router) = (tls.clone(), router.clone());
        tokio::spawn(async move {
            match tls {
                None => serve(stream, router).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, router).await;
                    }
                }
            }
        });
    }
}

/// Serves a connection until it ends or fails.
async fn serve<S>(stream: S, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut http = Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new());
    http.http2().max_concurrent_streams(1_000);
    let service = TowerToHyperService::new(router);
    let _ended = http.serve_connection(TokioIo::new(stream), service).await;
}

/// Proxies waiting for an offer, and clients waiting for an answer.
#[derive(Default)]
struct Meeting(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    proxies: VecDeque<WaitingProxy>,
    clients: VecDeque<WaitingClient>,
    /// Clients by the `Sid` of the proxy that has their offer.
    matched: HashMap<Bytes, oneshot::Sender<Bytes>>,
}

struct WaitingProxy {
    sid: Bytes,
    offer: oneshot::Sender<Bytes>,
}

struct WaitingClient {
    poll: Bytes,
    answer: oneshot::Sender<Bytes>,
}

impl Meeting {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_proxy(&self, sid: Bytes) -> oneshot::Receiver<Bytes> {
        let (offer, receiver) = oneshot::channel();
        let mut waiting = self.lock();
        waiting.proxies.push_back(WaitingProxy { sid, offer });
        waiting.hand_off();
        receiver
    }

    fn add_client(&self, poll: Bytes) -> oneshot::Receiver<Bytes> {
        let (answer, receiver) = oneshot::channel();
        let mut waiting = self.lock();
        waiting.clients.push_back(WaitingClient { poll, answer });
        waiting.hand_off();
        receiver
    }
}

impl Waiting {
    fn hand_off(&mut self) {
        while !self.clients.is_empty()
            && let Some(proxy) = self.proxies.pop_front()
        {
            // A proxy whose connection has closed is skipped.
            if proxy.offer.is_closed() {
                continue;
            }
            if let Some(client) = self.clients.pop_front() {
                self.matched.insert(proxy.sid, client.answer);
                let _gone = proxy.offer.send(client.poll);
            }
        }
    }
}

async fn proxy_poll(State(meeting): State<Arc<Meeting>>, request: Request) -> Response {
    let Some(sid) = whole(request).await.and_then(|body| cut(&body, "Sid")) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let Ok(poll) = meeting.add_proxy(sid).await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let Some(offer) = cut(&poll, "offer") else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    json(&[
        br#"{"Status":"client match","Offer":""#,
        &offer,
        br#"","NAT":"restricted","NextPoll":20000,"RelayURL":"wss://snowflake.torproject.net/"}"#,
    ])
}

async fn client_poll(State(meeting): State<Arc<Meeting>>, request: Request) -> Response {
    let Some(poll) = whole(request).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    match meeting.add_client(poll).await {
        Ok(answer) => json(&[br#"{"answer":""#, &answer, br#""}"#]),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn proxy_answer(State(meeting): State<Arc<Meeting>>, request: Request) -> Response {
    let Some(body) = whole(request).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let (Some(sid), Some(answer)) = (cut(&body, "Sid"), cut(&body, "Answer")) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let client = meeting.lock().matched.remove(&sid);
    match client.map(|client| client.send(answer)) {
        Some(Ok(())) => json(&[br#"{"Status":"success"}"#]),
        _ => json(&[br#"{"Status":"client gone"}"#]),
    }
}

async fn whole(request: Request) -> Option<Bytes> {
    let body = request.into_body().collect().await.ok()?;
    Some(body.to_bytes())
}

/// The string with this key, as written. All strings of the load generator end at `","`
/// or `"}`; quotes inside of them are escaped with a backslash.
fn cut(body: &Bytes, key: &str) -> Option<Bytes> {
    let before = format!("\"{key}\":\"");
    let start = find(body, before.as_bytes())? + before.len();
    let rest = &body[start..];
    let end = find(rest, b"\",\"").or_else(|| rfind(rest, b"\"}"))?;
    Some(body.slice(start..start + end))
}

fn json(parts: &[&[u8]]) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "Origin, X-Session-ID"),
    ];
    (headers, Body::from(parts.concat())).into_response()
}

fn acceptor(options: &Options) -> Result<Option<TlsAcceptor>> {
    let (Some(cert), Some(key)) = (&options.cert, &options.key) else {
        return Ok(None);
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .context("--cert")?;
    let key = PrivateKeyDer::from_pem_file(key).context("--key")?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

fn raise_file_limit() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}
