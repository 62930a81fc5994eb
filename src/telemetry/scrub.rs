//! Removal of IP addresses from log lines.
//!
//! No address may survive, in whatever form a crate writes it, so an ambiguous text
//! counts as an address. A line is read as it is and, if it contains `%` or `\`, also
//! with URL, JSON and Rust escapes decoded, up to three levels. Addresses found in any of
//! these readings are replaced.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr2;

mod escapes;
mod find;

/// The replacement of an address, including its brackets, zone and port.
const SCRUBBED: &str = "[scrubbed]";

/// The maximum number of nested levels of escapes.
const READINGS: usize = 3;

/// `text` with each IP address replaced by `[scrubbed]`: dotted IPv4 and all IPv6 forms
/// of RFC 4291, section 2.2, with any brackets, zone and port, escaped or not. Borrowed
/// if there is no address.
///
/// Paths such as `crate::module`, times and three-part versions stay. Any four numbers
/// between dots are replaced, and so is hex such as `ab::c`.
pub fn scrub(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut found = find::addresses(bytes);
    if memchr2(b'%', b'\\', bytes).is_some() {
        found.extend(behind_escapes(bytes));
        widen_to_escapes(bytes, &mut found);
    }
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(replace(text, found))
}

/// The ranges of addresses in `text` that appear only after decoding escapes.
fn behind_escapes(text: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut reading = escapes::Unescaped::verbatim(text);
    for _ in 0..READINGS {
        let Some(deeper) = reading.unescape() else {
            break;
        };
        reading = deeper;
        found.extend(
            find::addresses(reading.text())
                .into_iter()
                .map(|range| reading.place(&range)),
        );
    }
    found
}

/// Widens ranges that begin or end within an escape: half an escape would corrupt a line
/// of JSON.
fn widen_to_escapes(text: &[u8], found: &mut [Range<usize>]) {
    if found.is_empty() {
        return;
    }
    if let Some(once) = escapes::Unescaped::verbatim(text).unescape() {
        for range in found {
            *range = once.widen(range);
        }
    }
}

fn replace(text: &str, found: Vec<Range<usize>>) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut done = 0;
    for range in find::merge(found) {
        clean.push_str(&text[done..range.start]);
        clean.push_str(SCRUBBED);
        done = range.end;
    }
    clean.push_str(&text[done..]);
    clean
}

#[cfg(test)]
mod tests;
