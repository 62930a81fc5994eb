//! What strings have to look like.

use std::net::SocketAddrV6;
use std::path::Path;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::Rules;

pub(super) fn check(rules: &mut Rules<'_>) {
    if !is_address(&rules.config.listener.addr) {
        rules.refuse(
            &["listener.addr"],
            "expected :PORT, HOST:PORT or [IPV6]:PORT",
        );
    }
    paths(rules);
    names(rules);
    log_level(rules);
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
    const KEY: &str = "telemetry.log_level";
    let text = rules.config.telemetry.log_level.as_str();
    if text.is_empty() {
        rules.refuse(&[KEY], "is empty; `off` logs nothing");
    } else if let Err(error) = EnvFilter::builder().parse(text) {
        rules.refuse(&[KEY], format!("is no level and no filter: {error}"));
    } else if is_misspelt_level(text) {
        rules.warn(
            &[KEY],
            "is no level, so it is taken for the only module to log; levels are off, error, warn, info, debug, trace",
        );
    }
}

/// A filter of one word that is no level names a module; ours has another name.
fn is_misspelt_level(text: &str) -> bool {
    let is_word = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_word && text.parse::<LevelFilter>().is_err()
}
