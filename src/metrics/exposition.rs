//! The two text formats that Prometheus reads: OpenMetrics, which the registry writes,
//! and the older text format for scrapers that do not ask for OpenMetrics.

use std::fmt::Write as _;

use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::MetricFamily;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

/// The label of families by country.
const COUNTRY: &str = "cc";

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

/// Returns true if the series of a family carry a country label. Such families have a
/// series for the unknown country from the start.
pub(super) fn tells_countries(family: &MetricFamily) -> bool {
    let mut labels = family.metric.iter().flat_map(|series| &series.label);
    labels.any(|label| label.name == COUNTRY)
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
