//! All that the brokers of a test's process record, watched.

#[path = "privacy.rs"]
pub(crate) mod privacy;

use std::sync::LazyLock;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use privacy::PrivacyWatch;

/// What the broker records in all tests of this process. Other crates are not
/// watched: what they record does not leave the program.
pub(crate) static WATCH: LazyLock<PrivacyWatch> = LazyLock::new(|| {
    let watch = PrivacyWatch::default();
    watch.forbid("a=candidate");
    watch.forbid("\"sdp\"");
    let ours = Targets::new().with_target("snowflake_broker", tracing::Level::TRACE);
    tracing_subscriber::registry()
        .with(watch.clone())
        .with(ours)
        .init();
    watch
});
