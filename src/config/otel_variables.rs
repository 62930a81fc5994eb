//! OpenTelemetry's own environment variables, with the names in its specification. Their
//! layer is below our variables, since they apply to every program of a machine. Each
//! variable is an alias of a key; an empty one counts as unset.

use std::borrow::Cow;
use std::ffi::OsString;

use super::finding::{Finding, SettingSource};
use super::layers::{self, Given};

/// The form of a variable's value.
#[derive(Clone, Copy)]
enum Form {
    /// The same text as the key's.
    Text,
    /// One of several words, in any case.
    Word,
    /// A whole number of milliseconds.
    Milliseconds,
}

/// The variables and their keys.
const VARIABLES: [(&str, &str, Form); 16] = [
    ("OTEL_SDK_DISABLED", "otel.disable", Form::Word),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "otel.endpoint", Form::Text),
    (
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "otel.traces_endpoint",
        Form::Text,
    ),
    (
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        "otel.metrics_endpoint",
        Form::Text,
    ),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "otel.protocol", Form::Word),
    (
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "otel.traces_protocol",
        Form::Word,
    ),
    (
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
        "otel.metrics_protocol",
        Form::Word,
    ),
    ("OTEL_EXPORTER_OTLP_HEADERS", "otel.headers", Form::Text),
    (
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "otel.timeout",
        Form::Milliseconds,
    ),
    ("OTEL_TRACES_EXPORTER", "otel.traces_exporter", Form::Word),
    ("OTEL_METRICS_EXPORTER", "otel.metrics_exporter", Form::Word),
    ("OTEL_TRACES_SAMPLER", "otel.sampler", Form::Word),
    ("OTEL_TRACES_SAMPLER_ARG", "otel.trace_ratio", Form::Text),
    (
        "OTEL_METRIC_EXPORT_INTERVAL",
        "otel.metrics_interval",
        Form::Milliseconds,
    ),
    ("OTEL_SERVICE_NAME", "otel.service_name", Form::Text),
    (
        "OTEL_RESOURCE_ATTRIBUTES",
        "otel.resource_attributes",
        Form::Text,
    ),
];

/// The prefix of further variables that are not supported.
const OTLP: &str = "OTEL_EXPORTER_OTLP_";

/// The values of these variables, in the order of the keys.
pub(super) fn variables(environment: &[(OsString, OsString)]) -> Vec<Given> {
    let known = VARIABLES.iter();
    known
        .filter_map(|(name, key, form)| {
            let (_, text) = environment.iter().find(|(known, _)| known == name)?;
            let text = form.text(&text.to_string_lossy());
            let source = SettingSource::Variable((*name).to_owned());
            (!text.is_empty()).then(|| layers::given(key, &text, source))
        })
        .collect()
}

/// Findings for unsupported variables about exports, except those about logs, which the
/// broker does not export.
pub(super) fn ignored(environment: &[(OsString, OsString)]) -> Vec<Finding> {
    let is_known = |name: &str| VARIABLES.iter().any(|(known, ..)| *known == name);
    let names = environment.iter().map(|(name, _)| name.to_string_lossy());
    let mut ignored: Vec<String> = names
        .filter(|name| name.starts_with(OTLP) && !name.starts_with("OTEL_EXPORTER_OTLP_LOGS_"))
        .filter(|name| !is_known(name))
        .map(Cow::into_owned)
        .collect();
    ignored.sort();
    let finding = |name| Finding {
        key: None,
        value: None,
        source: SettingSource::Variable(name),
        problem: "is ignored: there is no such setting".to_owned(),
    };
    ignored.into_iter().map(finding).collect()
}

impl Form {
    fn text(self, text: &str) -> String {
        let text = text.trim();
        match self {
            Self::Word => text.to_ascii_lowercase(),
            Self::Milliseconds if text.parse::<u64>().is_ok() => format!("{text}ms"),
            Self::Milliseconds | Self::Text => text.to_owned(),
        }
    }
}
