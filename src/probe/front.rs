//! The HTTP endpoint `/probe`, and the probes that it begins.

use std::fmt::{self, Display};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use fastrand::Rng;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONNECTION,
    CONTENT_TYPE,
};
use http::request::Parts;
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use tokio::net::UdpSocket;
use tokio::time::timeout;
use tracing::Level;

use super::candidates::usable;
use super::driver;
use super::session::{NoIdentity, ProbeIdentity, ProbeSession, UnusableOffer};
use super::settings::Settings;
use super::slots::{NoSlot, ProbeSlot, ProbeSlots};
use crate::broker::clock;
use crate::listener::ConnectionHandle;
use crate::listener::accounts::{Accounts, NoRoom, Payer, Reservation};
use crate::metrics::Metrics;
use crate::metrics::labels::{NatProbeMode, NatProbeOutcome};
use crate::telemetry::{Kind, LogLimit};
use crate::wire::nat_probe::{self, InvalidNatProbe};
use crate::wire::session_description::SessionDescription;

/// The longest body, as at the reference server.
const BODY_MAX: usize = 100_000;
/// The time for a body to arrive; proxies wait 10 s for the answer to theirs.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// The memory of a probe in bytes: see docs/probe.md.
const PROBE_COST: usize = 64 * 1024;
/// The ports that are tried for a probe before it is refused.
const PORTS_TRIED: usize = 32;

static REFUSED: LazyLock<LogLimit> = LazyLock::new(|| {
    let kind = Kind::new(Level::INFO, "refused NAT probes");
    LogLimit::new(kind, 10, Duration::from_mins(1))
});

/// Tells the address that a request with this head counts against; `None` if it is not known.
pub type Sender = Box<dyn Fn(&Parts) -> Option<IpAddr> + Send + Sync>;

/// The parts of a probe server that come from outside.
pub struct ProbeSources {
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The accounts that pay for the memory of probes.
    pub accounts: Arc<Accounts>,
    /// Tells the address that a request counts against.
    pub sender: Sender,
    /// Runs a probe, which ends by itself within 15 s.
    pub spawn: Box<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>,
    /// Binds a UDP socket.
    pub bind: fn(SocketAddr) -> io::Result<UdpSocket>,
    /// Returns true for addresses that probes may send to.
    pub may_send_to: fn(IpAddr) -> bool,
    /// False if proxies may have sent to the address of strict probes before, so that none
    /// is tried: what cannot be told counts as the harder NAT.
    pub tells_strangers: bool,
    /// The seed of the order in which ports are tried.
    pub seed: u64,
}

/// The probe server.
#[derive(Clone, Debug)]
pub struct NatProbe(Arc<ProbeServer>);

struct ProbeServer {
    settings: Settings,
    sources: ProbeSources,
    identity: ProbeIdentity,
    slots: Arc<ProbeSlots>,
    ports: Mutex<Rng>,
}

impl fmt::Debug for ProbeServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ProbeServer(..)")
    }
}

