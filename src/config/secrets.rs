//! Values that are not shown: in no finding, for those are logged, nor wherever else
//! the configuration is told.

use std::borrow::Cow;

/// The keys whose values are secret.
const KEYS: [&str; 1] = ["otel.headers"];
/// What the names of others have in them, should somebody write a secret where it
/// does not belong.
const WORDS: [&str; 4] = ["header", "password", "secret", "token"];

/// What is shown instead.
pub const HIDDEN: &str = "(secret)";

/// Whether the value of a key is not to be shown.
pub fn is_secret(key: &str) -> bool {
    KEYS.contains(&key)
}

/// Whether a secret may be in what somebody has written for a key, however wrong the
/// key is.
pub(super) fn may_be_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    WORDS.iter().any(|word| key.contains(word))
}

/// A text without the user names and passwords of the URLs in it.
pub fn without_passwords(text: &str) -> Cow<'_, str> {
    const BEFORE: &str = "://";
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(BEFORE) {
        let (before, after) = rest.split_at(at + BEFORE.len());
        shown.push_str(before);
        let ends = |c: char| c.is_whitespace() || "/?#\"',".contains(c);
        let authority = &after[..after.find(ends).unwrap_or(after.len())];
        rest = after;
        if let Some(user) = authority.rfind('@') {
            shown.push_str(HIDDEN);
            rest = &after[user..];
        }
    }
    if shown.is_empty() {
        return text.into();
    }
    shown.push_str(rest);
    shown.into()
}

/// Takes the secrets out of a tree of sections and keys, and returns the keys that had
/// some.
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
        } else if hide_passwords(value) {
            hidden.push(path(name));
        }
    }
}

/// Whether there were any.
fn hide_passwords(value: &mut toml::Value) -> bool {
    match value {
        toml::Value::String(text) => {
            let shown = without_passwords(text).into_owned();
            let is_changed = shown != *text;
            *text = shown;
            is_changed
        }
        toml::Value::Array(list) => {
            let changed = list.iter_mut().map(hide_passwords);
            changed.fold(false, |one, other| one | other)
        }
        toml::Value::Table(table) => {
            let changed = table.iter_mut().map(|(_, value)| hide_passwords(value));
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
                "[\"http://u:p@a\", \"http://b/@c\", \"x://v@d\"]",
                "[\"http://(secret)@a\", \"http://b/@c\", \"x://(secret)@d\"]",
            ),
            ("operator@example.org", "operator@example.org"),
            ("://", "://"),
            ("", ""),
        ] {
            assert_eq!(without_passwords(text), shown);
        }
    }

    #[test]
    fn a_tree_is_left_without_secrets() {
        let mut tree = toml::toml! {
            [otel]
            headers = "authorization=x"
            endpoint = "http://u:p@a"
            [federation]
            peers = [{ url = "https://u:p@b" }, { url = "https://c" }]
            [tls]
            key = "key.pem"
        };
        let mut hidden = hide(&mut tree);
        hidden.sort();
        assert_eq!(
            hidden,
            ["federation.peers", "otel.endpoint", "otel.headers"]
        );
        let shown = tree.to_string();
        assert!(
            !shown.contains("u:p") && !shown.contains("headers"),
            "{shown}"
        );
        assert!(
            shown.contains("(secret)@a") && shown.contains("https://c"),
            "{shown}"
        );
    }
}
