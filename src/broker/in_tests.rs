//! A broker and its callers, for unit tests.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use crate::matching::Settings;
use crate::metrics::Metrics;
use crate::metrics::distinct_ips::WindowKey;

use super::{Broker, Caller, Directory, RequestOrigin, clock};

/// A broker that knows the default bridge, and takes every proxy.
pub(super) fn new_broker(settings: Settings) -> Broker {
    let metrics = Arc::new(Metrics::new(UNIX_EPOCH, WindowKey::from([7; 16])));
    Broker::new(settings, Directory::default(), metrics, 7)
}

/// A program on this machine, which calls now.
pub(super) fn caller() -> Caller {
    Caller {
        arrived: clock::now(),
        address: None,
        origin: RequestOrigin::Local,
    }
}
