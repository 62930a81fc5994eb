//! How much memory the accounts of peers may take in all.

use crate::config::Config;
use crate::listener::accounts::Bounds;

/// What the configuration says.
pub(super) fn bounds(config: &Config) -> Bounds {
    Bounds {
        bytes: config.http.max_bytes_in_flight,
        high_water: config.listener.memory_high_water,
    }
}
