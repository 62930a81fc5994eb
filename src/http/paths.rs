//! Normalization of request paths.

use std::borrow::Cow;

use http::Uri;
use http::uri::PathAndQuery;

/// Decodes the needlessly escaped characters of a path: see [`normalized`].
pub(super) fn normalize(uri: &mut Uri) {
    let Cow::Owned(path) = normalized(uri.path()) else {
        return;
    };
    let path_and_query = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(path_and_query).ok();
    if let Ok(normalized) = Uri::from_parts(parts) {
        *uri = normalized;
    }
}

/// The path without needless escapes: in a URI, it makes no difference whether an
/// unreserved character is escaped (RFC 3986, section 6.2.2.2). Other escapes, such as
/// `%2F`, differ from the plain character.
fn normalized(path: &str) -> Cow<'_, str> {
    let Some((before, mut rest)) = path.split_once('%') else {
        return path.into();
    };
    let mut normalized = before.to_owned();
    loop {
        // `rest` follows a `%`.
        if let Some(character) = unreserved(rest) {
            normalized.push(character);
            rest = &rest[2..];
        } else {
            normalized.push('%');
        }
        let Some((before, after)) = rest.split_once('%') else {
            normalized.push_str(rest);
            return normalized.into();
        };
        normalized.push_str(before);
        rest = after;
    }
}

/// The unreserved character (section 2.3) that the first two hexadecimal digits of a text
/// encode, if they do.
fn unreserved(text: &str) -> Option<char> {
    let digits = text.get(..2)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let character = char::from(u8::from_str_radix(digits, 16).ok()?);
    let is_unreserved = character.is_ascii_alphanumeric() || "-._~".contains(character);
    (is_hex && is_unreserved).then_some(character)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn unreserved_characters_alone_are_unescaped() {
        for (path, expected) in [
            ("/client", "/client"),
            ("/%63lient", "/client"),
            ("/%63%6C%69ent", "/client"),
            ("/%70roxy%2f", "/proxy%2f"),
            ("/%2Fclient", "/%2Fclient"),
            ("/client%", "/client%"),
            ("/client%6", "/client%6"),
            ("/client%+6", "/client%+6"),
            ("/%%63lient", "/%client"),
            ("/%2563lient", "/%2563lient"),
            ("/a%C3%A4%7E%7e%2D%2E%5F", "/a%C3%A4~~-._"),
            ("/\u{e4}%\u{e4}", "/\u{e4}%\u{e4}"),
        ] {
            assert_eq!(normalized(path), expected, "{path}");
        }
    }

    #[test]
    fn the_rest_of_a_uri_stays() {
        for (uri, expected) in [
            ("/%63lient?a=%62&c", "/client?a=%62&c"),
            ("http://a.example:1/%63lient?", "http://a.example:1/client?"),
            ("/%2fclient", "/%2fclient"),
            ("*", "*"),
            ("a.example:1", "a.example:1"),
        ] {
            let mut normal: Uri = uri.parse().unwrap();
            normalize(&mut normal);
            assert_eq!(normal.to_string(), expected, "{uri}");
        }
    }

    proptest! {
        #[test]
        fn escaping_unreserved_characters_changes_nothing(
            path in "/[a-zA-Z0-9._~/-]{0,20}",
            escaped in prop::collection::vec(any::<bool>(), 21),
        ) {
            let escape = |(character, is_escaped): (char, bool)| {
                if is_escaped && character != '/' {
                    format!("%{:02X}", u32::from(character))
                } else {
                    character.to_string()
                }
            };
            let written: String = path.chars().zip(escaped).map(escape).collect();
            prop_assert_eq!(normalized(&written), path);
        }

        #[test]
        fn nothing_panics(path in ".*") {
            let _ = normalized(&path);
        }
    }
}
