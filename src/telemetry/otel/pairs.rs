//! Lists in a single string, as in OpenTelemetry's variables.

use percent_encoding::percent_decode_str;

/// The error for a part that is not `name=value`, or not UTF-8 after decoding.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be name=value,name=value, percent-encoded: {0:?} is not")]
pub struct InvalidPair(String);

/// Parses `name=value,name=value`, percent-encoded (the W3C baggage format without
/// properties). Empty parts are ignored.
pub fn parse(list: &str) -> Result<Vec<(String, String)>, InvalidPair> {
    let parts = list.split(',').map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(|part| pair(part).ok_or_else(|| InvalidPair(part.to_owned())))
        .collect()
}

fn pair(part: &str) -> Option<(String, String)> {
    let (name, value) = part.split_once('=')?;
    let (name, value) = (decoded(name.trim())?, decoded(value.trim())?);
    (!name.is_empty()).then_some((name, value))
}

fn decoded(text: &str) -> Option<String> {
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_decoded() {
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let expected = [("a", "1"), ("authorization", "Basic x=="), ("c", "")].map(own);
        let list = " a = 1 ,,authorization=Basic%20x==,c=";
        assert_eq!(parse(list).unwrap(), expected);
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn the_culprit_is_named() {
        for (list, culprit) in [("a=1,b", "b"), ("=1", "=1"), ("a=%ff", "a=%ff")] {
            assert_eq!(parse(list), Err(InvalidPair(culprit.to_owned())));
        }
    }
}
