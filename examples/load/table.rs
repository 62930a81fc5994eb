//! A report as a table.

use std::fmt;

use crate::report::{Handshakes, Latency, Measured, Report};

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}", self.server)?;
        if let Some(seconds) = self.start_up_seconds {
            let millis = seconds * 1e3;
            row(
                out,
                "start",
                format_args!("{millis:.0} ms to the first response"),
            )?;
        }
        measured(out, &self.measured)?;
        parked(out, self)?;
        latency(out, &self.latency)?;
        let Handshakes { all, resumed } = self.handshakes;
        if all > 0 {
            let handshakes = format_args!("{all}, {resumed} of them resumed");
            row(out, "TLS handshakes", handshakes)?;
        }
        for (outcome, count) in self.outcomes.iter().filter(|(_, count)| **count > 0) {
            row(out, &outcome.replace('_', " "), format_args!("{count}"))?;
        }
        let verdict = if self.correct {
            "nothing lost, nothing crossed"
        } else {
            "WRONG: answers were lost, crossed or damaged"
        };
        row(out, "answers", format_args!("{verdict}"))
    }
}

fn measured(out: &mut fmt::Formatter<'_>, measured: &Measured) -> fmt::Result {
    let (rate, matches) = (measured.matches_per_second, measured.matches);
    row(
        out,
        "matches",
        format_args!("{rate:.0}/s, {matches} in all"),
    )?;
    if let (Some(of_match), Some(of_request)) = (
        measured.cpu_micros_per_match,
        measured.cpu_micros_per_request,
    ) {
        let cpu = format_args!("{of_match:.1} us a match, {of_request:.1} us a request");
        row(out, "CPU", cpu)?;
    }
    if let Some(cpu) = measured.cpu_seconds
        && measured.seconds > 0.0
    {
        let share = cpu / measured.seconds * 1e2;
        row(
            out,
            "CPU share",
            format_args!("{share:.1} % of one processor"),
        )?;
    }
    Ok(())
}

fn parked(out: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    let polls = report.parked_polls;
    row(
        out,
        "parked polls",
        format_args!("{polls} before the first client"),
    )?;
    let Some(memory) = &report.memory else {
        return Ok(());
    };
    let megabytes = to_float(memory.with_parked_polls) / 1e6;
    let each = memory.per_parked_poll.unwrap_or_default();
    row(
        out,
        "memory",
        format_args!("{megabytes:.1} MB, {each:.0} bytes a parked poll"),
    )
}

fn latency(out: &mut fmt::Formatter<'_>, latency: &Latency) -> fmt::Result {
    if latency.count == 0 {
        return Ok(());
    }
    let millis = |micros: u64| to_float(micros) / 1e3;
    row(
        out,
        "latency",
        format_args!(
            "p50 {:.1}, p90 {:.1}, p99 {:.1}, p99.9 {:.1}, max {:.1} ms",
            millis(latency.p50),
            millis(latency.p90),
            millis(latency.p99),
            millis(latency.p999),
            millis(latency.max),
        ),
    )
}

fn row(out: &mut fmt::Formatter<'_>, name: &str, value: fmt::Arguments<'_>) -> fmt::Result {
    writeln!(out, "  {name:<20} {value}")
}

#[expect(clippy::cast_precision_loss, reason = "none of these comes near 2^52")]
pub(crate) fn to_float(number: u64) -> f64 {
    number as f64
}
