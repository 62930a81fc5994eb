//! Sockets and connections: accept, TLS, HTTP/1.1 and HTTP/2, time limits.
//! Knows nothing of what is served.

pub mod accounts;
mod activity;
pub mod addresses;
mod authority;
mod bind;
mod buffers;
mod closing;
mod frames;
mod handshake;
mod identity;
mod keep_open;
mod observer;
mod overdue;
mod parking;
mod proxy_protocol;
mod rules;
mod server;
mod serving;
mod settings;
mod stream;
mod streams;
mod unwritten;
mod version;
mod write_through;

pub use authority::AuthorityRewriter;
pub use bind::bind;
pub use closing::{Closing, ClosingStage};
pub use handshake::ChooseTls;
pub use identity::RemoteAddress;
pub use keep_open::{ConnectionHandle, KeepOpenGuard};
pub use observer::{DropCause, Observer};
pub use server::{Serve, Server};
pub use settings::{SOCKETS, Settings};
