//! Labels of the counters.

mod bridges;
mod nat_probes;
mod peers;
mod private_pools;
mod rules;
mod word;

use std::fmt::{self, Write as _};

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

use crate::geoip::CountryCode;
use crate::wire::nat::{NatClass, NatType};
use crate::wire::proxy::ProxyType;

pub use crate::wire::rendezvous_method::Rendezvous;
pub use bridges::{BridgeCondition, BridgeState, ProbeResult};
pub use nat_probes::{NatProbeMode, NatProbeOutcome};
pub use peers::{CircuitState, LoanOutcome, LoanRefusal, PeerName};
pub use private_pools::PrivatePoolName;
pub use rules::{RuleLabel, RuleResult};
pub(super) use word::{Label, deserialize, serialize};

use word::{labels, words};

words!(NatType, NatClass, Rendezvous);

labels! {
    /// The outcome of a proxy's poll.
    pub enum PollOutcome {
        /// The poll was answered with a client's offer.
        Matched = "matched",
        /// No client came in time.
        Idle = "idle",
        /// The poll was refused for one of the [`Refusal`]s.
        Refused = "refused",
        /// The proxy disconnected before the end.
        Abandoned = "abandoned",
    }

    /// The outcome of a client's poll.
    pub enum ClientOutcome {
        /// The client got a proxy's answer.
        Matched = "matched",
        /// No proxy was available.
        Denied = "denied",
        /// The proxy did not answer in time.
        TimedOut = "timed_out",
        /// The poll was refused for one of the [`Refusal`]s.
        Refused = "refused",
        /// The client disconnected before the end.
        Abandoned = "abandoned",
    }

    /// The outcome of a proxy's answer.
    pub enum AnswerFate {
        /// The client got the answer.
        Delivered = "delivered",
        /// The client had timed out.
        TooLate = "too_late",
        /// The client had the answer of another proxy.
        Beaten = "beaten",
        /// The client had disconnected.
        ClientLeft = "client_left",
        /// This proxy had answered before.
        Repeated = "repeated",
        /// The proxy said that it cannot answer, and the client went to another.
        Declined = "declined",
        /// No offer to this proxy is known.
        Unknown = "unknown",
        /// The answer was refused for one of the [`Refusal`]s.
        Refused = "refused",
    }

    /// The outcome of an answer that was passed on to the other nodes of the cluster.
    pub enum StrayAnswerFate {
        /// A client at another node gets the answer.
        Delivered = "delivered",
        /// Its client at another node has gone or has another answer.
        ClientGone = "client_gone",
        /// No node knows its Sid, or none has replied in time.
        Unknown = "unknown",
    }

    /// The reason why a message of the cluster was not sent or not heeded.
    pub enum DroppedMessage {
        /// The bus took no message, or no message of ours comes back from it.
        NotSent = "not_sent",
        /// It was not sealed with a key of the cluster, or changed on its way.
        NotSealed = "not_sealed",
        /// It was malformed.
        Malformed = "malformed",
        /// It came too late to be of use.
        Late = "late",
        /// It had come before.
        Repeated = "repeated",
        /// Too many nodes are known, or too many messages were waiting.
        Overloaded = "overloaded",
    }

    /// The kind of a refused request.
    pub enum Request {
        /// A proxy's poll.
        ProxyPoll = "proxy_poll",
        /// A client's poll.
        ClientPoll = "client_poll",
        /// A proxy's answer.
        ProxyAnswer = "proxy_answer",
    }

    /// The reason for refusing a request.
    pub enum Refusal {
        /// The proxy's relay pattern does not cover the allowed one.
        Pattern = "pattern",
        /// Another poll with this `Sid` is parked.
        SidInUse = "sid_in_use",
        /// Too many proxies polled from one address.
        TooSoon = "too_soon",
        /// Too many requests of this kind came from one address.
        Limit = "limit",
        /// Too many requests are waiting, by number or by bytes.
        Overloaded = "overloaded",
        /// The proxy's source has had as many clients in the last minute as it may.
        SourceMatches = "source_matches",
        /// The proxy's source has too many offers without an answer.
        SourceUnanswered = "source_unanswered",
        /// The proxy's source has failed several times in a row.
        SourceResting = "source_resting",
        /// The proxy's source has too many parked polls.
        SourceParked = "source_parked",
        /// The network around the proxy's source has what it may have.
        NetworkShare = "network_share",
        /// The request's body did not arrive in time.
        TooSlow = "too_slow",
        /// The request's body ended early.
        CutOff = "cut_off",
        /// The request was malformed.
        BadRequest = "bad_request",
        /// The client's bridge is not in the bridge list.
        UnknownBridge = "unknown_bridge",
        /// No address of the client's bridge is up.
        BridgeDraining = "bridge_draining",
        /// The message was in its queue for longer than its client waits.
        Stale = "stale",
    }

    /// The listener's limit that closed a connection or turned it away.
    pub enum DropReason {
        /// Too many connections were open.
        Connections = "connections",
        /// Too many connections from this address were open.
        ConnectionsPerPeer = "connections_per_peer",
        /// The connection did not begin with a PROXY header from one of our reverse
        /// proxies.
        ProxyProtocol = "proxy_protocol",
        /// The head of a request did not arrive in time.
        HeadTimeout = "head_timeout",
        /// No request arrived for too long.
        IdleTimeout = "idle_timeout",
        /// Too many HTTP/2 streams were reset or frames carried nothing.
        Http2Abuse = "http2_abuse",
        /// The response was not read in time.
        WriteTimeout = "write_timeout",
        /// No memory was left for the head of a request or the TLS handshake.
        Memory = "memory",
        /// The idle connection's slot or memory was needed by others.
        Revoked = "revoked",
    }

    /// The reason why a TLS handshake failed.
    pub enum HandshakeFailure {
        /// The remote end did not speak TLS, or no version or cipher that we do.
        Error = "error",
        /// The handshake took too long.
        Timeout = "timeout",
    }

    /// The outcome of a match, as far as the broker can see it.
    pub enum MatchOutcome {
        /// The client had its answer and did not come back.
        Worked = "worked",
        /// The client had its answer and soon came back.
        Failed = "failed",
        /// The client had its answer, and cannot be told from others.
        Unknown = "unknown",
        /// The proxy did not answer in time.
        Unanswered = "unanswered",
    }

    /// The result of an episode of a client: of its requests until it is served or gives up.
    pub enum EpisodeResult {
        /// A match worked whose answer came within two minutes of the first request.
        Served = "served",
        /// No match worked within two minutes of the first request.
        Unserved = "unserved",
        /// The client cannot be told from others, or came back too late to say.
        Unknown = "unknown",
    }

    /// A listener for gRPC calls.
    pub enum GrpcListener {
        /// The administration listener.
        Admin = "admin",
        /// The listener for peers.
        Federation = "federation",
    }

    /// The outcome of a certificate order.
    pub enum OrderOutcome {
        /// A new certificate was issued.
        Issued = "issued",
        /// The certificate authority refused the order.
        Refused = "refused",
        /// The certificate authority was unreachable, or something else failed.
        Failed = "failed",
    }

    /// The broker's HTTP endpoints.
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
        /// The status page, and everything that belongs to it.
        Status = "status",
        /// `/robots.txt`.
        Robots = "robots",
        /// Any other path.
        Other = "other",
    }

    /// A status code that the broker sends.
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
        /// Any other code.
        Other = "other",
    }

    /// An SQS call, under Amazon's name, which access policies also use.
    pub enum QueueCall {
        /// Finds the queue that clients write to.
        GetQueueUrl = "GetQueueUrl",
        /// Creates that queue, or a reply queue.
        CreateQueue = "CreateQueue",
        /// Waits for messages.
        ReceiveMessage = "ReceiveMessage",
        /// Sends a response.
        SendMessage = "SendMessage",
        /// Deletes an answered message.
        DeleteMessage = "DeleteMessage",
        /// Lists reply queues.
        ListQueues = "ListQueues",
        /// Reads the age of a reply queue.
        GetQueueAttributes = "GetQueueAttributes",
        /// Deletes a reply queue.
        DeleteQueue = "DeleteQueue",
    }
}

impl GrpcListener {
    /// The setting with the listener's address.
    pub fn setting(self) -> &'static str {
        match self {
            Self::Admin => "admin.listen",
            Self::Federation => "federation.listen",
        }
    }
}

impl EncodeLabelValue for ProxyType {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(self.as_str())
    }
}

impl EncodeLabelValue for CountryCode {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(self.as_str())
    }
}
