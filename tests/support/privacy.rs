//! A watch for private data in everything that any crate records with `tracing`, at any
//! level: IP addresses, and what a test declares as secret (session descriptions, `Sid`s,
//! URIs).
//!
//! It sees events and spans before scrubbing, as an exporter of traces would.
//! [`PrivacyWatch::check`] checks a text that has left the program.

use std::fmt::{self, Debug, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// The target of lines about operators' own settings, which are not scrubbed.
const SETTINGS: &str = "snowflake_broker::settings";

/// A layer that collects private data. Clones share their findings.
#[derive(Clone, Debug, Default)]
pub(crate) struct PrivacyWatch(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    secrets: Vec<String>,
    findings: Vec<Finding>,
    seen: usize,
}

/// A place where private data appears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The target (crate and module) of the event or span, or the name of the text.
    pub(crate) target: String,
    /// The whole event, span or line that contains the address or secret.
    pub(crate) text: String,
}

impl PrivacyWatch {
    /// Forbids `secret` from now on, in any case.
    pub(crate) fn forbid(&self, secret: &str) {
        assert!(!secret.is_empty(), "an empty secret is everywhere");
        self.state().secrets.push(secret.to_lowercase());
    }

    /// Checks a text that has left the program, such as its log or a metrics page.
    pub(crate) fn check(&self, name: &str, text: &str) {
        for line in text.lines() {
            self.look_at(name, line);
        }
    }

    /// The findings in targets that begin with `target`; all findings for `""`.
    pub(crate) fn findings(&self, target: &str) -> Vec<Finding> {
        let state = self.state();
        let of_target = |finding: &&Finding| finding.target.starts_with(target);
        state.findings.iter().filter(of_target).cloned().collect()
    }

    /// Fails the test if there are findings in targets that begin with `target`, or if
    /// nothing was recorded at all.
    #[track_caller]
    pub(crate) fn assert_clean(&self, target: &str) {
        assert!(
            self.state().seen > 0,
            "nothing was recorded: is the watch installed?"
        );
        let findings = self.findings(target);
        assert!(findings.is_empty(), "private data: {findings:#?}");
    }

    fn look_at(&self, target: &str, text: &str) {
        let mut state = self.state();
        state.seen += 1;
        let lower = text.to_lowercase();
        let is_secret = state.secrets.iter().any(|secret| lower.contains(secret));
        let is_about_settings = target == SETTINGS || names_own_places(text);
        if is_secret || !is_about_settings && holds_address(&lower) {
            state.findings.push(Finding {
                target: target.to_owned(),
                text: text.to_owned(),
            });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for PrivacyWatch {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        let mut fields = Fields::of(attributes.metadata());
        attributes.record(&mut fields);
        self.look_at(attributes.metadata().target(), &fields.0);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::of(span.metadata());
        values.record(&mut fields);
        self.look_at(span.metadata().target(), &fields.0);
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::of(event.metadata());
        event.record(&mut fields);
        self.look_at(event.metadata().target(), &fields.0);
    }
}

/// The name and fields of an event or span as text.
struct Fields(String);

impl Fields {
    fn of(metadata: &Metadata<'_>) -> Self {
        Self(metadata.name().to_owned())
    }

    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // Writing to a string cannot fail. If a `Debug` implementation does, the text
        // ends there.
        let _ = write!(self.0, " {}={value}", field.name());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }
}

/// Returns true if a log line tells where the broker listens, or cannot: addresses that the
/// operator has configured.
fn names_own_places(line: &str) -> bool {
    const LINES: [&str; 2] = ["serving clients and proxies", ": cannot listen on "];
    LINES.iter().any(|part| line.contains(part))
}

/// Returns true if a word of the text is an address, as it is or after `%3A`, `%5B` and
/// `%5D` are decoded. Deliberately shares no code with the scrubber.
fn holds_address(text: &str) -> bool {
    let decoded = text
        .replace("%3a", ":")
        .replace("%5b", "[")
        .replace("%5d", "]");
    [text, &decoded].into_iter().any(|text| {
        text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | ':')))
            .any(is_address)
    })
}

/// Returns true if a word is an address, with a port or punctuation at its ends.
fn is_address(word: &str) -> bool {
    let trimmed = word.trim_end_matches('.').trim_start_matches('.');
    let candidates = [
        trimmed,
        trimmed.strip_suffix(':').unwrap_or(trimmed),
        trimmed.strip_prefix(':').unwrap_or(trimmed),
    ];
    candidates.iter().any(|word| {
        // `::` alone is far more often Rust punctuation than an address.
        word.chars().any(|c| c.is_ascii_digit())
            && (word.parse::<IpAddr>().is_ok() || word.parse::<SocketAddr>().is_ok())
    })
}
