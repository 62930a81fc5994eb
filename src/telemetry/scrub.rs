//! Takes IP addresses out of log lines.
//!
//! No address may survive, in whatever form a crate writes it, so a doubtful
//! text counts as an address. A line is read as it stands and, where it holds
//! `%` or `\`, also with URL, JSON and Rust escapes undone, up to three deep;
//! what any of these readings finds is replaced.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr2;

mod escapes;
mod find;

/// The text in place of an address, its brackets, zone and port.
const SCRUBBED: &str = "[scrubbed]";

/// The most times that escapes are undone that are themselves escaped.
const READINGS: usize = 3;

/// `text` with `[scrubbed]` for every IP address: IPv4 as dotted decimals,
/// IPv6 as RFC 4291 section 2.2 writes it, with brackets, zone and port if
/// there are any, escaped or not. Borrowed where there is none.
///
/// Paths such as `crate::module`, times and three-part versions stay. Four
/// numbers between dots go, whatever they are, and so does hex such as `ab::c`.
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

/// The places in `text` of addresses that show once escapes are undone.
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

/// Lets no range begin or end inside an escape: half of one would spoil a line
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
