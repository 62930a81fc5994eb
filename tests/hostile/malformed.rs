//! Bodies that are expensive to read and useless.

use std::sync::LazyLock;

use crate::broker::{Broker, Setup};
use crate::network::{STRANGER, connect};
use crate::report::Row;
use crate::stranger::over_and_over;
use crate::support::peer::Peer;

/// Members whose keys are escaped, so that each has to be decoded for comparison.
static BODY: LazyLock<String> = LazyLock::new(|| {
    let members = "\"\\u0053\\u0069\\u0065\":1,".repeat(4_000);
    format!("{{{members}\"NAT\":1}}")
});

/// Proxy polls that an address may send at once and more each second (the defaults), and
/// the price of a malformed one.
const BURST: u64 = 900;
const PER_SECOND: u64 = 30;
const MALFORMED: u64 = 10;

/// Number of polls sent at the same time.
const AT_ONCE: usize = 8;

pub(crate) async fn polls() -> Row {
    let attack = async |broker: &Broker| {
        let sent = over_and_over(AT_ONCE, send).await;
        let why = |reason| {
            let labels = [("request", "proxy_poll"), ("reason", reason)];
            async move { broker.count("refusals_total", &labels).await }
        };
        let read = why("bad_request").await;
        let most = (BURST + PER_SECOND * 6) / MALFORMED + u64::try_from(AT_ONCE).unwrap();
        assert!(read <= most, "{read} of {sent} were read, and not {most}");
        assert!(sent > 200, "{sent}");
        format!("{read} of {sent} bodies of {} bytes read", BODY.len())
    };
    Setup::new().start().await.withstands(attack).await
}

async fn send() -> usize {
    let mut peer = Peer::http1_over(connect(STRANGER).await.unwrap()).await;
    let (status, _) = peer.post("/proxy", BODY.as_str()).await;
    assert!(!status.is_server_error(), "{status}");
    1
}
