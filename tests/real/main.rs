//! Programs and data of others, as Debian ships them: snowflake's client and proxy,
//! nginx, `HAProxy` and Caddy, pebble, the databases of countries; and the shells in which
//! readers of the documentation run its commands.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod acme;
mod firewall;
mod geoip;
mod greetings;
mod interop;
mod mended;
#[cfg(feature = "probe")]
mod nat_probe;
mod network;
mod outcomes;
mod pages;
mod proxies;
mod reverse_proxies;
mod shared_address;
mod status_page;
#[expect(dead_code, reason = "no program needs all of it")]
#[path = "../support/mod.rs"]
mod support;
mod visitors;
mod volunteers;
mod votes;
