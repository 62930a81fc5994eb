//! The types and services of the protocols in `proto/`. They are generated, and
//! committed: a test compares them with the protocol files, and writes them anew if
//! `UPDATE=1` is set. Their documentation comes from the protocol files.

mod json;

use tonic::Code;

/// A status code in a word or two. tonic's own description is a sentence that drowns the
/// message of the remote end.
pub fn code_in_words(code: Code) -> &'static str {
    match code {
        Code::Ok => "fine",
        Code::Cancelled => "cancelled",
        Code::Unknown => "unknown error",
        Code::InvalidArgument => "invalid argument",
        Code::DeadlineExceeded => "not in time",
        Code::NotFound => "not found",
        Code::AlreadyExists => "there already",
        Code::PermissionDenied => "permission denied",
        Code::ResourceExhausted => "too much asked",
        Code::FailedPrecondition => "not possible now",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out of range",
        Code::Unimplemented => "not implemented",
        Code::Internal => "internal error",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data loss",
        Code::Unauthenticated => "not authenticated",
    }
}

/// The protocol files, as a serialized `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!("../proto/generated/descriptors.bin");

/// `snowflake.broker.admin`: the administration of a broker.
pub mod admin {
    /// The first version.
    #[expect(clippy::allow_attributes, clippy::pedantic, reason = "generated")]
    pub mod v1 {
        include!("../proto/generated/snowflake.broker.admin.v1.rs");
    }
}

/// `snowflake.broker.federation`: loans of proxies between brokers.
pub mod federation {
    /// The first version.
    #[expect(clippy::allow_attributes, clippy::pedantic, reason = "generated")]
    pub mod v1 {
        include!("../proto/generated/snowflake.broker.federation.v1.rs");
    }
}

/// `snowflake.broker.cluster`: messages between the nodes of a cluster.
pub mod cluster {
    /// The first version.
    #[expect(clippy::pedantic, reason = "generated")]
    pub mod v1 {
        include!("../proto/generated/snowflake.broker.cluster.v1.rs");
    }
}
