//! Logging to stderr, by `tracing` and by crates that use `log`. Export to OpenTelemetry
//! collectors is in [`otel`].
//!
//! No IP address reaches the log, whichever crate writes it and in whatever form, unless
//! `unsafe_logging` is set: every line is scrubbed before it is written. Scrubbing is the
//! last line of defense: data from proxies and clients (session descriptions, `Sid`s,
//! URIs) must not be logged in the first place. Other crates log such data below the
//! level `info` (h2, for example, logs the path and some headers of requests that it
//! refuses), so they are silenced there, and a panic is logged without its message, which
//! may quote its input.
//!
//! Nobody can flood the log either: lines that strangers can provoke are limited by
//! [`LogLimit`], or counted instead of logged.

use std::io;
use std::panic::{self, Location};
use std::time::{Duration, Instant};

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterFn, Targets, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, Layered, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, reload};

mod log_limit;
pub mod otel;
mod output;
mod queue;
mod scrub;
mod settings;

pub use log_limit::{
    Kind, LogLimit, LogLimits, Suppressed, report_all_suppressed, report_suppressed,
};
pub use output::SETTINGS;
pub use queue::LogGuard;
pub use scrub::scrub;
pub use settings::{LogFormat, Settings};

use output::{ScrubbedOutput, TargetsOfDetails, WithPriority};
use queue::LineQueue;

/// The reader of stderr, which determines the style of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStyle {
    /// A person at a terminal: colors (in text format) and time.
    Terminal,
    /// A file or another program: time, but no colors.
    Plain,
    /// The systemd journal, which adds the time, and takes the priority from the `<N>` at
    /// the beginning of a line (sd-daemon(3)).
    Journal,
}

/// A reason why logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `log_level` is neither a level nor a filter.
    #[error(transparent)]
    Level(#[from] InvalidLogLevel),
    /// This process already has a subscriber or a `log` logger.
    #[error("logging is set up already")]
    AlreadySet,
    /// The writing thread cannot be started.
    #[error("cannot start the thread that writes the log")]
    Thread(#[from] io::Error),
}

/// The error for a text that is neither a level (`error`, `warn`, `info`, `debug`,
/// `trace`, `off`) nor a filter such as `info,snowflake_broker::http=debug`.
#[derive(Debug, thiserror::Error)]
#[error("must be a level, such as info, or a filter, such as info,snowflake_broker::http=debug")]
pub struct InvalidLogLevel;

/// A level or filter for log lines.
#[derive(Debug)]
pub struct LogLevel(Targets);

/// Changes the log level at runtime.
#[derive(Clone, Debug)]
pub struct LogControl {
    filter: reload::Handle<Targets, Registry>,
}

/// Sends the logs of this process to stderr from now on. Call it once per process.
/// Logging never blocks and never fails, whatever happens to stderr; the last lines are
/// written when the guard is dropped.
pub fn init(
    settings: &Settings,
    style: LogStyle,
    now: fn() -> Instant,
) -> Result<(LogControl, LogGuard), LogError> {
    let (lines, guard) = LineQueue::start(io::stderr())?;
    let (subscriber, control) = subscriber(settings, style, lines)?;
    subscriber.try_init().map_err(|_| LogError::AlreadySet)?;
    log_panics(settings.unsafe_logging, now);
    Ok((control, guard))
}

/// The subscriber that [`init`] installs, with a writer other than stderr. Further layers
/// may be added; the level applies to them, too.
pub fn subscriber<W>(
    settings: &Settings,
    style: LogStyle,
    writer: W,
) -> Result<
    (
        impl Subscriber + for<'a> LookupSpan<'a> + Send + Sync + 'static,
        LogControl,
    ),
    InvalidLogLevel,
>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(parse_level(&settings.log_level)?);
    let output = ScrubbedOutput::new(writer, settings.unsafe_logging);
    let subscriber = tracing_subscriber::registry()
        .with(filter)
        .with((!settings.unsafe_logging).then(|| filter_fn(is_reviewed as _)))
        .with(lines(settings.log_format, style, output));
    Ok((subscriber, LogControl { filter: handle }))
}

impl LogLevel {
    /// Parses a level or filter.
    pub fn parse(level: &str) -> Result<Self, InvalidLogLevel> {
        parse_level(level).map(Self)
    }
}

impl LogControl {
    /// Applies another level or filter from now on.
    pub fn set_level(&self, level: LogLevel) {
        // An error means that the subscriber is gone, and logging has ended.
        drop(self.filter.reload(level.0));
        log::set_max_level(log_level(LevelFilter::current()));
    }

