//! A Snowflake broker: it introduces censored clients to volunteer proxies.
//!
//! The layers; each imports only from those above it:
//!
//! - [`wire`]: what the bytes of clients and proxies mean. Pure.
//! - [`bridges`], [`geoip`], [`matching`], [`metrics`]: knowledge and decisions. Pure.
//! - [`broker`]: the one facade over them.
//! - [`rendezvous`]: the bytes of a client's poll, whichever way they come.
//! - [`http`], [`grpc`], [`sqs`]: the fronts: decode, call the broker, encode; and
//!   [`federation`], by which the broker calls others.
//! - [`config`]: every module's settings, from defaults, file, environment and flags.
//! - [`app`]: the server: its composition, sockets and signals; and [`admin_client`],
//!   by which an operator calls one.
//! - [`cli`]: the command line, and which of the programs it asks for.
//!
//! Beside them, knowing no broker type: [`listener`], [`tls`], [`telemetry`],
//! [`proto`], the messages of the gRPC services, [`timespan`], how settings write a
//! span of time, [`host_port`], how they name hosts, [`report`], the findings of their
//! checks, [`networks`], those around an address, [`backoff`], the delays after
//! failures, [`file_access`], who may read and write files, and [`causes`], what errors
//! say.

pub mod admin_client;
pub mod app;
pub mod backoff;
pub mod bridges;
pub mod broker;
pub mod causes;
pub mod cli;
pub mod config;
pub mod federation;
pub mod file_access;
pub mod geoip;
pub mod grpc;
pub mod host_port;
pub mod http;
pub mod listener;
pub mod matching;
pub mod metrics;
pub mod networks;
pub mod proto;
pub mod rendezvous;
pub mod report;
pub mod sqs;
pub mod telemetry;
pub mod timespan;
pub mod tls;
pub mod wire;
