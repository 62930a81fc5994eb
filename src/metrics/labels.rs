//! The labels by which things are counted.

mod peers;
mod word;

use std::fmt::{self, Write as _};

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

use crate::geoip::CountryCode;
use crate::wire::nat::{NatClass, NatType};
use crate::wire::proxy::ProxyType;

pub use peers::{CircuitState, LoanOutcome, LoanRefusal, PeerName};
pub(super) use word::{Label, deserialize, serialize};

use word::{labels, words};

words!(NatType, NatClass, ProxyType);

labels! {
    /// The way by which a client's poll came, in the order of the metrics log.
    pub enum Rendezvous {
        /// Straight to `/client`.
        Http = "http",
        /// Through an AMP cache.
        Ampcache = "ampcache",
        /// Through Amazon SQS.
        Sqs = "sqs",
    }

    /// The outcome of a proxy's poll.
    pub enum PollOutcome {
        /// It took a client's offer with it.
        Matched = "matched",
        /// Nobody came.
        Idle = "idle",
        /// It was turned away, for one of the [`Refusal`]s.
        Refused = "refused",
        /// The proxy left before the end.
        Abandoned = "abandoned",
    }

    /// The outcome of a client's poll.
    pub enum ClientOutcome {
        /// It got a proxy's answer.
        Matched = "matched",
        /// There was no proxy for it.
        Denied = "denied",
        /// Its proxy did not answer in time.
        TimedOut = "timed_out",
        /// It was turned away, for one of the [`Refusal`]s.
        Refused = "refused",
        /// The client left before the end.
        Abandoned = "abandoned",
    }

    /// The outcome of a proxy's answer.
    pub enum AnswerFate {
        /// Its client got it.
        Delivered = "delivered",
        /// Its client had timed out.
        TooLate = "too_late",
        /// Its client had the answer of another proxy.
        Beaten = "beaten",
        /// Its client had left.
        ClientLeft = "client_left",
        /// This proxy had answered before.
        Repeated = "repeated",
        /// Nothing is known of an offer to this proxy.
        Unknown = "unknown",
        /// It was not understood.
        Refused = "refused",
    }

    /// The request of somebody who was turned away.
    pub enum Request {
        /// A proxy that polled.
        ProxyPoll = "proxy_poll",
        /// A client that polled.
        ClientPoll = "client_poll",
        /// A proxy that answered.
        ProxyAnswer = "proxy_answer",
    }

    /// The reason for which somebody was turned away.
    pub enum Refusal {
        /// The proxy does not accept every relay.
        Pattern = "pattern",
        /// A poll with this `Sid` waits already.
        SidInUse = "sid_in_use",
        /// More proxies polled from one address than may.
        TooSoon = "too_soon",
        /// More of these came from one address than may.
        Limit = "limit",
        /// As much waits already as may, in numbers or in bytes.
        Overloaded = "overloaded",
        /// Its body did not come in time.
        TooSlow = "too_slow",
        /// Its body ended before its end.
        CutOff = "cut_off",
        /// The request was not understood.
        BadRequest = "bad_request",
        /// The client's bridge is not in the list.
        UnknownBridge = "unknown_bridge",
        /// It lay in a queue for longer than its client waits.
        Stale = "stale",
    }

    /// Which limit of the listener ended a connection, or kept it from being served.
    pub enum DropReason {
        /// As many are open as may.
        Connections = "connections",
        /// As many are open from this address as may.
        ConnectionsPerPeer = "connections_per_peer",
        /// It did not begin with a PROXY header of a reverse proxy of ours.
        ProxyProtocol = "proxy_protocol",
        /// The head of a request did not come in time.
        HeadTimeout = "head_timeout",
        /// No request came for long.
        IdleTimeout = "idle_timeout",
        /// Over HTTP/2 more came to nothing than may: streams that are reset, frames
        /// that carry nothing.
        Http2Abuse = "http2_abuse",
        /// A response was not taken in time.
        WriteTimeout = "write_timeout",
        /// There was no room for more of its head, or of its TLS handshake.
        Memory = "memory",
        /// It was idle, and others needed its place or its memory.
        Revoked = "revoked",
    }

    /// The reason for which a TLS handshake came to nothing.
    pub enum HandshakeFailure {
        /// The peer did not speak TLS, or not ours.
        Error = "error",
        /// It took too long.
        Timeout = "timeout",
    }

    /// A listener of gRPC calls.
    pub enum GrpcListener {
        /// The administration.
        Admin = "admin",
        /// The federation: other brokers.
        Federation = "federation",
    }

    /// The outcome of an order of a certificate.
    pub enum OrderOutcome {
        /// There is a new certificate.
        Issued = "issued",
        /// The authority said no.
        Refused = "refused",
        /// The authority could not be asked, or something else went wrong.
        Failed = "failed",
    }

    /// The paths of the broker.
    pub enum Endpoint {
        /// `/client`.
        Client = "client",
        /// `/proxy`.
        Proxy = "proxy",
        /// `/answer`.
        Answer = "answer",
        /// `/amp/client/...`.
        Amp = "amp",
        /// `/debug`.
        Debug = "debug",
        /// `/metrics`.
        Metrics = "metrics",
        /// `/prometheus`.
        Prometheus = "prometheus",
        /// `/livez`.
        Livez = "livez",
        /// `/readyz`.
        Readyz = "readyz",
        /// `/robots.txt`.
        Robots = "robots",
        /// None of ours.
        Other = "other",
    }

    /// A status code as far as the broker sends it.
    pub enum StatusCode {
        /// 200.
        Ok = "200",
        /// 304.
        NotModified = "304",
        /// 400.
        BadRequest = "400",
        /// 404.
        NotFound = "404",
        /// 429.
        TooManyRequests = "429",
        /// 503.
        ServiceUnavailable = "503",
        /// 504.
        GatewayTimeout = "504",
        /// None of these.
        Other = "other",
    }

    /// A call of SQS, by the name that Amazon gave it, in policies too.
    pub enum QueueCall {
        /// Finds the queue that clients write to.
        GetQueueUrl = "GetQueueUrl",
        /// Creates it, or a reply queue.
        CreateQueue = "CreateQueue",
        /// Waits for messages.
        ReceiveMessage = "ReceiveMessage",
        /// Sends a response.
        SendMessage = "SendMessage",
        /// Deletes a message that is answered.
        DeleteMessage = "DeleteMessage",
        /// Lists reply queues.
        ListQueues = "ListQueues",
        /// Asks how old a reply queue is.
        GetQueueAttributes = "GetQueueAttributes",
        /// Deletes a reply queue.
        DeleteQueue = "DeleteQueue",
    }
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

impl EncodeLabelValue for CountryCode {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(self.as_str())
    }
}
