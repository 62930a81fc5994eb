//! What strings have to look like.

use std::net::SocketAddrV6;
use std::path::Path;

use crate::telemetry::{self, otel};
use crate::tls::acme::check_directory;

use super::Rules;

pub(super) fn check(rules: &mut Rules<'_>) {
    if !is_address(&rules.config.listener.addr) {
        rules.refuse(
            &["listener.addr"],
            "expected :PORT, HOST:PORT or [IPV6]:PORT",
        );
    }
    acme(rules);
    paths(rules);
    names(rules);
    log_level(rules);
    otel(rules);
}

/// Whether it is `:PORT`, `HOST:PORT` or `[IPV6]:PORT`.
fn is_address(text: &str) -> bool {
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
}

fn names(rules: &mut Rules<'_>) {
    let wrong = |name: &&String| !is_host(name);
    if let Some(name) = rules.config.acme.hostnames.iter().find(wrong) {
        let problem = format!("{name:?} is no host name");
        rules.refuse(&["acme.hostnames"], problem);
    }
    if rules.config.sqs.profiles.iter().any(String::is_empty) {
        rules.refuse(&["sqs.profiles"], "a profile's name is empty");
    }
}

fn log_level(rules: &mut Rules<'_>) {
    if let Err(error) = telemetry::check_level(&rules.config.telemetry.log_level) {
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
