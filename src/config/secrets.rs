//! Hiding of secret values, in findings (which are logged) and wherever else the
//! configuration is shown.

use std::borrow::Cow;

/// Keys with secret values.
const KEYS: [&str; 1] = ["otel.headers"];
/// Words in names under which an operator may have written a secret by mistake.
const WORDS: [&str; 4] = ["header", "password", "secret", "token"];
/// Sections that hold secrets or the access to them. An unknown key may be a misspelled
/// key of such a section.
const SECTIONS: [&str; 7] = [
    "admin",
    "cluster",
    "federation",
    "otel",
    "pools",
    "pools.list",
    "sqs",
];
/// Keys whose values are or contain URLs.
const URLS: [&str; 7] = [
    "acme.directory",
    "cluster.servers",
    "federation.discover",
    PEERS,
    "otel.endpoint",
    "otel.metrics_endpoint",
    "otel.traces_endpoint",
];
/// The key with tables, and the name of the URL in each table.
const PEERS: &str = "federation.peers";
const URL: &str = "url";

/// The text shown instead of a secret.
pub const HIDDEN: &str = "(secret)";

/// Returns true if the value of a key is secret.
pub fn is_secret(key: &str) -> bool {
    KEYS.contains(&key)
}

/// Returns true if the value written for a key may contain a secret, even if the key is
/// invalid. `is_unknown` means that the key does not exist.
pub(super) fn may_be_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    WORDS.iter().any(|word| key.contains(word)) || SECTIONS.contains(&&*key)
}

/// The value of a key, as written in a TOML file, without the secrets in its URLs: users,
/// passwords and the values in queries. Malformed URLs such as `user:password@host` count
/// as URLs where a URL is expected.
pub fn without_url_secrets<'a>(key: &str, text: &'a str) -> Cow<'a, str> {
    in_every_string(text, is_url(key))
}

fn is_url(key: &str) -> bool {
    URLS.contains(&key)
}

/// Hides the secrets of URLs in all quoted strings of a text, and between them.
fn in_every_string(text: &str, is_url: bool) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(['"', '\'']) {
        let (before, quoted) = rest.split_at(start);
        let delimiter = delimiter(quoted);
        let quoted = &quoted[delimiter.len()..];
        let end = closing(quoted, delimiter);
        let (string, after) = quoted.split_at(end);
        shown.push_str(&hide_in_url(before, is_url));
        shown.push_str(delimiter);
        shown.push_str(&hide_in_url(string, is_url));
        let closing = delimiter.len().min(after.len());
        shown.push_str(&after[..closing]);
        rest = &after[closing..];
    }
    shown.push_str(&hide_in_url(rest, is_url));
    if shown == text {
        return text.into();
    }
    shown.into()
}

/// The opening quotes of a string: one, or three as in TOML.
fn delimiter(quoted: &str) -> &str {
    let is_long = quoted.starts_with("\"\"\"") || quoted.starts_with("'''");
    &quoted[..if is_long { 3 } else { 1 }]
}

/// The offset of a string's closing quotes, or of the end of the text. A backslash
/// escapes the next character only in double quotes.
fn closing(string: &str, delimiter: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in string.char_indices() {
        if is_escaped {
            is_escaped = false;
        } else if c == '\\' && delimiter.starts_with('"') {
            is_escaped = true;
        } else if string[at..].starts_with(delimiter) {
            return at;
        }
    }
    string.len()
}

/// Hides everything from the scheme to the last `@`, since a password may contain any
/// character, and the values in the query. A text without a scheme is a URL only if
/// `is_url`.
fn hide_in_url(text: &str, is_url: bool) -> String {
    const BEFORE: &str = "://";
    let start = match text.find(BEFORE) {
        Some(at) if !is_url || is_scheme(&text[..at]) => at + BEFORE.len(),
        _ if is_url => 0,
        _ => return text.to_owned(),
    };
    let (scheme, rest) = text.split_at(start);
    match rest.rfind('@') {
        Some(user) => format!("{scheme}{HIDDEN}{}", without_query(&rest[user..])),
        None => format!("{scheme}{}", without_query(rest)),
    }
}

fn is_scheme(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    text.bytes().all(fits)
}

/// The URL with names but no values in its query, and without a fragment.
fn without_query(url: &str) -> String {
    let Some(at) = url.find(['?', '#']) else {
        return url.to_owned();
    };
    let (path, query) = url.split_at(at + 1);
    if query.is_empty() {
        return url.to_owned();
    }
    let hidden = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) => format!("{name}={HIDDEN}"),
        None => HIDDEN.to_owned(),
    });
    format!("{path}{}", hidden.collect::<Vec<_>>().join("&"))
}

/// Removes secrets from a tree of sections and keys, and returns the keys that had any.
pub(super) fn hide(tree: &mut toml::Table) -> Vec<String> {
    let mut hidden = Vec::new();
    hide_in(tree, "", &mut hidden);
    hidden
}

