//! The two text formats that Prometheus reads: OpenMetrics, which the registry writes,
//! and the older text format for scrapers that do not ask for OpenMetrics.

use std::fmt::Write as _;

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

/// The label of series by country, as it is written.
const COUNTRY: &str = "cc=\"";
/// The label of series by rule of the policy.
const RULE: &str = "rule=\"";

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `application/openmetrics-text`, version 1.0.0.
    OpenMetrics,
    /// `text/plain`, version 0.0.4.
    Text,
}

impl Format {
    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Converts an OpenMetrics text to this format.
    pub(super) fn convert(self, open_metrics: String) -> String {
        match self {
            Self::OpenMetrics => open_metrics,
            Self::Text => to_text(&open_metrics),
        }
    }
}

/// The OpenMetrics text of a registry.
pub(super) fn encode(registry: &Registry) -> String {
    let mut open_metrics = String::with_capacity(128 * 1024);
    // Writing to a string cannot fail.
    let _ = text::encode(&mut open_metrics, registry);
    open_metrics
}

/// Returns an OpenMetrics text without the series that have a country label, or that of a
/// rule, which may ask for countries. Of such a family only the metadata is left.
pub(super) fn without_countries(open_metrics: &str) -> String {
    let lines = open_metrics.split_inclusive('\n');
    lines.filter(|line| !tells_country(line)).collect()
}

/// Returns true if a line has such a label. The value of another label has a backslash
/// before each quotation mark.
fn tells_country(line: &str) -> bool {
    let is_label = |(at, _)| line[..at].ends_with(['{', ',']);
    let labels = [COUNTRY, RULE].into_iter();
    let mut found = labels.flat_map(|label| line.match_indices(label));
    found.any(is_label)
}

/// Converts an OpenMetrics text to the older format, whose metadata lines name counters
/// with their suffix, and which has no `UNIT` or `EOF`.
pub fn to_text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len() + 1024);
    let mut help = "";
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            write_metadata(&mut text, help, rest);
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

fn write_metadata(text: &mut String, help: &str, typed: &str) {
    let (name, kind) = typed.rsplit_once(' ').unwrap_or((typed, "untyped"));
    let help = help.strip_prefix(name).unwrap_or_default();
    let (suffix, kind) = match kind {
        "counter" => ("_total", "counter"),
        other => ("", other),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "# HELP {name}{suffix}{help}\n# TYPE {name}{suffix} {kind}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_countries_are_left_out() {
        let text = "# HELP a A.\n# TYPE a counter\na_total{cc=\"de\"} 1\n\
                    a_total{nat=\"x\",cc=\"fr\"} 1\n# HELP b B.\n# TYPE b gauge\n\
                    b{acc=\"1\"} 2\nb{nat=\",cc=\\\"\"} 3\n# EOF\n";
        let left = "# HELP a A.\n# TYPE a counter\n# HELP b B.\n# TYPE b gauge\n\
                    b{acc=\"1\"} 2\nb{nat=\",cc=\\\"\"} 3\n# EOF\n";
        assert_eq!(without_countries(text), left);
    }

    #[test]
    fn the_older_form_names_counters_in_full() {
        let open_metrics = "# HELP a Things.\n# TYPE a counter\na_total{b=\"c\"} 8\n\
                            # HELP g G.\n# TYPE g gauge\n# UNIT g seconds\ng 2\n# EOF\n";
        assert_eq!(
            Format::Text.convert(open_metrics.to_owned()),
            "# HELP a_total Things.\n# TYPE a_total counter\na_total{b=\"c\"} 8\n\
             # HELP g G.\n# TYPE g gauge\ng 2\n"
        );
    }
}
