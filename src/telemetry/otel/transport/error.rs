//! Failed exports.

use std::error::Error;
use std::time::Duration;

use http::StatusCode;
use tonic::Code;

use crate::causes::with_causes;

/// A failed export. Of a collector's reply, only the status is kept.
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
    #[error("the reply cannot be understood")]
    BadReply,
}

impl SendError {
    pub(super) fn unreachable(error: &(dyn Error + 'static)) -> Self {
        Self::Unreachable(with_causes(error))
    }

    /// Returns true if the OTLP specification allows a retry.
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