fn hide_in(table: &mut toml::Table, section: &str, hidden: &mut Vec<String>) {
    let path = |name: &str| match section {
        "" => name.to_owned(),
        section => format!("{section}.{name}"),
    };
    table.retain(|name, _| {
        let is_shown = !is_secret(&path(name));
        if !is_shown {
            hidden.push(path(name));
        }
        is_shown
    });
    for (name, value) in table {
        if let toml::Value::Table(keys) = value {
            hide_in(keys, &path(name), hidden);
        } else if hide_in_value(value, is_url(&path(name))) {
            hidden.push(path(name));
        }
    }
}

/// Hides secrets in a value, and returns true if there were any.
fn hide_in_value(value: &mut toml::Value, is_url: bool) -> bool {
    match value {
        toml::Value::String(text) => {
            let shown = hide_in_url(text, is_url);
            let is_changed = shown != *text;
            *text = shown;
            is_changed
        }
        toml::Value::Array(list) => {
            let changed = list.iter_mut().map(|value| hide_in_value(value, is_url));
            changed.fold(false, |one, other| one | other)
        }
        toml::Value::Table(table) => {
            let names = table.iter_mut();
            let changed = names.map(|(name, value)| hide_in_value(value, is_url && name == URL));
            changed.fold(false, |one, other| one | other)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_their_passwords() {
        for (text, shown) in [
            ("http://a.example:1/b", "http://a.example:1/b"),
            ("http://u:p@a.example/", "http://(secret)@a.example/"),
            ("\"https://u:p%40@b@a:1\"", "\"https://(secret)@a:1\""),
            ("https://token@a", "https://(secret)@a"),
            (
                "[\"http://u:p@a\", \"http://b/c\", 'x://v@d']",
                "[\"http://(secret)@a\", \"http://b/c\", 'x://(secret)@d']",
            ),
            ("\"http://u:p/w@a\"", "\"http://(secret)@a\""),
            ("\"http://u:p?w#x@a\"", "\"http://(secret)@a\""),
            ("\"http://u:p\\\"w'@a\"", "\"http://(secret)@a\""),
            ("'http://u:p\\'", "'http://u:p\\'"),
            (
                "\"\"\"http://u:p\"w@a\"\"\"",
                "\"\"\"http://(secret)@a\"\"\"",
            ),
            ("\"http://a/?b=c&d\"", "\"http://a/?b=(secret)&(secret)\""),
            ("http://a/#b=c", "http://a/#b=(secret)"),
            ("http://a/?", "http://a/?"),
            ("operator@example.org", "operator@example.org"),
            ("\"unfinished", "\"unfinished"),
            ("://", "://"),
            ("", ""),
        ] {
            assert_eq!(without_url_secrets("acme.email", text), shown);
        }
    }

    #[test]
    fn where_a_url_is_expected_none_has_to_be_well_formed() {
        for (text, shown) in [
            ("\"u:p@localhost:4318\"", "\"(secret)@localhost:4318\""),
            ("\"//u:p@a\"", "\"(secret)@a\""),
            ("\"http:/u:p@a\"", "\"(secret)@a\""),
            ("\"u:p://w@a\"", "\"(secret)@a\""),
            ("\"u:p@http://a\"", "\"(secret)@http://a\""),
            ("\"localhost:4318?b=c\"", "\"localhost:4318?b=(secret)\""),
            ("\"localhost:4318\"", "\"localhost:4318\""),
            ("\"https://a:1/b\"", "\"https://a:1/b\""),
        ] {
            for key in URLS {
                let once = without_url_secrets(key, text);
                assert_eq!(once, shown, "{key}");
                assert_eq!(without_url_secrets(key, &once), shown, "{key}");
            }
        }
    }

    #[test]
    fn sections_and_suspicious_names_may_hold_secrets() {
        for key in [
            "otel.headers",
            "otel",
            "Admin",
            "acme.some_token",
            "pools.list",
        ] {
            assert!(may_be_secret(key), "{key}");
        }
        for key in ["otel.endpoint", "federation.peers", "sqs.queues"] {
            assert!(!may_be_secret(key), "{key}");
        }
    }

    #[test]
    fn a_tree_is_left_without_secrets() {
        let mut tree = toml::toml! {
            [otel]
            headers = "authorization=x"
            endpoint = "http://u:p@a"
            traces_endpoint = "http://a/?b=c"
            metrics_endpoint = "http://a:4318"
            [federation]
            peers = [{ name = "x:@c", url = "u:p@b" }, { url = "https://c" }]
            [tls]
            key = "key.pem"
        };
        let mut hidden = hide(&mut tree);
        hidden.sort();
        assert_eq!(
            hidden,
            [
                "federation.peers",
                "otel.endpoint",
                "otel.headers",
                "otel.traces_endpoint"
            ]
        );
        let shown = tree.to_string();
        assert!(
            !shown.contains("u:p") && !shown.contains("headers"),
            "{shown}"
        );
        assert!(
            [
                "(secret)@a",
                "(secret)@b",
                "https://c",
                "?b=(secret)",
                "x:@c"
            ]
            .iter()
            .all(|part| shown.contains(part)),
            "{shown}"
        );
    }
}
