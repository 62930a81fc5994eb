//! A peer that lies. As a lender it claims proxies that it does not have; as a borrower
//! it sends invalid requests, or leaves before the reply.

use std::future::{pending, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use futures_util::StreamExt as _;
use hyper_util::rt::TokioIo;
use snowflake_broker::proto::federation::v1;
use snowflake_broker::proto::federation::v1::federation_client::FederationClient;
use snowflake_broker::proto::federation::v1::federation_server::{Federation, FederationServer};
use snowflake_broker::proto::federation::v1::match_offer_response::Outcome;
use snowflake_broker::proto::federation::v1::supply::State;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::{interval, sleep, timeout};
use tokio_stream::Stream;
use tokio_stream::wrappers::IntervalStream;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status};
use tower::service_fn;

use crate::simulation::invariants::{Invariants, now};
use crate::simulation::network::{addr, connect, listen};
use crate::simulation::plan::{BROKERS, LIAR, MENDED, name};
use crate::simulation::workload::millis;
use crate::support::messages::offer;

/// The bytes of the default bridge's fingerprint.
const BRIDGE: [u8; 20] = [
    0x2B, 0x28, 0x0B, 0x23, 0xE1, 0x10, 0x7B, 0xB6, 0x2A, 0xBF, 0xC4, 0x0D, 0xDC, 0xC8, 0x82, 0x48,
    0x14, 0xF8, 0x0A, 0x72,
];
/// The time that it really waits for a reply, much less than it claims.
const PATIENCE: Duration = Duration::from_secs(8);

/// Its behavior as a lender.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lie {
    /// It does not speak the protocol.
    Garbage,
    /// It never replies.
    Silent,
    /// It claims to have none after all.
    NoProxies,
    /// It waits, and then claims that no proxy has answered.
    Slow,
    /// Its reply is empty.
    Empty,
    /// Its answer is not a session description.
    Rubbish,
    /// It fails.
    Error,
}

impl Lie {
    pub(crate) fn any(rng: &mut Rng) -> Self {
        [
            Self::Garbage,
            Self::Silent,
            Self::NoProxies,
            Self::Slow,
            Self::Empty,
            Self::Rubbish,
            Self::Error,
        ][rng.usize(..7)]
    }
}

#[tonic::async_trait]
impl Federation for Lie {
    type WatchSupplyStream = Pin<Box<dyn Stream<Item = Result<v1::Supply, Status>> + Send>>;

    async fn watch_supply(
        &self,
        _: Request<v1::WatchSupplyRequest>,
    ) -> Result<Response<Self::WatchSupplyStream>, Status> {
        let pools =
            [v1::Pool::Open, v1::Pool::Moderate, v1::Pool::Strict].map(|pool| v1::PoolSupply {
                pool: pool.into(),
                proxies: 50,
            });
        let supply = v1::Supply {
            state: State::Lending.into(),
            pools: pools.into(),
            bridges: Some(v1::Bridges {
                fingerprints: vec![BRIDGE.to_vec(), b"no fingerprint".to_vec()],
            }),
            ..v1::Supply::default()
        };
        let beats = IntervalStream::new(interval(Duration::from_secs(1)));
        let reports = beats.map(move |_| Ok(supply.clone()));
        Ok(Response::new(Box::pin(reports)))
    }

    async fn match_offer(
        &self,
        _: Request<v1::MatchOfferRequest>,
    ) -> Result<Response<v1::MatchOfferResponse>, Status> {
        let outcome = match self {
            Self::Garbage | Self::Silent => pending().await,
            Self::NoProxies => Some(Outcome::NoProxies(v1::NoProxies {})),
            Self::Slow => {
                sleep(Duration::from_secs(3)).await;
                Some(Outcome::TimedOut(v1::TimedOut {}))
            }
            Self::Empty => None,
            Self::Rubbish => Some(Outcome::Answer(v1::Answer {
                answer: "rubbish".to_owned(),
            })),
            Self::Error => return Err(Status::internal("out of order")),
        };
        Ok(Response::new(v1::MatchOfferResponse { outcome }))
    }
}

/// Lies until the end of the simulation.
pub(crate) async fn run(lie: Lie, invariants: Invariants, seed: u64) -> turmoil::Result {
    tokio::spawn(pester(invariants, Rng::with_seed(seed)));
    let incoming = listen(LIAR.to_owned(), Arc::default()).await?;
    if let Lie::Garbage = lie {
        let talk = |wire: io::Result<_>| async {
            if let Ok(mut wire) = wire {
                babble(&mut wire).await;
            }
        };
        incoming.for_each_concurrent(None, talk).await;
        return Ok(());
    }
    let server = Server::builder().add_service(FederationServer::new(lie));
    Ok(server.serve_with_incoming(incoming).await?)
}

/// Sends data outside the protocol, for a while.
async fn babble(wire: &mut (impl AsyncWrite + Unpin)) {
    for _ in 0..3 {
        if wire.write_all(b"\x00\xff gibberish \r\n").await.is_err() {
            return;
        }
        sleep(Duration::from_millis(300)).await;
    }
}

/// Borrows in invalid ways.
async fn pester(invariants: Invariants, mut rng: Rng) {
    for number in 0.. {
        sleep(millis(&mut rng, 50, 500)).await;
        if now() >= MENDED {
            return;
        }
        let broker = addr(&name(rng.usize(..BROKERS)));
        let (invariants, rng) = (invariants.clone(), rng.fork());
        tokio::spawn(async move {
            let client = format!("{LIAR}.{number}");
            let asked = ask(&broker, &client, &invariants, rng);
            drop(timeout(PATIENCE, asked).await);
        });
    }
}

/// Asks a broker for a proxy in a random way.
async fn ask(broker: &str, client: &str, invariants: &Invariants, mut rng: Rng) -> io::Result<()> {
    let (mut stream, _) = connect(LIAR, broker).await?;
    let way = rng.usize(..4);
    if way == 0 {
        babble(&mut stream).await;
        return Ok(());
    }
    let mut stream = Some(TokioIo::new(stream));
    let connector = service_fn(move |_| ready(stream.take().ok_or("there is only one")));
    let endpoint = Endpoint::from_static("http://peer");
    let connected = endpoint.connect_with_connector(connector).await;
    let mut lender = FederationClient::new(connected.map_err(io::Error::other)?);
    invariants.liar_asks(client);
    let mut message = request(client);
    match way {
        1 => spoil(&mut message, &mut rng),
        2 => {
            let until = millis(&mut rng, 0, 2_000);
            drop(timeout(until, lender.match_offer(message)).await);
            return Ok(());
        }
        _ => {}
    }
    let mut patient = Request::new(message);
    patient.set_timeout(Duration::from_hours(1));
    drop(lender.match_offer(patient).await);
    Ok(())
}

fn request(client: &str) -> v1::MatchOfferRequest {
    v1::MatchOfferRequest {
        offer: offer(client),
        nat: v1::Nat::Restricted.into(),
        fingerprint: BRIDGE.to_vec(),
        rendezvous: v1::Rendezvous::Http.into(),
        attempt: 1,
        ..v1::MatchOfferRequest::default()
    }
}

/// Makes the request invalid.
fn spoil(request: &mut v1::MatchOfferRequest, rng: &mut Rng) {
    match rng.usize(..5) {
        0 => request.offer.truncate(1),
        1 => request.offer = "x".repeat(1_000_000),
        2 => request.fingerprint = vec![0; 3],
        3 => request.attempt = 0,
        _ => (request.nat, request.attempt) = (4711, u32::MAX),
    }
}