    /// The current level or filter, as `tracing-subscriber` spells it.
    pub fn level(&self) -> String {
        let level = self.filter.with_current(Targets::to_string);
        level.unwrap_or_else(|_| "off".to_owned())
    }
}

/// Logs panics of all threads from now on, instead of printing them unscrubbed. Without
/// `with_message`, only the location is logged. What strangers can make panic they can make
/// panic often, so 10 a minute are logged of each place.
pub fn log_panics(with_message: bool, now: fn() -> Instant) {
    let limits = LogLimits::new(
        Kind::new(Level::ERROR, "panics"),
        10,
        Duration::from_mins(1),
    );
    panic::set_hook(Box::new(move |panic| {
        let place = panic
            .location()
            .map(Location::to_string)
            .unwrap_or_default();
        let Some(suppressed) = limits.admit(&place, now()) else {
            return;
        };
        let message = panic.payload_as_str().filter(|_| with_message);
        tracing::error!(
            suppressed,
            "panicked at {place}: {}",
            message.unwrap_or("a bug")
        );
    }));
}

/// Returns true if events with this target and level have been reviewed: they contain no
/// data from proxies and clients, and strangers cannot provoke them. rustls warns about
/// each peer that does not speak TLS; h2 about each peer that exceeds a limit or
/// acknowledges a ping that was not sent. Such handshakes and connections are counted
/// instead. AWS's crates warn about conditions that the broker reports itself at a
/// limited rate, and name keys and roles; and so does NATS' at each attempt to connect, even
/// as an error. str0m and its parts tell of every packet and line of an offer that is wrong,
/// and quote it.
fn is_reviewed(metadata: &Metadata<'_>) -> bool {
    const QUIET: [&str; 3] = ["rustls", "h2", "aws_"];
    const SILENT: [&str; 5] = ["async_nats", "str0m", "is::", "dimpl", "sctp_proto"];
    let target = metadata.target();
    if SILENT.iter().any(|silent| target.starts_with(silent)) {
        return false;
    }
    let is_quiet = QUIET.iter().any(|quiet| target.starts_with(quiet));
    let most = if is_quiet { Level::ERROR } else { Level::INFO };
    *metadata.level() <= most || target.starts_with("snowflake_broker")
}

fn parse_level(text: &str) -> Result<Targets, InvalidLogLevel> {
    let mut parts = text.split(',');
    let filter = parts.try_fold(Targets::new(), with_directive);
    filter.ok_or(InvalidLogLevel)
}

/// Adds a level, or a level for a target.
fn with_directive(filter: Targets, directive: &str) -> Option<Targets> {
    match directive.split_once('=') {
        Some((target, _)) if target.trim().is_empty() => None,
        Some((target, level)) => Some(filter.with_target(target.trim(), parse_word(level)?)),
        None => Some(filter.with_default(parse_word(directive)?)),
    }
}

fn parse_word(level: &str) -> Option<LevelFilter> {
    let level = level.trim();
    // An empty text would also parse as a level.
    let is_empty = level.is_empty();
    level.parse().ok().filter(|_| !is_empty)
}

/// The most verbose level needed from crates that use `log`.
fn log_level(level: LevelFilter) -> log::LevelFilter {
    match level {
        LevelFilter::OFF => log::LevelFilter::Off,
        LevelFilter::ERROR => log::LevelFilter::Error,
        LevelFilter::WARN => log::LevelFilter::Warn,
        LevelFilter::INFO => log::LevelFilter::Info,
        LevelFilter::DEBUG => log::LevelFilter::Debug,
        _ => log::LevelFilter::Trace,
    }
}

type Leveled = Layered<reload::Layer<Targets, Registry>, Registry>;
type Filtered = Layered<Option<FilterFn>, Leveled>;

fn lines<W>(format: LogFormat, style: LogStyle, output: W) -> Box<dyn Layer<Filtered> + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let journal = style == LogStyle::Journal;
    let layer = fmt::layer()
        .with_writer(output)
        .with_ansi(style == LogStyle::Terminal && format == LogFormat::Text);
    match (format, journal) {
        (LogFormat::Text, false) => layer.map_event_format(TargetsOfDetails::new).boxed(),
        (LogFormat::Text, true) => layer
            .without_time()
            .map_event_format(|format| WithPriority(TargetsOfDetails::new(format)))
            .boxed(),
        (LogFormat::Json, false) => layer.json().boxed(),
        (LogFormat::Json, true) => layer
            .json()
            .without_time()
            .map_event_format(WithPriority)
            .boxed(),
    }
}

#[cfg(test)]
mod tests;