/// A reason why a request gets no probe.
#[derive(Debug, thiserror::Error)]
enum RefusedProbe {
    #[error(transparent)]
    Slot(#[from] NoSlot),
    #[error("all requests together exceed http.max_bytes_in_flight")]
    Memory(#[from] NoRoom),
    #[error("the body is too long, or did not arrive in time")]
    Body,
    #[error(transparent)]
    Request(#[from] InvalidNatProbe),
    #[error(transparent)]
    Offer(#[from] UnusableOffer),
    #[error("no port of probe.ports is free")]
    Ports,
}

impl NatProbe {
    /// A probe server.
    ///
    /// # Errors
    /// Fails if it cannot make a certificate.
    pub fn new(settings: Settings, sources: ProbeSources) -> Result<Self, NoIdentity> {
        Ok(Self(Arc::new(ProbeServer {
            slots: ProbeSlots::new(settings.max_probes, settings.max_probes_per_address),
            identity: ProbeIdentity::new()?,
            ports: Mutex::new(Rng::with_seed(sources.seed)),
            settings,
            sources,
        })))
    }

    /// Its endpoint.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/probe", any(serve))
            .with_state(Arc::clone(&self.0))
    }
}

/// Serves a request. Pages of any origin may ask: some proxies are web extensions.
async fn serve(State(server): State<Arc<ProbeServer>>, request: Request<Body>) -> Response {
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::OK.into_response()
    } else {
        server.respond(request).await
    };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Origin, X-Session-ID"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl ProbeServer {
    async fn respond(self: &Arc<Self>, request: Request<Body>) -> Response {
        let Some(mode) = mode(request.uri()) else {
            self.ended(NatProbeMode::Strict, NatProbeOutcome::BadRequest);
            log(&"InCoSim is neither strict nor moderate");
            return StatusCode::BAD_REQUEST.into_response();
        };
        match self.begin(mode, request).await {
            Ok(answer) => ([(CONTENT_TYPE, "application/json")], answer).into_response(),
            Err(refused) => {
                let (status, outcome) = refused.verdict();
                self.ended(mode, outcome);
                log(&refused);
                match refused {
                    // The rest of the body is missing.
                    RefusedProbe::Body => (status, [(CONNECTION, "close")]).into_response(),
                    _ => status.into_response(),
                }
            }
        }
    }

    /// Begins a probe. Returns the body of the response.
    async fn begin(
        self: &Arc<Self>,
        mode: NatProbeMode,
        request: Request<Body>,
    ) -> Result<Vec<u8>, RefusedProbe> {
        let (head, body) = request.into_parts();
        let sender = (self.sources.sender)(&head);
        let slot = self.slots.take(sender)?;
        let payer = sender.map_or(Payer::Many, Payer::Address);
        let memory = self.sources.accounts.open(payer, PROBE_COST + BODY_MAX)?;
        let offer = read_offer(&head, body).await?;
        memory.shrink(BODY_MAX);
        let socket = self.bind(mode).ok_or(RefusedProbe::Ports)?;
        let local = socket.local_addr().map_err(|_| RefusedProbe::Ports)?;
        let usable = usable(&offer, local.ip(), self.sources.may_send_to);
        let usable = usable.map_err(UnusableOffer::from)?;
        let begun = ProbeSession::begin(&self.identity, &usable, local, mode, clock::now());
        let (session, answer) = begun?;
        let body = nat_probe::encode_answer(&description("answer", &answer)?);
        if mode == NatProbeMode::Strict && !self.sources.tells_strangers {
            self.ended(mode, NatProbeOutcome::Assumed);
        } else if usable.candidates == 0 {
            self.ended(mode, NatProbeOutcome::NotConnected);
        } else {
            let probe = ProbeUnderWay {
                slot,
                memory,
                ended: ProbeEnd {
                    server: Arc::clone(self),
                    mode,
                    outcome: NatProbeOutcome::CutShort,
                },
            };
            (self.sources.spawn)(probe.run(Box::new(session), socket).boxed());
        }
        Ok(body)
    }

    /// A socket for a probe of this mode at a free port; `None` if none is found.
    fn bind(&self, mode: NatProbeMode) -> Option<UdpSocket> {
        let address = self.settings.address(mode)?;
        let ports = self.settings.ports;
        let start = {
            let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
            ports.usize(..)
        };
        let mut tried = ports.from(start).take(PORTS_TRIED);
        tried.find_map(|port| (self.sources.bind)(SocketAddr::new(address, port)).ok())
    }

    fn ended(&self, mode: NatProbeMode, outcome: NatProbeOutcome) {
        self.sources.metrics.nat_probe_ended(mode, outcome);
    }

    fn show_count(&self) {
        let count = self.slots.count();
        self.sources.metrics.nat_probes_under_way(count);
    }
}

/// A probe under way, with all that it holds.
struct ProbeUnderWay {
    slot: ProbeSlot,
    memory: Reservation,
    /// Last, as it counts the slots.
    ended: ProbeEnd,
}

/// Counts a probe on drop, whatever has ended it.
struct ProbeEnd {
    server: Arc<ProbeServer>,
    mode: NatProbeMode,
    outcome: NatProbeOutcome,
}

impl Drop for ProbeEnd {
    fn drop(&mut self) {
        self.server.ended(self.mode, self.outcome);
        self.server.show_count();
    }
}

impl ProbeUnderWay {
    async fn run(mut self, session: Box<ProbeSession>, socket: UdpSocket) {
        self.ended.server.show_count();
        self.ended.outcome = tokio::select! {
            has_opened = driver::run(session, socket) => {
                if has_opened {
                    NatProbeOutcome::Connected
                } else {
                    NatProbeOutcome::NotConnected
                }
            }
            () = self.memory.revoked() => NatProbeOutcome::CutShort,
        };
        drop(self.slot);
    }
}

/// Reads the proxy's offer: its SDP.
async fn read_offer(head: &Parts, body: Body) -> Result<String, RefusedProbe> {
    let whole = Limited::new(body, BODY_MAX).collect();
    let read = timeout(BODY_TIMEOUT, whole).await;
    let Ok(Ok(body)) = read else {
        return Err(RefusedProbe::Body);
    };
    if let Some(connection) = head.extensions.get::<ConnectionHandle>() {
        connection.request_read();
    }
    let offer = nat_probe::decode_offer(&body.to_bytes())?;
    offer.offered_sdp().ok_or(UnusableOffer::Sdp.into())
}

/// The mode that a request asks for by `InCoSim`; older proxies do not, and mean the
/// strict one. `None` for another word.
fn mode(target: &Uri) -> Option<NatProbeMode> {
    let query = target.query().unwrap_or_default();
    let asked = query
        .split('&')
        .find_map(|field| field.strip_prefix("InCoSim="));
    match asked {
        None | Some("" | "strict") => Some(NatProbeMode::Strict),
        Some("moderate") => Some(NatProbeMode::Moderate),
        Some(_) => None,
    }
}

/// A session description as JSON.
fn description(kind: &str, sdp: &str) -> Result<SessionDescription, UnusableOffer> {
    let json = serde_json::json!({ "type": kind, "sdp": sdp });
    SessionDescription::parse(&json.to_string()).map_err(|_| UnusableOffer::Sdp)
}

impl RefusedProbe {
    /// The status of the response, and the label under which it is counted.
    fn verdict(&self) -> (StatusCode, NatProbeOutcome) {
        match self {
            Self::Slot(NoSlot::OfNetwork) => {
                (StatusCode::TOO_MANY_REQUESTS, NatProbeOutcome::Limit)
            }
            Self::Slot(NoSlot::InAll) | Self::Memory(_) | Self::Ports => {
                (StatusCode::SERVICE_UNAVAILABLE, NatProbeOutcome::Overloaded)
            }
            Self::Body | Self::Request(_) | Self::Offer(_) => {
                (StatusCode::BAD_REQUEST, NatProbeOutcome::BadRequest)
            }
        }
    }
}

/// Logs a refusal, up to 10 a minute.
fn log(reason: &dyn Display) {
    if let Some(suppressed) = REFUSED.admit(clock::now()) {
        tracing::info!(suppressed, "refused a proxy's NAT probe: {reason}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_that_do_not_say_mean_the_strict_mode() {
        for (target, expected) in [
            ("/probe", Some(NatProbeMode::Strict)),
            ("/probe?InCoSim=strict", Some(NatProbeMode::Strict)),
            ("/probe?InCoSim=", Some(NatProbeMode::Strict)),
            ("/probe?a=b&InCoSim=moderate", Some(NatProbeMode::Moderate)),
            ("/probe?InCoSim=lenient", None),
        ] {
            assert_eq!(mode(&target.parse().unwrap()), expected, "{target}");
        }
    }
}
