//! A Snowflake broker: it introduces censored clients to volunteer proxies.
//!
//! # Layers
//!
//! Each layer imports only from the layers above it:
//!
//! - [`wire`]: the messages of clients and proxies, decoded and encoded. Pure.
//! - [`bridges`], [`geoip`], [`policy`]: knowledge of bridges and countries, and the
//!   operators' rules of who shall meet whom. Pure.
//! - [`matching`], [`metrics`]: decisions and counts. Pure.
//! - [`outcomes`]: which matches worked, from which [`matching`] learns. Pure.
//! - [`broker`]: the facade over all of these.
//! - [`rendezvous`]: a client's poll in bytes, for every rendezvous method; and [`peers`]: the
//!   choice of another broker to ask. Pure.
//! - [`http`], [`grpc`], [`sqs`]: the fronts, which decode a request, call the broker and
//!   encode the reply; [`probe`], which tells proxies their NAT type; and [`federation`], which borrows proxies from other brokers and
//!   lends ours, and [`cluster`], in which nodes of one operator do so.
//! - [`config`]: the settings of all modules, from defaults, file, environment and flags.
//! - [`app`]: the server, with its composition, sockets and signals; and
//!   [`admin_client`], the operator's client for a running server.
//! - [`cli`]: the command line, which selects one of the programs.
//!
//! The remaining modules know no broker type: [`listener`] (sockets and their limits),
//! [`tls`], [`telemetry`] (logs and traces), [`proto`] (messages of the gRPC services),
//! [`timespan`] and [`host_port`] (time spans and hosts in settings), [`report`]
//! (findings of settings checks), [`networks`] (the networks around an address),
//! [`backoff`] (delays after failures), [`file_access`] (permissions of files) and
//! [`causes`] (texts of error chains).
//!
//! # Terms
//!
//! - *Client*: a censored user's program; it sends an *offer* and wants an *answer*.
//! - *Proxy*: a volunteer's program that carries a client's traffic to a *bridge*. It
//!   *polls* for offers and posts answers.
//! - *Pool*: the parked polls of proxies of one NAT class.
//! - *Match*: a client's offer is handed to a proxy (the *hand-off*); a *rematch* hands
//!   it to another one.
//! - *Rendezvous*: a client's whole request, by one of the *rendezvous methods*: HTTP,
//!   AMP cache or SQS.
//! - *Peer*: another operator's broker. A *borrower* sends its clients' offers to a
//!   *lender*, whose proxies answer them: a *loan*. *Node*: another broker of our own cluster.
//! - *Remote address*: the address at the other end of a socket. *Source*: the keyed hash
//!   of a proxy's address.

pub mod admin_client;
pub mod app;
pub mod backoff;
pub mod bridges;
pub mod broker;
pub mod causes;
pub mod cli;
pub mod cluster;
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
pub mod outcomes;
pub mod peers;
pub mod policy;
pub mod probe;
pub mod proto;
pub mod rendezvous;
pub mod report;
pub mod sqs;
pub mod telemetry;
pub mod timespan;
pub mod tls;
pub mod wire;
