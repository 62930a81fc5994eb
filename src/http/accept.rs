//! Content negotiation (RFC 9110, section 12.5): the format and coding that a reader
//! prefers.

use http::header::{ACCEPT, ACCEPT_ENCODING};
use http::{HeaderMap, HeaderName};

use crate::metrics::exposition::Format;

/// The largest weight, in thousandths.
const WHOLE: u16 = 1000;

/// The text format of metrics that `Accept` asks for. On a tie, the older format wins,
/// since every reader knows it: a reader that accepts both equally must name `OpenMetrics`
/// to get it.
pub(super) fn format(headers: &HeaderMap) -> Format {
    let accepted = |format| {
        let ranges = preferences(headers, ACCEPT);
        let fitting = ranges.filter_map(|range| Some((range.precision(format)?, range.weight)));
        // The most specific range applies, whatever the others say.
        fitting.max().unwrap_or((Precision::Anything, 0))
    };
    let (precision, open_metrics) = accepted(Format::OpenMetrics);
    let (_, text) = accepted(Format::Text);
    let is_named = precision >= Precision::Type && open_metrics > 0;
    if open_metrics > text || (open_metrics == text && is_named) {
        Format::OpenMetrics
    } else {
        Format::Text
    }
}

/// Returns true if `Accept-Encoding` asks for gzip.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let weight = |codings: &[&str]| {
        let preferences = preferences(headers, ACCEPT_ENCODING);
        let named = preferences.filter(|one| codings.iter().any(|coding| one.is(coding)));
        named.map(|one| one.weight).max()
    };
    let gzip = weight(&["gzip", "x-gzip"]).or_else(|| weight(&["*"]));
    let as_it_is = weight(&["identity"]).unwrap_or(0);
    gzip.is_some_and(|gzip| gzip > 0 && gzip >= as_it_is)
}

/// One element of an `Accept` or `Accept-Encoding` header.
struct Preference<'a> {
    name: &'a str,
    version: Option<&'a str>,
    weight: u16,
}

/// The specificity with which a media range matches a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Precision {
    Anything,
    AnySubtype,
    Type,
    Version,
}

fn preferences(headers: &HeaderMap, header: HeaderName) -> impl Iterator<Item = Preference<'_>> {
    headers
        .get_all(header)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| split(value, ','))
        .filter_map(Preference::parse)
}

/// Splits a value at a separator, except inside quotes.
fn split(value: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let parts = value.split(move |character| {
        is_quoted ^= character == '"';
        character == separator && !is_quoted
    });
    parts.map(str::trim)
}

impl<'a> Preference<'a> {
    /// Parses an element; `None` if its weight is invalid.
    fn parse(element: &'a str) -> Option<Self> {
        let mut parts = split(element, ';');
        let mut preference = Self {
            name: parts.next()?,
            version: None,
            weight: WHOLE,
        };
        for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
            if name.eq_ignore_ascii_case("q") {
                preference.weight = thousandths(value)?;
            } else if name.eq_ignore_ascii_case("version") {
                preference.version = Some(value.trim_matches('"'));
            }
        }
        Some(preference)
    }

    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The specificity with which this media range matches a format; `None` if it does
    /// not. Of the parameters, only the version distinguishes formats.
    fn precision(&self, format: Format) -> Option<Precision> {
        let (media_type, any_subtype, version) = match format {
            Format::OpenMetrics => ("application/openmetrics-text", "application/*", "1.0.0"),
            Format::Text => ("text/plain", "text/*", "0.0.4"),
        };
        if self.is(media_type) {
            let is_version = |wanted| (wanted == version).then_some(Precision::Version);
            return self.version.map_or(Some(Precision::Type), is_version);
        }
        let is_any = self.is("*/*").then_some(Precision::Anything);
        let is_any_subtype = self.is(any_subtype).then_some(Precision::AnySubtype);
        is_any.or(is_any_subtype)
    }
}

/// A weight from 0 to 1, in thousandths; any further decimals are ignored.
fn thousandths(weight: &str) -> Option<u16> {
    let (whole, decimals) = weight.split_once('.').unwrap_or((weight, ""));
    let is_number = decimals.bytes().all(|byte| byte.is_ascii_digit());
    let decimals: u16 = format!("{decimals:0<3}").get(..3)?.parse().ok()?;
    match (whole, decimals) {
        ("0", _) if is_number => Some(decimals),
        ("1", 0) if is_number => Some(WHOLE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(header: &HeaderName, values: &[&'static str]) -> HeaderMap {
        let values = values.iter().copied().map(HeaderValue::from_static);
        values.map(|value| (header.clone(), value)).collect()
    }

    #[test]
    fn open_metrics_for_whoever_would_rather_have_it() {
        for accept in [
            // Prometheus 2.42, 2.53 and 3.
            "application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8",
            "application/openmetrics-text, text/plain",
            "application/openmetrics-text;q=0.5, */*;q=0.5",
            "application/*, text/*;q=0.999",
            "text/plain;q=0, */*;q=0.001",
            "text/plain;q=0.2;x=\"a,b;q=1\", application/openmetrics-text ; Q=0.3",
        ] {
            let headers = headers(&ACCEPT, &[accept]);
            assert_eq!(format(&headers), Format::OpenMetrics, "{accept}");
        }
        let lines = headers(
            &ACCEPT,
            &["text/plain;q=0.5", "application/openmetrics-text"],
        );
        assert_eq!(format(&lines), Format::OpenMetrics);
    }

    #[test]
    fn the_older_form_for_everybody_else() {
        for accept in [
            "*/*",
            "",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "text/plain;version=0.0.4;q=0.5,application/openmetrics-text;q=0.4",
            "TEXT/PLAIN, application/openmetrics-text;q=0.999",
            "application/openmetrics-text;q=0, */*",
            "application/openmetrics-text;q=0",
            // Prometheus 2.5, which accepts no released version of the format.
            "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=2.0.0",
            "application/openmetrics-text;q=2, text/plain;q=0.1",
            "application/openmetrics-text-more",
            "application/json",
            ";q=1,,;",
        ] {
            let headers = headers(&ACCEPT, &[accept]);
            assert_eq!(format(&headers), Format::Text, "{accept}");
        }
        assert_eq!(format(&HeaderMap::new()), Format::Text);
    }

    #[test]
    fn gzip_for_whoever_asks_for_it() {
        for (encodings, is_taken) in [
            ("gzip", true),
            ("GZip", true),
            ("x-gzip", true),
            ("deflate, gzip;q=0.5, br", true),
            ("*", true),
            ("identity;q=0.5, *;q=0.5", true),
            ("gzip;q=0.001", true),
            ("gzip;q=0", false),
            ("gzip;q=0.0, *", false),
            ("*;q=0", false),
            ("gzip;q=0.5, identity", false),
            ("deflate, br, zstd", false),
            ("identity", false),
            ("", false),
        ] {
            let headers = headers(&ACCEPT_ENCODING, &[encodings]);
            assert_eq!(takes_gzip(&headers), is_taken, "{encodings}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn weights_are_from_0_to_1() {
        for (weight, expected) in [
            ("0", Some(0)),
            ("0.", Some(0)),
            ("0.5", Some(500)),
            ("0.05", Some(50)),
            ("0.1239", Some(123)),
            ("1", Some(1000)),
            ("1.000", Some(1000)),
            ("1.001", None),
            ("2", None),
            ("", None),
            ("0.+5", None),
            ("0.5x", None),
            ("-1", None),
            ("0.5\u{e9}", None),
        ] {
            assert_eq!(thousandths(weight), expected, "{weight}");
        }
    }
}
