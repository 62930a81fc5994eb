use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard};

use tracing::subscriber::with_default;

use super::*;

#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

struct Locked<'a>(MutexGuard<'a, Vec<u8>>);

impl Write for Locked<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Output {
    type Writer = Locked<'a>;

    fn make_writer(&'a self) -> Locked<'a> {
        Locked(self.0.lock().unwrap())
    }
}

impl Output {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// The lines that `act` logs.
fn logged(settings: &Settings, style: LogStyle, act: impl FnOnce(&LogControl)) -> String {
    let output = Output::default();
    let (subscriber, control) = subscriber(settings, style, output.clone()).unwrap();
    with_default(subscriber, || act(&control));
    output.text()
}

fn with_format(log_format: LogFormat) -> Settings {
    Settings {
        log_format,
        ..Settings::default()
    }
}

/// Logs an event with an address in its message, a field, and the surrounding span.
fn log_addresses() {
    let span = tracing::info_span!("request", peer = "[2001:db8::1]:443");
    let _entered = span.enter();
    let address = std::net::Ipv4Addr::new(192, 0, 2, 7);
    tracing::warn!(%address, raw = ?"x\n2001:db8::2", "from {address}:80");
}

#[test]
fn addresses_are_scrubbed_in_messages_fields_and_spans() {
    for format in [LogFormat::Text, LogFormat::Json] {
        for style in [LogStyle::Terminal, LogStyle::Plain, LogStyle::Journal] {
            let text = logged(&with_format(format), style, |_| log_addresses());
            assert!(!text.contains("2001:") && !text.contains("192."), "{text}");
            assert!(text.matches("[scrubbed]").count() >= 4, "{text}");
        }
    }
}

#[test]
fn unsafe_logging_keeps_them() {
    let settings = Settings {
        unsafe_logging: true,
        ..Settings::default()
    };
    let text = logged(&settings, LogStyle::Plain, |_| log_addresses());
    assert!(text.contains("from 192.0.2.7:80"), "{text}");
    assert!(text.contains("[2001:db8::1]:443"), "{text}");
}

#[test]
fn json_lines_are_json() {
    let text = logged(&with_format(LogFormat::Json), LogStyle::Terminal, |_| {
        log_addresses();
    });
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["fields"]["message"], "from [scrubbed]");
    assert!(line["timestamp"].is_string());
}

#[test]
fn the_journal_gets_priorities_and_neither_time_nor_colour() {
    let text = logged(&Settings::default(), LogStyle::Journal, |_| {
        tracing::warn!("careful");
    });
    assert_eq!(text, "<4> WARN careful\n");
    let text = logged(&with_format(LogFormat::Json), LogStyle::Journal, |_| {
        tracing::error!("bad");
    });
    assert!(text.starts_with("<3>{\"level\":\"ERROR\""), "{text}");
}

#[test]
fn a_terminal_gets_colours_and_a_pipe_does_not() {
    let colours =
        |style| logged(&Settings::default(), style, |_| tracing::info!("x")).contains('\x1b');
    assert!(colours(LogStyle::Terminal));
    assert!(!colours(LogStyle::Plain));
}

#[test]
fn only_details_say_which_module_they_are_from() {
    let settings = Settings {
        log_level: "debug".to_owned(),
        ..Settings::default()
    };
    let text = logged(&settings, LogStyle::Journal, |_| {
        tracing::info!(count = 1, "an event");
        tracing::debug!("a detail");
    });
    let expected = "<6> INFO an event count=1\n\
                    <7>DEBUG snowflake_broker::telemetry::tests: a detail\n";
    assert_eq!(text, expected);
}

#[test]
fn lines_about_settings_keep_the_addresses_in_them() {
    let text = logged(&Settings::default(), LogStyle::Journal, |_| {
        tracing::info!(target: SETTINGS, listen = "192.0.2.1:443", "serving");
        tracing::info!(listen = "192.0.2.1:443", "another");
    });
    let expected = "<6> INFO serving listen=\"192.0.2.1:443\"\n\
                    <6> INFO another listen=\"[scrubbed]\"\n";
    assert_eq!(text, expected);
}

#[test]
fn a_line_says_how_many_were_suppressed_only_if_any_were() {
    let limit = LogLimit::new(Kind::new(Level::INFO, "a test"), 1, Duration::from_secs(1));
    let start = clock_start();
    let text = logged(&Settings::default(), LogStyle::Journal, |_| {
        for second in [0, 0, 0, 1] {
            if let Some(suppressed) = limit.admit(start + Duration::from_secs(second)) {
                tracing::info!(suppressed, "a line");
            }
        }
    });
    assert_eq!(text, "<6> INFO a line\n<6> INFO a line suppressed=2\n");
}

#[expect(clippy::disallowed_methods, reason = "an Instant to count from")]
fn clock_start() -> Instant {
    Instant::now()
}

#[test]
fn the_level_changes_at_run_time() {
    let text = logged(&Settings::default(), LogStyle::Plain, |control| {
        tracing::debug!("first");
        let change = |level| control.set_level(LogLevel::parse(level).unwrap());
        change("off,snowflake_broker::telemetry=debug");
        tracing::debug!("second");
        assert!(
            control
                .level()
                .contains("snowflake_broker::telemetry=debug")
        );
        tracing::debug!("third");
        change("error");
        tracing::warn!("fourth");
    });
    let heard = ["first", "second", "third", "fourth"].map(|word| text.contains(word));
    assert_eq!(heard, [false, true, true, false]);
}

#[test]
fn levels_are_checked() {
    for level in [
        "info",
        "WARN",
        "off",
        "info,hyper=warn",
        "snowflake_broker::http=debug",
    ] {
        assert!(LogLevel::parse(level).is_ok(), "{level}");
    }
    for level in ["", " ", "info,", "info,=", "a=loud", "inof", "hyper"] {
        assert!(LogLevel::parse(level).is_err(), "{level:?}");
    }
    let refused = init(
        &Settings {
            log_level: "a=loud".to_owned(),
            ..Settings::default()
        },
        LogStyle::Plain,
        || unreachable!("nothing panics"),
    );
    assert!(matches!(refused, Err(LogError::Level(_))));
}
