//! Private pools as they shall be.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use snowflake_broker::broker::limits::Limits;
use snowflake_broker::broker::private_pools::settings::PoolSettings;
use snowflake_broker::broker::private_pools::token::PoolToken;
use snowflake_broker::broker::private_pools::{PoolKeys, PoolPlan, PrivatePools};
use snowflake_broker::broker::{Broker, clock};
use snowflake_broker::metrics::LabelledTypes;
use tokio::time::sleep;

/// No private pools yet, for a broker with these limits.
pub(crate) fn none_yet(limits: &Arc<Limits>) -> Arc<PrivatePools> {
    let types = LabelledTypes::default();
    Arc::new(PrivatePools::new([8; 32].into(), types, Arc::clone(limits)))
}

/// Replaces a broker's private pools by ones with these names, a letter each.
pub(crate) async fn set(broker: &Broker, names: &[&str]) {
    let plans = names.iter().map(|name| pool(name, |_| {}));
    broker.private_pools().unwrap().set(plans.collect());
    // Until they are driven.
    sleep(Duration::from_millis(1)).await;
}

/// The broker of a private pool beside this one.
pub(crate) fn broker_of(broker: &Broker, pool: &str) -> Arc<Broker> {
    let pools = broker.private_pools().unwrap();
    let pool = pools.named(&pool.into(), clock::wall_clock()).unwrap();
    Arc::clone(&pool.broker)
}

/// The settings of a pool with this name.
fn settings(name: &str) -> PoolSettings {
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
