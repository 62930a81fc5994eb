//! What strings have to look like.

use std::net::{IpAddr, SocketAddrV6};
use std::path::Path;

use http::Uri;

use crate::listener::SOCKETS;
use crate::telemetry::{LogLevel, otel};
use crate::tls::acme::check_directory;
use crate::wire::relay_pattern::RelayPattern;

use super::Rules;
use crate::config::finding::PEM;

pub(super) fn check(rules: &mut Rules<'_>) {
    if !is_address(&rules.config.listener.addr) {
        rules.refuse(
            &["listener.addr"],
            "expected :PORT, HOST:PORT or [IPV6]:PORT",
        );
    }
    sockets(rules);
    acme(rules);
    paths(rules);
    names(rules);
    relay_patterns(rules);
    log_level(rules);
    otel(rules);
}

fn sockets(rules: &mut Rules<'_>) {
    let mut expected = rules.config.listener.expected_sockets.iter();
    if let Some(unknown) = expected.find(|name| !SOCKETS.contains(&name.as_str())) {
        let problem = format!("{unknown:?}: expected {}", SOCKETS.join(", "));
        rules.refuse(&["listener.expected_sockets"], problem);
    }
}

/// Whether it is `:PORT`, `HOST:PORT` or `[IPV6]:PORT`.
pub(super) fn is_address(text: &str) -> bool {
    if text.starts_with('[') {
        return text.parse::<SocketAddrV6>().is_ok();
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    is_port && (host.is_empty() || is_host(host))
}

fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !label.is_empty() && label.bytes().all(fits)
    };
    let text = text.strip_suffix('.').unwrap_or(text);
    text.split('.').all(is_label)
}

/// Why no certificate can be ordered for a name.
fn not_certifiable(name: &str) -> Option<&'static str> {
    if name.parse::<IpAddr>().is_ok() {
        return Some("is an address, expected a host name");
    }
    if name.contains('*') {
        return Some(
            "has a wildcard: name each host, a wildcard cannot be proved over HTTP or TLS",
        );
    }
    if !name.is_ascii() {
        return Some("has to be written in ASCII, as xn--...");
    }
    (!is_dns_name(name)).then_some("is no host name")
}

/// Whether it is a name as in RFC 1123 section 2.1, not ended by a dot.
pub(super) fn is_dns_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(fits)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // What ends with a number would be an address.
    let last = text.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= 253 && !is_number && text.split('.').all(is_label)
}

fn acme(rules: &mut Rules<'_>) {
    let settings = &rules.config.acme;
    if let Err(problem) = check_directory(&settings.directory) {
        rules.refuse(&["acme.directory"], problem);
    }
    let addr = &settings.http_addr;
    if !addr.is_empty() && !is_address(addr) {
        rules.refuse(
            &["acme.http_addr"],
            "expected :PORT, HOST:PORT or [IPV6]:PORT, or nothing",
        );
    }
    let is_email = |email: &str| email.contains('@') && !email.contains([' ', ',', ':', '?']);
    if settings
        .email
        .as_deref()
        .is_some_and(|email| !is_email(email))
    {
        rules.refuse(&["acme.email"], "is no email address");
    }
}

/// Paths that no file can have. Optional ones are never empty: the empty
/// string unsets them.
fn paths(rules: &mut Rules<'_>) {
    if rules.config.acme.cert_cache == Path::new("") {
        rules.refuse(&["acme.cert_cache"], "is empty");
    }
    let origins = rules.origins;
    for key in origins.written_with(PEM) {
        let problem = "is the content of a file, and has to be its path";
        rules.refuse(&[key], problem);
    }
}

fn names(rules: &mut Rules<'_>) {
    let problem = |name: &String| Some(format!("{name:?} {}", not_certifiable(name)?));
    if let Some(problem) = rules.config.acme.hostnames.iter().find_map(problem) {
        rules.refuse(&["acme.hostnames"], problem);
    }
}

fn has_user(endpoint: &str) -> bool {
    let url = endpoint.parse::<Uri>();
    url.is_ok_and(|url| url.authority().is_some_and(|it| it.as_str().contains('@')))
}

fn relay_patterns(rules: &mut Rules<'_>) {
    let broker = &rules.config.broker;
    let patterns = [
        (
            "broker.allowed_relay_pattern",
            &broker.allowed_relay_pattern,
        ),
        (
            "broker.default_relay_pattern",
            &broker.default_relay_pattern,
        ),
    ];
    for (key, pattern) in patterns {
        if let Err(problem) = RelayPattern::checked(pattern) {
            rules.refuse(&[key], problem.to_string());
        }
    }
}

fn log_level(rules: &mut Rules<'_>) {
    if let Err(error) = LogLevel::parse(&rules.config.telemetry.log_level) {
        rules.refuse(&["telemetry.log_level"], error.to_string());
    }
}

fn otel(rules: &mut Rules<'_>) {
    let c = &rules.config.otel;
    let endpoints = [
        ("otel.endpoint", &c.endpoint),
        ("otel.traces_endpoint", &c.traces_endpoint),
        ("otel.metrics_endpoint", &c.metrics_endpoint),
    ];
    for (key, endpoint) in endpoints {
        let checked = endpoint.as_deref().map_or(Ok(()), otel::check_endpoint);
        if let Err(error) = checked {
            rules.refuse(&[key], error.to_string());
        }
        if endpoint.as_deref().is_some_and(has_user) {
            rules.warn(
                &[key, "otel.headers"],
                "the user and password in it are not sent: set otel.headers, as \
                 authorization=Basic%20...",
            );
        }
    }
    let headers = c.headers.as_deref().unwrap_or_default();
    if let Err(error) = otel::check_headers(headers) {
        rules.refuse(&["otel.headers"], error.to_string());
    }
    let attributes = c.resource_attributes.as_deref().unwrap_or_default();
    if let Err(error) = otel::parse_pairs(attributes) {
        rules.refuse(&["otel.resource_attributes"], error.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::not_certifiable;

    #[test]
    fn host_names_are_told_from_what_gets_no_certificate() {
        let long = format!("{}.example", "a".repeat(63));
        for name in [
            "a.example",
            "localhost",
            "xn--bcher-kva.example",
            "1.a-b.c2",
            &long,
        ] {
            assert_eq!(not_certifiable(name), None, "{name}");
        }
        let labels = [
            "a".repeat(63),
            "b".repeat(63),
            "c".repeat(63),
            "d".repeat(62),
        ];
        for (name, why) in [
            ("192.0.2.1", "is an address"),
            ("2001:db8::1", "is an address"),
            ("*.a.example", "has a wildcard"),
            ("b\u{fc}cher.example", "in ASCII"),
            ("a.example.", "is no host name"),
            ("a..example", "is no host name"),
            ("a_b.example", "is no host name"),
            ("-a.example", "is no host name"),
            ("a-.example", "is no host name"),
            ("a.example:443", "is no host name"),
            ("https://a.example", "is no host name"),
            ("1.2.3", "is no host name"),
            ("", "is no host name"),
            (&format!("a{long}"), "is no host name"),
            (&labels.join("."), "is no host name"),
        ] {
            let said = not_certifiable(name).unwrap_or_default();
            assert!(said.contains(why), "{name}: {said}");
        }
    }
}
