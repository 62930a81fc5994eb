//! Decoding of URL, JSON and Rust `Debug` escapes, with the original position of each
//! character.

use std::borrow::Cow;
use std::ops::Range;

/// The placeholder for a non-ASCII character.
const OTHER: u8 = 0xff;

/// A text with decoded escapes.
pub(super) struct Unescaped<'a> {
    text: Cow<'a, [u8]>,
    /// The original position of each byte of `text`, and the end position. Empty if
    /// `text` is the original.
    origins: Vec<usize>,
}

impl<'a> Unescaped<'a> {
    /// The original text.
    pub(super) fn verbatim(text: &'a [u8]) -> Self {
        Self {
            text: Cow::Borrowed(text),
            origins: Vec::new(),
        }
    }

    /// Decodes one more level of escapes; `None` if there are none.
    pub(super) fn unescape(&self) -> Option<Unescaped<'static>> {
        let mut text = Vec::with_capacity(self.text.len());
        let mut origins = Vec::with_capacity(self.text.len() + 1);
        let mut rest = &*self.text;
        while !rest.is_empty() {
            let (byte, length) = first(rest);
            text.push(byte);
            origins.push(self.origin(self.text.len() - rest.len()));
            rest = &rest[length..];
        }
        origins.push(self.origin(self.text.len()));
        (text.len() < self.text.len()).then_some(Unescaped {
            text: Cow::Owned(text),
            origins,
        })
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// The range of the original that a range of the text came from.
    pub(super) fn place(&self, range: &Range<usize>) -> Range<usize> {
        self.origin(range.start)..self.origin(range.end)
    }

    /// A range of the original, widened to whole characters of the text.
    pub(super) fn widen(&self, range: &Range<usize>) -> Range<usize> {
        let after_start = self.origins.partition_point(|&from| from <= range.start);
        let end = self.origins.partition_point(|&from| from < range.end);
        self.origin(after_start.saturating_sub(1))..self.origin(end)
    }

    fn origin(&self, at: usize) -> usize {
        self.origins.get(at).copied().unwrap_or(at)
    }
}

/// The first character of a text, and the number of bytes that encode it.
fn first(text: &[u8]) -> (u8, usize) {
    match text[0] {
        b'%' => percent(text),
        b'\\' => backslash(text),
        byte => (byte, 1),
    }
}

/// Decodes `%3A`, or `%253A` for double encoding.
fn percent(text: &[u8]) -> (u8, usize) {
    let mut digits = 1;
    while text[digits..].starts_with(b"25") && hex(&text[digits + 2..], 2).is_some() {
        digits += 2;
    }
    match hex(&text[digits..], 2) {
        Some(byte) => (byte, digits + 2),
        None => (b'%', 1),
    }
}

/// Decodes `\n`, `\u003a`, `\u{3a}` or `\x3a`, after any number of backslashes.
fn backslash(text: &[u8]) -> (u8, usize) {
    let slashes = text.iter().take_while(|&&byte| byte == b'\\').count();
    let rest = &text[slashes..];
    match rest.first() {
        Some(b'n' | b'r' | b't' | b'b' | b'f' | b'0') => (b' ', slashes + 1),
        Some(b'x') => numeric(hex(&rest[1..], 2), slashes, 3),
        Some(b'u') if rest.get(1) == Some(&b'{') => braced(&rest[2..], slashes),
        Some(b'u') => numeric(hex(&rest[1..], 4), slashes, 5),
        _ => (b'\\', slashes),
    }
}

/// Decodes the rest of `\u{3a}` after the brace.
fn braced(text: &[u8], slashes: usize) -> (u8, usize) {
    let digits = text.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let closed = text.get(digits) == Some(&b'}');
    let byte = hex(text, digits).filter(|_| closed);
    numeric(byte, slashes, digits + 3)
}

fn numeric(byte: Option<u8>, slashes: usize, length: usize) -> (u8, usize) {
    match byte {
        Some(byte) => (byte, slashes + length),
        None => (b'\\', slashes),
    }
}

/// The character with the code at the beginning of `text`.
fn hex(text: &[u8], digits: usize) -> Option<u8> {
    let digits = str::from_utf8(text.get(..digits)?).ok()?;
    // `from_str_radix` would accept a sign.
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let number = u32::from_str_radix(digits, 16).ok()?;
    Some(
        u8::try_from(number)
            .ok()
            .filter(u8::is_ascii)
            .unwrap_or(OTHER),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn once(text: &str) -> String {
        let unescaped = Unescaped::verbatim(text.as_bytes()).unescape();
        unescaped.map_or_else(String::new, |unescaped| {
            String::from_utf8_lossy(unescaped.text()).into_owned()
        })
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(once("%5Bfe80%3a%3A1%5d"), "[fe80::1]");
        assert_eq!(once("%25253A%"), ":%");
        assert_eq!(once(r"a\u003Ab\x3ac\u{3a}d"), "a:b:c:d");
        assert_eq!(once(r"a\\\\nb\0c"), "a b c");
        assert_eq!(once(r"\u00e9"), "\u{fffd}");
    }

    #[test]
    fn what_is_no_escape_stays() {
        for text in [
            "%", "%4", "%+4", "%zz", r"\", r"\q", r"\u12", r"\u{12", r"\x1", r"\u{}",
        ] {
            assert_eq!(once(text), "", "{text}");
        }
    }

    #[test]
    fn places_lead_back_to_the_original() {
        let text = r"a%25\u003a!".as_bytes();
        let once = Unescaped::verbatim(text).unescape().unwrap();
        assert_eq!(once.text(), b"a%:!");
        assert_eq!(once.place(&(1..3)), 1..10);
        assert_eq!(once.widen(&(2..5)), 1..10);
        assert_eq!(once.widen(&(0..1)), 0..1);
        assert_eq!(once.widen(&(10..11)), 10..11);
    }
}
