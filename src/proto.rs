//! The types and services of the protocols under `proto/`, generated when this
//! is built. The documentation is that of the protocol files.

/// What the protocol files say, as a serialised `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// `snowflake.broker.admin`: the administration of a broker.
pub mod admin {
    /// The first version.
    #[expect(clippy::allow_attributes, clippy::pedantic, reason = "generated")]
    pub mod v1 {
        tonic::include_proto!("snowflake.broker.admin.v1");
    }
}

/// `snowflake.broker.federation`: brokers that lend each other proxies.
pub mod federation {
    /// The first version.
    #[expect(clippy::allow_attributes, clippy::pedantic, reason = "generated")]
    pub mod v1 {
        tonic::include_proto!("snowflake.broker.federation.v1");
    }
}
