//! Listening sockets and connections over TCP and Unix sockets: accepting, TLS, HTTP/1.1
//! and HTTP/2, limits and time-outs. Knows nothing about the service behind it.

pub mod accounts;
mod activity;
pub mod addresses;
mod authority;
mod bind;
mod buffers;
mod closing;
mod establish;
mod frames;
mod handshake;
mod identity;
mod keep_open;
mod observer;
mod overdue;
mod parking;
mod proxy_protocol;
mod rules;
mod self_woken;
mod server;
mod serving;
mod settings;
mod slots;
mod socket;
mod stream;
mod streams;
mod unix;
mod unwritten;
mod version;
mod write_through;

pub use bind::{bind, try_bind};
pub use closing::{Closing, ClosingStage};
pub use handshake::{ChooseTls, SwappableTls};
pub use identity::{PeerIdentity, RemoteAddress};
pub use keep_open::{ConnectionHandle, KeepOpenGuard};
pub use observer::{DropCause, Observer};
pub use rules::KeepAlive;
pub use server::{Http2Only, KnowsNames, Serve, Server};
pub use settings::{SOCKETS, Settings};
pub use slots::{CallerSlots, SLOTS_MAX, SlotHolder, SlotLimit};
pub use socket::ListenSocket;
pub use stream::ByteStream;
