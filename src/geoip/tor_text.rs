//! Tor's text format: lines `first,last,CC` and comments with `#`. IPv4 addresses are
//! decimal integers; IPv6 addresses are written in their usual form.
//!
//! Lines may be in any order; as in Tor, they are sorted if necessary. Tor finds an
//! arbitrary one of overlapping ranges. Here overlapping ranges are refused unless they
//! name the same country.

use std::net::Ipv6Addr;

use super::country::CountryCode;
use super::table::{Number, RangeTable, RangeTableBuilder};

/// The error for an invalid line, whose text is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {number}: {fault}")]
pub struct InvalidLine {
    /// The line number, counted from 1.
    pub number: usize,
    /// The error in the line.
    pub fault: LineFault,
}

/// The kinds of errors in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// The line does not have exactly two commas.
    #[error("must have the form first,last,CC")]
    Form,
    /// `first` is not an address of the family.
    #[error("first must be {0}")]
    First(&'static str),
    /// `last` is not an address of the family.
    #[error("last must be {0}")]
    Last(&'static str),
    /// The range ends before it starts.
    #[error("last must not be before first")]
    Backwards,
    /// The country is not two letters.
    #[error("the country must be two letters")]
    Country,
    /// The range overlaps another line's, whose country differs.
    #[error("overlaps with line {0}, which names another country")]
    Overlap(usize),
}

/// An address family in this format.
pub(super) trait TorTextAddress: Number {
    /// The description of an address in an error.
    const NAME: &'static str;

    fn parse(text: &str) -> Option<Self>;
}

/// Reads a whole file.
pub(super) fn decode<A: TorTextAddress>(
    content: &[u8],
) -> Result<RangeTable<A, CountryCode>, InvalidLine> {
    match decode_sorted(content)? {
        Some(table) => Ok(table),
        None => decode_unsorted(content),
    }
}

struct Range<A> {
    first: A,
    last: A,
    country: CountryCode,
    line: usize,
}

/// Handles the usual case without a list of all ranges; `None` if the ranges are not
/// sorted or overlap.
fn decode_sorted<A: TorTextAddress>(
    content: &[u8],
) -> Result<Option<RangeTable<A, CountryCode>>, InvalidLine> {
    let mut builder = RangeTableBuilder::with_capacity(line_count(content));
    for range in ranges(content) {
        let Range {
            first,
            last,
            country,
            ..
        } = range?;
        if !builder.push(first, last, country) {
            return Ok(None);
        }
    }
    Ok(Some(builder.build()))
}

fn decode_unsorted<A: TorTextAddress>(
    content: &[u8],
) -> Result<RangeTable<A, CountryCode>, InvalidLine> {
    let mut sorted = ranges(content).collect::<Result<Vec<Range<A>>, _>>()?;
    sorted.sort_by_key(|range| (range.first, range.line));
    let mut builder = RangeTableBuilder::with_capacity(sorted.len());
    let mut farthest: Option<&Range<A>> = None;
    for range in &sorted {
        if !builder.push(range.first, range.last, range.country) {
            return Err(overlap(range, farthest));
        }
        if farthest.is_none_or(|before| before.last < range.last) {
            farthest = Some(range);
        }
    }
    Ok(builder.build())
}

fn overlap<A>(range: &Range<A>, before: Option<&Range<A>>) -> InvalidLine {
    let other = before.map_or(0, |before| before.line);
    InvalidLine {
        number: range.line.max(other),
        fault: LineFault::Overlap(range.line.min(other)),
    }
}

fn line_count(content: &[u8]) -> usize {
    content.split(|byte| *byte == b'\n').count()
}

/// The ranges in the order of their lines.
fn ranges<A: TorTextAddress>(
    content: &[u8],
) -> impl Iterator<Item = Result<Range<A>, InvalidLine>> {
    content
        .split(|byte| *byte == b'\n')
        .zip(1..)
        .map(|(text, line)| (text.trim_ascii(), line))
        .filter(|(text, _)| !text.is_empty() && !text.starts_with(b"#"))
        .map(|(text, line)| {
            parse_line(text, line).map_err(|fault| InvalidLine {
                number: line,
                fault,
            })
        })
}

fn parse_line<A: TorTextAddress>(text: &[u8], line: usize) -> Result<Range<A>, LineFault> {
    let mut fields = text.split(|byte| *byte == b',');
    let (Some(first), Some(last), Some(country), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(LineFault::Form);
    };
    let first = parse_address(first).ok_or(LineFault::First(A::NAME))?;
    let last = parse_address(last).ok_or(LineFault::Last(A::NAME))?;
    if last < first {
        return Err(LineFault::Backwards);
    }
    let country = CountryCode::from_bytes(country).map_err(|_| LineFault::Country)?;
    Ok(Range {
        first,
        last,
        country,
        line,
    })
}

fn parse_address<A: TorTextAddress>(field: &[u8]) -> Option<A> {
    str::from_utf8(field).ok().and_then(A::parse)
}

impl TorTextAddress for u32 {
    const NAME: &'static str = "an IPv4 address as a decimal integer";

    fn parse(text: &str) -> Option<Self> {
        // `parse` alone would accept a plus sign.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    }
}

impl TorTextAddress for u128 {
    const NAME: &'static str = "an IPv6 address";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Ipv6Addr::to_bits)
    }
}
