//! The names that were probably meant by those that there are not.

use super::finding::UNKNOWN;
use super::schema::{all_keys, keys_of, sections};

/// The likeness, of 1, from which one name is taken for another that was mistyped.
const LIKE: f64 = 0.85;

/// The known name that is most like a wrong one; none if none is.
fn closest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(wrong, name), name));
    let like = likeness.filter(|(likeness, _)| *likeness >= LIKE);
    like.max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}

/// The key that was meant: a mistyped one of the same section, or one of this name in
/// another section.
fn meant_key(section: &str, name: &str) -> Option<String> {
    let here = keys_of(section).unwrap_or_default();
    if let Some(name) = closest(name, here.iter().copied()) {
        return Some(format!("{section}.{name}"));
    }
    let elsewhere = format!(".{name}");
    let keys = all_keys().into_iter();
    keys.filter(|key| key.ends_with(&elsewhere))
        .min_by_key(String::len)
}

/// The problem of a key that its section does not have.
pub(super) fn unknown_key(section: &str, name: &str) -> String {
    if let Some(meant) = meant_key(section, name) {
        return format!("{UNKNOWN}key, did you mean {meant}?");
    }
    let known = keys_of(section).unwrap_or_default().join(", ");
    format!("{UNKNOWN}key, there are: {known}")
}

/// The problem of a name in a table that may have only these.
pub(super) fn unknown_name(name: &str, known: &[&str]) -> String {
    match closest(name, known.iter().copied()) {
        Some(meant) => format!("{UNKNOWN}key {name}, did you mean {meant}?"),
        None => format!("{UNKNOWN}key {name}, there are: {}", known.join(", ")),
    }
}

/// The problem of a section that there is not.
pub(super) fn unknown_section(name: &str) -> String {
    match closest(name, sections().iter().copied()) {
        Some(meant) => format!("{UNKNOWN}section, did you mean {meant}?"),
        None => format!("{UNKNOWN}section, there are: {}", sections().join(", ")),
    }
}

/// The problem of a key that is in no section.
pub(super) fn key_without_section(name: &str) -> String {
    match meant_key("", name) {
        Some(meant) => format!("{UNKNOWN}key outside of a section, did you mean {meant}?"),
        None => unknown_section(name),
    }
}

/// The key whose variable has this name, but for its case and its underscores.
pub(super) fn key_of_variable(rest: &str) -> Option<String> {
    let plain = |text: &str| text.to_ascii_lowercase().replace("__", "_");
    let asked = plain(rest);
    all_keys()
        .into_iter()
        .find(|key| plain(&key.replace('.', "_")) == asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_key_is_recognized() {
        for (section, name, meant) in [
            ("matching", "client_timout", Some("matching.client_timeout")),
            ("listener", "adr", Some("listener.addr")),
            ("listener", "cert", Some("tls.cert")),
            ("admin.tls", "clientca", Some("admin.tls.client_ca")),
            ("matching", "nothing", None),
        ] {
            assert_eq!(meant_key(section, name).as_deref(), meant, "{name}");
        }
    }

    #[test]
    fn what_is_like_nothing_gets_a_list() {
        let problem = unknown_key("tls", "colour");
        assert!(problem.starts_with("unknown key, there are: "), "{problem}");
        assert!(problem.contains("cert, key"), "{problem}");
        assert_eq!(
            unknown_section("macthing"),
            "unknown section, did you mean matching?"
        );
        assert!(unknown_section("colours").contains("listener, tls"));
    }

    #[test]
    fn a_variable_with_one_underscore_or_in_lower_case_is_recognized() {
        for rest in ["LISTENER_ADDR", "listener__addr", "LISTENER__ADDR"] {
            assert_eq!(key_of_variable(rest).as_deref(), Some("listener.addr"));
        }
        assert_eq!(
            key_of_variable("TLS_WATCH_INTERVAL").as_deref(),
            Some("tls.watch_interval")
        );
        assert_eq!(key_of_variable("COLOUR"), None);
    }
}
