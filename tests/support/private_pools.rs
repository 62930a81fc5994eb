//! Private pools as they shall be.

use serde_json::json;
use snowflake_broker::broker::private_pools::settings::PoolSettings;
use snowflake_broker::broker::private_pools::token::PoolToken;
use snowflake_broker::broker::private_pools::{PoolKeys, PoolPlan};

/// The settings of a pool with this name.
pub(crate) fn settings(name: &str) -> PoolSettings {
    let settings = json!({"name": name, "token_file": "/nonexistent"});
    serde_json::from_value(settings).unwrap()
}

/// A pool with a token of 16 times this letter.
pub(crate) fn pool(letter: &str, change: impl FnOnce(&mut PoolSettings)) -> PoolPlan {
    let mut settings = settings(letter);
    change(&mut settings);
    PoolPlan {
        settings,
        tokens: PoolToken::parse_file(&letter.repeat(16)).unwrap(),
        bridges: None,
        keys: PoolKeys {
            window: [1; 16].into(),
            jitter_seed: 1,
            sharing: [2; 16].into(),
            learning: [3; 16].into(),
        },
        is_configured: true,
    }
}
