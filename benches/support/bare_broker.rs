//! A broker without limits or country databases, with the default bridge list.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use snowflake_broker::broker::{Broker, Directory, Settings};
use snowflake_broker::matching;
use snowflake_broker::metrics::Metrics;
use snowflake_broker::metrics::distinct_ips::WindowKey;

/// Creates the broker, without polls or clients.
pub(crate) fn bare_broker(settings: matching::Settings) -> Broker {
    let patterns = Settings::default();
    let directory = Directory {
        allowed_relay_pattern: patterns.allowed_relay_pattern.as_str().into(),
        default_relay_pattern: patterns.default_relay_pattern.as_deref().map(Into::into),
        ..Directory::default()
    };
    let metrics = Arc::new(Metrics::new(UNIX_EPOCH, WindowKey::from([1; 16])));
    Broker::new(settings, directory, metrics, 7)
}
