//! Borrowing: other operators' brokers are asked for a proxy when this one has
//! none. The other direction, lending, is `grpc::federation`, which decodes, and
//! [`Broker::lend`](crate::broker::Broker::lend), which decides.
//!
//! ```text
//! broker.rs  ── Overflow ──> federation.rs
//!                            ├── peers     whom to ask. Pure.
//!                            ├── state     what the two below share, behind one lock
//!                            ├── link      one task a peer: connects, learns what
//!                            │             it has, and comes back after a failure
//!                            ├── call      one offer, with one peer after the other
//!                            ├── convert   the messages of the protocol
//!                            └── dial      how a connection is made: a trait
//! ```
//!
//! [`Federation::run`] keeps a link to each peer, and [`Federation`] is what the
//! broker asks. It opens no socket and knows no TLS: connections come from a
//! [`Dial`], which says by what names the other side has proved to be known. So it
//! runs on whatever network there is, in whatever time: the clock is the broker's,
//! timers are tokio's, and the seed of all randomness is given to [`Federation::new`].
//! On the other side `grpc::federation::serve` takes connections of any kind.
//!
//! Nothing is shared between brokers, and none waits for another but with an
//! offer: one that has no peers left is a broker like any other.

mod call;
mod convert;
pub mod dial;
mod error;
mod link;
mod peers;
pub mod settings;
mod state;

pub use dial::{Dial, DialTarget, Dialed};
pub use settings::Settings;
pub use state::Federation;
