//! A node of a cluster: brokers of one operator that serve the same clients and proxies
//! behind one name. Polls, offers and answers land on any of them.
//!
//! ```text
//! broker.rs  ── Overflow, OtherNodes ──> cluster.rs
//!                                        ├── node          its state, and what it says
//!                                        ├── receive       what comes from the bus
//!                                        ├── nodes_of_pool the others, as a broker sees them
//!                                        ├── members       who is there, and has what. Pure.
//!                                        ├── proofs        that a process is there
//!                                        ├── proof_limits  how often it is asked. Pure.
//!                                        ├── sender_clock  the age of messages. Pure.
//!                                        ├── echo          whether the bus works. Pure.
//!                                        ├── calls         our clients' offers at other nodes
//!                                        ├── loans         other nodes' offers here
//!                                        ├── strays        answers without an offer here
//!                                        ├── open_calls, loan_table, stray_table: what is
//!                                        │                 in progress of these. Pure.
//!                                        ├── convert       the messages of the protocol
//!                                        ├── keys          their sealing
//!                                        ├── shared        what all nodes have in common
//!                                        └── bus           sending them: a trait
//! ```
//!
//! The bus is NATS, which does discovery, routing and links between regions. Everything else
//! is said in messages: nothing is inferred from what the bus does not do. A node publishes
//! what it could take; an offer goes to one node with its deadline in it, and that node says
//! at once whether it takes it. So a lost, doubled, late or reordered message costs one
//! client a few milliseconds.
//!
//! The engine sees a node as it sees a peer: whom to ask is decided by [`crate::peers`].
//! Nodes share the bus, and a bucket on which nothing depends that clients or proxies wait
//! for. One that does not hear its own words is a broker on its
//! own until it does.
//!
//! This module opens no sockets: messages go through a [`Bus`] and come from a stream.
//! So it runs on any network and any time.

mod bus;
mod calls;
mod convert;
mod echo;
mod keys;
mod loan_table;
mod loans;
mod members;
mod node;
mod nodes_of_pool;
mod open_calls;
mod proof_limits;
mod proofs;
mod receive;
mod sender_clock;
pub mod settings;
pub mod shared;
mod stray_table;
mod strays;

pub use bus::{Bus, BusEvent, BusMessage, NotSent, Subjects};
pub use keys::{ClusterKeys, InvalidKeys, NotOurs};
pub use node::{Cluster, NodeIdentity};
pub use settings::Settings;
