//! Writing of log lines through [`scrub`], whichever crate logged them.

use std::fmt;
use std::io::{self, Write};

use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use super::scrub::scrub;

/// The target of lines that name nothing but settings, which operators wrote themselves:
/// their addresses stay.
pub const SETTINGS: &str = "snowflake_broker::settings";

/// Makes writers that scrub their input.
#[derive(Clone, Debug)]
pub(super) struct ScrubbedOutput<M> {
    inner: M,
    keeps_addresses: bool,
}

impl<M> ScrubbedOutput<M> {
    pub(super) fn new(inner: M, keeps_addresses: bool) -> Self {
        Self {
            inner,
            keeps_addresses,
        }
    }
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for ScrubbedOutput<M> {
    type Writer = LineWriter<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        LineWriter {
            inner: self.inner.make_writer(),
            keeps_addresses: self.keeps_addresses,
            pending: Vec::new(),
        }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self::Writer {
        LineWriter {
            inner: self.inner.make_writer_for(metadata),
            keeps_addresses: self.keeps_addresses || metadata.target() == SETTINGS,
            pending: Vec::new(),
        }
    }
}

/// Passes on whole lines, so that no address is split; an incomplete line is passed on at
/// a flush or when the writer is dropped.
#[derive(Debug)]
pub(super) struct LineWriter<W: Write> {
    inner: W,
    keeps_addresses: bool,
    pending: Vec<u8>,
}

impl<W: Write> LineWriter<W> {
    fn pass_on(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.keeps_addresses {
            return self.inner.write_all(lines);
        }
        let text = String::from_utf8_lossy(lines);
        self.inner.write_all(scrub(&text).as_bytes())
    }

    fn pass_on_pending(&mut self) -> io::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return Ok(());
        }
        self.pass_on(&pending)
    }
}

impl<W: Write> Write for LineWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let whole = bytes.iter().rposition(|&byte| byte == b'\n');
        let (lines, rest) = bytes.split_at(whole.map_or(0, |newline| newline + 1));
        if self.pending.is_empty() && !lines.is_empty() {
            self.pass_on(lines)?;
        } else {
            self.pending.extend_from_slice(lines);
            if !lines.is_empty() {
                self.pass_on_pending()?;
            }
        }
        self.pending.extend_from_slice(rest);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass_on_pending()?;
        self.inner.flush()
    }
}

impl<W: Write> Drop for LineWriter<W> {
    fn drop(&mut self) {
        // Errors cannot be reported here.
        drop(self.pass_on_pending());
    }
}

/// Prefixes each event with its syslog priority (RFC 5424, section 6.2.1), such as `<6>`,
/// which the journal removes: see sd-daemon(3).
pub(super) struct WithPriority<F>(pub(super) F);

impl<S, N, F> FormatEvent<S, N> for WithPriority<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

/// Lines for people: only below the level info do they say which module they are from.
pub(super) struct TargetsOfDetails<T> {
    plain: Format<Full, T>,
    with_target: Format<Full, T>,
}

impl<T: Clone> TargetsOfDetails<T> {
    pub(super) fn new(format: Format<Full, T>) -> Self {
        Self {
            plain: format.clone().with_target(false),
            with_target: format,
        }
    }
}

impl<S, N, T> FormatEvent<S, N> for TargetsOfDetails<T>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    T: FormatTime,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let is_detail = *event.metadata().level() > Level::INFO;
        let format = if is_detail {
            &self.with_target
        } else {
            &self.plain
        };
        format.format_event(context, writer, event)
    }
}

fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn writer(output: &mut Vec<u8>, keeps_addresses: bool) -> LineWriter<&mut Vec<u8>> {
        LineWriter {
            inner: output,
            keeps_addresses,
            pending: Vec::new(),
        }
    }

    #[test]
    fn unsafe_logging_keeps_addresses() {
        let mut output = Vec::new();
        writer(&mut output, true).write_all(b"1.2.3.4\n").unwrap();
        assert_eq!(output, b"1.2.3.4\n");
    }

    proptest! {
        #[test]
        fn lines_are_scrubbed_as_a_whole_however_they_are_cut(cuts in prop::collection::vec(0..60usize, 0..8)) {
            let text = b"peer 1.2.3.4:80\ngone fe80::1%eth0\nfrom [2001:db8::5]:443";
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut output = Vec::new();
            let mut writer = writer(&mut output, false);
            for cut in cuts.windows(2) {
                writer.write_all(&text[cut[0]..cut[1]]).unwrap();
            }
            drop(writer);
            prop_assert_eq!(output, b"peer [scrubbed]\ngone [scrubbed]\nfrom [scrubbed]");
        }
    }
}
