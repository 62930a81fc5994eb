//! Borrowing: peers are asked for a proxy when this broker has none. Lending, the other
//! direction, is decoded by `grpc::federation` and decided by
//! [`Broker::lend`](crate::broker::Broker::lend).
//!
//! ```text
//! broker.rs  ── Overflow ──> federation.rs
//!                            ├── state     shared by link and call, behind one lock
//!                            ├── link      one task per peer: connects, receives its
//!                            │             supply, reconnects after a failure
//!                            ├── call      one offer, sent to one peer after the other
//!                            ├── convert   the messages of the protocol
//!                            └── dial      making connections: a trait
//! ```
//!
//! [`Federation::run`] maintains a link to each peer, and the broker calls
//! [`Federation`], which chooses by [`crate::peers`]. This module opens no sockets and has no TLS: connections come from a
//! [`Dial`], which reports the names that the other side has proven. So it runs on any
//! network and any time: the clock is the broker's, timers are tokio's, and
//! [`Federation::new`] takes the seed of all randomness. On the other side,
//! `grpc::federation` accepts connections of any kind.
//!
//! Brokers share no state, and a broker waits for a peer only while it has an offer
//! there. A broker that has lost all its peers works like any other.

mod call;
mod convert;
pub mod dial;
mod error;
mod link;
mod peers_of_pool;
pub mod settings;
mod state;

pub use dial::{Dial, DialTarget, Dialed};
pub use settings::Settings;
pub use state::Federation;
