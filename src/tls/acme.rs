//! Certificates by ACME (RFC 8555), with rustls-acme: orders, proofs of control over the
//! names, and the schedule. `app` runs the schedule and stores the results.

mod authority;
mod challenges;
mod http01;
mod order;
mod order_error;
mod schedule;
mod settings;

pub use authority::{Authority, InvalidAuthority};
pub use challenges::{Challenges, Proof};
pub use http01::router;
pub use order::{CertificateOrder, Issued};
pub use order_error::OrderError;
pub use rustls_acme::AccountCache;
pub use schedule::{RETRIES, renewal_time};
pub use settings::Settings;
