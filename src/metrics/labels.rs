//! By what things are counted.

mod peers;
mod queue_call;
mod word;

use std::fmt::{self, Write as _};

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

use crate::geoip::CountryCode;
use crate::wire::nat::{NatClass, NatType};
use crate::wire::proxy::ProxyType;

pub use peers::{CircuitState, LoanOutcome, LoanRefusal, PeerName};
pub use queue_call::QueueCall;
pub(super) use word::{Label, deserialize, serialize, words};

use word::words_of_the_wire;

/// The way by which a client's poll came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rendezvous {
    /// Straight to `/client`.
    Http,
    /// Through an AMP cache.
    Ampcache,
    /// Through Amazon SQS.
    Sqs,
}

impl Rendezvous {
    /// All of them, in the order of the metrics log.
    pub const ALL: [Self; 3] = [Self::Http, Self::Ampcache, Self::Sqs];

    /// The word in the metrics log and in Prometheus labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Ampcache => "ampcache",
            Self::Sqs => "sqs",
        }
    }
}

impl fmt::Display for Rendezvous {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The outcome of a proxy's poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PollOutcome {
    /// It took a client's offer with it.
    Matched,
    /// Nobody came.
    Idle,
    /// It was turned away, for one of the [`Refusal`]s.
    Refused,
    /// The proxy left before the end.
    Abandoned,
}

/// The outcome of a client's poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClientOutcome {
    /// It got a proxy's answer.
    Matched,
    /// There was no proxy for it.
    Denied,
    /// Its proxy did not answer in time.
    TimedOut,
    /// It was turned away, for one of the [`Refusal`]s.
    Refused,
    /// The client left before the end.
    Abandoned,
}

impl ClientOutcome {
    /// The word in Prometheus labels and in traces.
    pub fn as_str(self) -> &'static str {
        self.word()
    }
}

/// The outcome of a proxy's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AnswerFate {
    /// Its client got it.
    Delivered,
    /// Its client had timed out.
    TooLate,
    /// Its client had the answer of another proxy.
    Beaten,
    /// Its client had left.
    ClientLeft,
    /// This proxy had answered before.
    Repeated,
    /// Nothing is known of an offer to this proxy.
    Unknown,
    /// It was not understood.
    Refused,
}

/// The request of somebody who was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Request {
    /// A proxy that polled.
    ProxyPoll,
    /// A client that polled.
    ClientPoll,
    /// A proxy that answered.
    ProxyAnswer,
}

/// The reason for which somebody was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// The proxy does not accept every relay.
    Pattern,
    /// A poll with this `Sid` waits already.
    SidInUse,
    /// More proxies polled from one address than may.
    TooSoon,
    /// More of these came from one address than may.
    Limit,
    /// As much waits already as may, in numbers or in bytes.
    Overloaded,
    /// Its body did not come in time.
    TooSlow,
    /// Its body ended before its end.
    CutOff,
    /// The request was not understood.
    BadRequest,
    /// The client's bridge is not in the list.
    UnknownBridge,
    /// It lay in a queue for longer than its client waits.
    Stale,
}

/// Which limit of the listener ended a connection, or kept it from being served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DropReason {
    /// As many are open as may.
    Connections,
    /// As many are open from this address as may.
    ConnectionsPerPeer,
    /// It did not begin with a PROXY header of a reverse proxy of ours.
    ProxyProtocol,
    /// The head of a request did not come in time.
    HeadTimeout,
    /// No request came for long.
    IdleTimeout,
    /// Over HTTP/2 more came to nothing than may: streams that are reset, frames
    /// that carry nothing.
    Http2Abuse,
    /// A response was not taken in time.
    WriteTimeout,
    /// There was no room for more of its head, or of its TLS handshake.
    Memory,
    /// It was idle, and others needed its place or its memory.
    Revoked,
}

/// The reason for which a TLS handshake came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HandshakeFailure {
    /// The peer did not speak TLS, or not ours.
    Error,
    /// It took too long.
    Timeout,
}

/// A listener of gRPC calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GrpcListener {
    /// The administration.
    Admin,
    /// The federation: other brokers.
    Federation,
}

impl GrpcListener {
    /// The setting that says where it is.
    pub fn setting(self) -> &'static str {
        match self {
            Self::Admin => "admin.listen",
            Self::Federation => "federation.listen",
        }
    }
}

/// The outcome of an order of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OrderOutcome {
    /// There is a new certificate.
    Issued,
    /// The authority said no.
    Refused,
    /// The authority could not be asked, or something else went wrong.
    Failed,
}

/// The paths of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// `/client`.
    Client,
    /// `/proxy`.
    Proxy,
    /// `/answer`.
    Answer,
    /// `/amp/client/...`.
    Amp,
    /// `/debug`.
    Debug,
    /// `/metrics`.
    Metrics,
    /// `/prometheus`.
    Prometheus,
    /// `/livez`.
    Livez,
    /// `/readyz`.
    Readyz,
    /// `/robots.txt`.
    Robots,
    /// None of ours.
    Other,
}

/// A status code as far as the broker sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StatusCode {
    /// 200.
    Ok,
    /// 304.
    NotModified,
    /// 400.
    BadRequest,
    /// 404.
    NotFound,
    /// 429.
    TooManyRequests,
    /// 503.
    ServiceUnavailable,
    /// 504.
    GatewayTimeout,
    /// None of these.
    Other,
}

words_of_the_wire!(Rendezvous, NatType, NatClass, ProxyType, QueueCall);

words! {
    PollOutcome {
        Matched = "matched", Idle = "idle", Refused = "refused", Abandoned = "abandoned",
    }
    ClientOutcome {
        Matched = "matched", Denied = "denied", TimedOut = "timed_out", Refused = "refused",
        Abandoned = "abandoned",
    }
    AnswerFate {
        Delivered = "delivered", TooLate = "too_late", Beaten = "beaten",
        ClientLeft = "client_left", Repeated = "repeated", Unknown = "unknown",
        Refused = "refused",
    }
    Request {
        ProxyPoll = "proxy_poll", ClientPoll = "client_poll", ProxyAnswer = "proxy_answer",
    }
    Refusal {
        Pattern = "pattern", SidInUse = "sid_in_use", TooSoon = "too_soon", Limit = "limit",
        Overloaded = "overloaded", TooSlow = "too_slow", CutOff = "cut_off", BadRequest = "bad_request",
        UnknownBridge = "unknown_bridge", Stale = "stale",
    }
    DropReason {
        Connections = "connections", ConnectionsPerPeer = "connections_per_peer",
        ProxyProtocol = "proxy_protocol", HeadTimeout = "head_timeout",
        IdleTimeout = "idle_timeout", Http2Abuse = "http2_abuse",
        WriteTimeout = "write_timeout", Memory = "memory", Revoked = "revoked",
    }
    HandshakeFailure { Error = "error", Timeout = "timeout" }
    GrpcListener { Admin = "admin", Federation = "federation" }
    OrderOutcome { Issued = "issued", Refused = "refused", Failed = "failed" }
    Endpoint {
        Client = "client", Proxy = "proxy", Answer = "answer", Amp = "amp", Debug = "debug",
        Metrics = "metrics", Prometheus = "prometheus", Livez = "livez", Readyz = "readyz",
        Robots = "robots", Other = "other",
    }
    StatusCode {
        Ok = "200", NotModified = "304", BadRequest = "400", NotFound = "404",
        TooManyRequests = "429", ServiceUnavailable = "503", GatewayTimeout = "504", Other = "other",
    }
}

impl EncodeLabelValue for CountryCode {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(self.as_str())
    }
}
