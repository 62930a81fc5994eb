//! The layer that checks privacy in the other tests, and the log: both see the records of
//! crates that use `log`.

use std::io::{self, Write};
use std::net::Ipv6Addr;
use std::panic;
use std::sync::{Arc, Mutex};

use snowflake_broker::broker::clock;
use snowflake_broker::telemetry::{self, LogLevel, LogStyle, Settings};
use tracing::subscriber::with_default;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::support::privacy::PrivacyWatch;

/// Watches `act`, with the session id `Sid-1` as a secret.
fn watch(act: impl FnOnce()) -> PrivacyWatch {
    let watch = PrivacyWatch::default();
    watch.forbid("Sid-1");
    with_default(tracing_subscriber::registry().with(watch.clone()), act);
    watch
}

#[test]
fn addresses_and_secrets_are_found_wherever_they_are_recorded() {
    let acts: [fn(); 8] = [
        || tracing::trace!("from 192.0.2.7"),
        || tracing::trace!(peer = "192.0.2.7:443", "polled"),
        || tracing::info!(target: "hyper", peer = ?Ipv6Addr::LOCALHOST),
        || tracing::info!("GET /?a=%5B2001%3Adb8%3A%3A1%5D%3A443"),
        || {
            drop(tracing::trace_span!(
                "request",
                peer = "x=[2001:db8::1]:443,"
            ));
        },
        || {
            let span = tracing::info_span!("request", peer = tracing::field::Empty);
            span.record("peer", tracing::field::display("::ffff:192.0.2.7"));
        },
        || tracing::debug!(sid = "SID-1"),
        || tracing::debug!("proxy sid-1: polled"),
    ];
    for (number, act) in acts.into_iter().enumerate() {
        assert_eq!(watch(act).findings("").len(), 1, "act {number}");
    }
}

#[test]
fn findings_are_told_apart_by_their_target() {
    let watch = watch(|| tracing::info!(target: "hyper::proto", "from 192.0.2.7"));
    assert_eq!(watch.findings("hyper").len(), 1);
    watch.assert_clean("snowflake_broker");
}

#[test]
fn what_gives_nobody_away_is_clean() {
    let watch = watch(|| {
        let _span = tracing::info_span!("request", nat = "restricted", attempt = 1).entered();
        tracing::info!(
            at = "2026-11-23T03:14:56.123Z",
            "http::client: a::b::c, h2::c, 1.2.3, 3:14:56"
        );
    });
    watch.check("metrics", "polls_total{nat=\"open\"} 1.5e3\nversion 2.14.1");
    watch.assert_clean("");
    watch.check("metrics", "a\nunique{ip=\"192.0.2.7\"} 1");
    assert_eq!(watch.findings("metrics").len(), 1);
}

#[test]
#[should_panic(expected = "nothing was recorded")]
fn an_unused_watch_proves_nothing() {
    PrivacyWatch::default().assert_clean("");
}

#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no writer panics").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The only test here that installs the process's subscriber and logger.
#[test]
fn records_of_log_are_logged_watched_scrubbed_and_follow_the_level() {
    let output = Output::default();
    let writer = output.clone();
    let (subscriber, control) =
        telemetry::subscriber(&Settings::default(), LogStyle::Plain, move || {
            writer.clone()
        })
        .unwrap();
    let watch = PrivacyWatch::default();
    subscriber.with(watch.clone()).try_init().unwrap();

    log::warn!(target: "some_crate", "from 192.0.2.7:80");
    log::debug!(target: "some_crate", "quiet");
    control.set_level(LogLevel::parse("debug").unwrap());
    log::debug!(target: "snowflake_broker::x", "loud [2001:db8::1]:443");
    // Below info, other crates may quote anything: h2 logs malformed paths.
    log::debug!(target: "some_crate", "verbose");
    tracing::debug!(target: "h2::server", "verbose");
    assert!(telemetry::init(&Settings::default(), LogStyle::Plain, clock::now).is_err());

    telemetry::log_panics(false, clock::now);
    for _ in 0..30 {
        let panicked = panic::catch_unwind(|| panic!("Sid-1 is not a char boundary"));
        assert!(panicked.is_err());
    }
    drop(panic::take_hook());

    let text = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
    for line in [
        "WARN from [scrubbed]\n",
        "DEBUG snowflake_broker::x: loud [scrubbed]\n",
        "ERROR panicked at tests/program/privacy_watch.rs:",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert_eq!(text.matches("panicked").count(), 10, "{text}");
    for silent in ["quiet", "verbose", "Sid-1"] {
        assert!(!text.contains(silent), "{text}");
    }
    assert_eq!(watch.findings("").len(), 2);
}
