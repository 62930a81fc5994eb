//! A watch on everything that the brokers of this test process record.

use std::sync::LazyLock;
use std::thread;

use snowflake_broker::broker::{Broker, clock};
use snowflake_broker::metrics::exposition::Format;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::support::privacy::PrivacyWatch;

/// The watch on the broker's records in all tests of this process. Other crates are not
/// watched, because their records do not leave the program.
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

/// Asserts that nothing recorded or counted by a broker of this process is private.
/// Called when the broker is dropped, so that every test checks it.
pub(crate) fn assert_clean(broker: &Broker) {
    if thread::panicking() {
        return;
    }
    let metrics = broker.control().expose_metrics(None, Format::Text);
    WATCH.check("snowflake_broker's metrics", &metrics);
    let impact = broker.control().impact(clock::read());
    WATCH.check("snowflake_broker's impact log", &impact.encode());
    WATCH.check("snowflake_broker's impact", &format!("{impact:?}"));
    WATCH.assert_clean("snowflake_broker");
}
