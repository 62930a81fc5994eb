//! Certificates by ACME, from Debian's pebble, the test server of Let's Encrypt.

mod broker;
mod challenges;
mod first_orders;
mod http;
mod pebble;
mod renewals;
