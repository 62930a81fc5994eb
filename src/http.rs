//! The HTTP front: decodes requests, calls the broker, encodes responses.
//!
//! Like the reference broker, it ignores the method: a `GET /client` is a client poll
//! with an empty body.

mod accept;
mod amp;
mod body;
mod caller;
mod client;
pub mod client_address;
mod compressible;
mod error;
mod front;
mod metrics_log;
pub mod operator;
mod pages;
mod paths;
mod private_pools;
mod proxy;
mod replies;
mod router;
mod settings;
mod status;
pub mod status_page;

pub use front::Sources;
pub use metrics_log::{MetricsLog, ReadMetricsLog};
pub use router::{Endpoints, router};
pub use settings::{ForwardedBy, InvalidForwardedBy, Settings};
