//! Certificates by ACME (RFC 8555): what to order, how to prove that the names
//! are ours, and when to order again. Who does it, and keeps the result, is
//! in `app`.

mod authority;
mod challenges;
mod http01;
mod order;
mod order_error;
mod schedule;
mod settings;

pub use authority::{Authority, InvalidAuthority};
pub use challenges::Challenges;
pub use http01::router;
pub use order::{Issued, Order, Proof};
pub use order_error::OrderError;
pub use rustls_acme::AccountCache;
pub use schedule::{renewal_time, retry_delay};
pub use settings::Settings;
