//! Errors of the transport.

use std::error::Error;
use std::time::Duration;

use http::StatusCode;
use http::uri::InvalidUri;
use tonic::Code;

use crate::causes::with_causes;

/// An endpoint or a list of headers by which there is no way to a collector.
#[derive(Debug, thiserror::Error)]
pub enum InvalidEndpoint {
    /// No URL.
    #[error(transparent)]
    Uri(#[from] InvalidUri),
    /// A URL of another kind.
    #[error("expected http://HOST:PORT or https://HOST:PORT")]
    Scheme,
    /// The list of headers cannot be read. It is not shown: there are secrets
    /// in it.
    #[error("expected name=value,name=value, percent-encoded")]
    Headers,
    /// A header of this name and its value cannot be sent.
    #[error("{0:?} cannot be the name of a header, or its value not a header's")]
    Header(String),
    /// The machine has no certificate authorities, or they cannot be read.
    #[error("TLS: the system has no certificate authorities")]
    NoAuthorities,
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(String),
}

/// A message that was not taken. Nothing that a collector said is repeated but
/// its status.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error("no reply within {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    #[error("HTTP status {}", .0.as_u16())]
    Http(StatusCode),
    #[error("gRPC status {0:?}")]
    Grpc(Code),
    #[error("the reply makes no sense")]
    BadReply,
}

impl SendError {
    pub(super) fn unreachable(error: &(dyn Error + 'static)) -> Self {
        Self::Unreachable(with_causes(error))
    }

    /// Returns true if the specification of OTLP has it tried again.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Http(status) => matches!(status.as_u16(), 429 | 502 | 503 | 504),
            Self::Grpc(code) => matches!(
                code,
                Code::Cancelled
                    | Code::DeadlineExceeded
                    | Code::Aborted
                    | Code::OutOfRange
                    | Code::Unavailable
                    | Code::DataLoss
            ),
            Self::TimedOut(_) | Self::BadReply => false,
        }
    }
}
