//! All that the brokers of a test's process record, watched.

#[path = "privacy.rs"]
pub(crate) mod privacy;

use std::sync::LazyLock;
use std::thread;

use snowflake_broker::broker::Broker;
use snowflake_broker::metrics::exposition::Format;
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

/// Nothing that a broker of this process has recorded or counts gives anybody away.
/// To be called when it is dropped, so that each test looks.
pub(crate) fn assert_clean(broker: &Broker) {
    if thread::panicking() {
        return;
    }
    let metrics = broker.control().expose_metrics(None, Format::Text);
    WATCH.check("snowflake_broker's metrics", &metrics);
    WATCH.assert_clean("snowflake_broker");
}
