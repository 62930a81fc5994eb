//! The probe server: tells proxies their NAT type, by trying to reach them over WebRTC as
//! clients would.
//!
//! ```text
//! front ── settings, slots      who may have a probe
//!       ├─ candidates           where the proxy's offer lets packets go. Pure.
//!       ├─ session              one probe, without sockets and clock. Pure.
//!       └─ driver               one socket and one session, until the probe is over
//! ```
//!
//! # The client that is played
//!
//! A proxy asks by an offer, gets an answer, and is what its data channel says: open or
//! not. So the server has to fail as the client fails that it stands for:
//!
//! - *Strict*: a client behind a NAT that maps each destination to another port
//!   (address-and-port-dependent mapping, RFC 4787). Nobody can tell a proxy where its
//!   packets will come from, so the answer has no candidates. The server sends from a port
//!   that the proxy was never told, and only a proxy whose NAT lets packets of strangers
//!   in (endpoint-independent filtering) notices.
//! - *Moderate*: a client behind a NAT with one mapping for all destinations, which lets
//!   only those in that were sent to. The answer has the server's candidate.
//!
//! Both hear only those addresses and ports that they have sent to, and send only to the
//! candidates of the offer. So a proxy whose NAT maps each destination to another port
//! cannot be heard, as its packets come from where no candidate is. This filter is the
//! [`session`]'s; no NAT and no firewall of the host has a part in it.
//!
//! # One address or two
//!
//! In the strict mode, packets come from an address to which the proxy must not have sent
//! before, or a NAT that filters by addresses without ports would let them in. It has, if
//! its STUN server is at the same address. A second address keeps them apart: then strict
//! probes are sent from the second, and moderate ones from the first.
//!
//! This module opens no sockets: they come from [`ProbeSources::bind`].

#[cfg(feature = "probe")]
mod candidates;
#[cfg(feature = "probe")]
mod driver;
#[cfg(feature = "probe")]
mod front;
mod ports;
#[cfg(feature = "probe")]
mod session;
pub mod settings;
#[cfg(feature = "probe")]
mod slots;

#[cfg(feature = "probe")]
pub use front::{NatProbe, ProbeSources, Sender};
pub use ports::{InvalidPortRange, PortRange};
pub use settings::Settings;
