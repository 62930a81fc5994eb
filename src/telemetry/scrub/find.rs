//! Search for IP addresses in a text. Each contains a `.` or a `:`, so only their
//! surroundings are examined.

use std::ops::Range;

use memchr::{memchr_iter, memchr2};

/// The ranges of all addresses, sorted and without overlap.
pub(super) fn addresses(text: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut done = 0;
    while let Some(offset) = memchr2(b'.', b':', &text[done..]) {
        let mark = done + offset;
        done = if text[mark] == b'.' {
            find_v4(text, mark, &mut found)
        } else {
            find_v6(text, mark, &mut found)
        };
    }
    if found.is_empty() {
        return found;
    }
    // The IPv4 part of an IPv6 address is found separately.
    let mut found = merge(found);
    for range in &mut found {
        *range = with_attachments(text, range.clone());
    }
    found
}

/// The ranges sorted, with adjacent ones merged.
pub(super) fn merge(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|next, range| {
        let touches = next.start <= range.end;
        if touches {
            range.end = range.end.max(next.end);
        }
        touches
    });
    ranges
}

/// Examines the run of digits and dots around the first dot, at `mark`. Returns the run's
/// end.
fn find_v4(text: &[u8], mark: usize, found: &mut Vec<Range<usize>>) -> usize {
    let start = start_of(text, mark, |byte| byte.is_ascii_digit());
    if start == mark {
        return mark + 1;
    }
    let end = end_of(text, mark, |byte| byte.is_ascii_digit() || byte == b'.');
    if has_four_numbers(&text[start..end]) {
        let dots = text[..end].iter().rev().take_while(|&&byte| byte == b'.');
        found.push(start..end - dots.count());
    }
    end
}

/// Returns true if four numbers between dots can be an address. Of the outer numbers,
/// only the digits next to the dot need to fit: `%20` or `\u0001` may precede.
fn has_four_numbers(run: &[u8]) -> bool {
    let mut numbers = 0;
    for number in run.split(|&byte| byte == b'.') {
        if number.is_empty() {
            numbers = 0;
            continue;
        }
        if numbers >= 3 {
            return true;
        }
        numbers = if is_octet(number) { numbers + 1 } else { 1 };
    }
    false
}

fn is_octet(number: &[u8]) -> bool {
    let value = number
        .iter()
        .take(4)
        .fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    number.len() <= 3 && value <= 255
}

/// Examines the run of letters, digits, underscores and colons around the colon at
/// `mark`. Returns the run's end.
fn find_v6(text: &[u8], mark: usize, found: &mut Vec<Range<usize>>) -> usize {
    let start = start_of(text, mark, is_word_or_colon);
    let end = end_of(text, mark, is_word_or_colon);
    let start = after_style(text, start).min(mark);
    let token = &text[start..end];
    if can_be_v6(token) && !is_path(token) {
        find_groups(text, start..end, found);
    }
    end
}

/// Returns true if there are as many colons as an address has: `::`, or six between seven
/// groups, the last of which may begin an IPv4 address.
fn can_be_v6(text: &[u8]) -> bool {
    let colons = memchr_iter(b':', text).count();
    colons >= 6 || colons >= 2 && text.windows(2).any(|pair| pair == b"::")
}

/// Finds every run of hex digits and colons in the token at `place` that can be an
/// address. Letters may be adjacent to it, but not to `::` alone.
fn find_groups(text: &[u8], place: Range<usize>, found: &mut Vec<Range<usize>>) {
    let mut at = place.start;
    while at < place.end {
        let end = end_of(&text[..place.end], at, is_hex_or_colon);
        let run = without_punctuation(text, at..end);
        let bytes = &text[run.clone()];
        let alone = run == without_punctuation(text, place.clone());
        if can_be_v6(bytes) && (alone || bytes.iter().any(u8::is_ascii_hexdigit)) {
            found.push(run);
        }
        at = end.max(at + 1);
    }
}

/// The range without a leading or trailing colon that is not part of a `::`.
fn without_punctuation(text: &[u8], Range { mut start, mut end }: Range<usize>) -> Range<usize> {
    let colon = |byte: u8| byte == b':';
    if matches!(end_of(&text[..end], start, colon) - start, 1 | 3) {
        start += 1;
    }
    if matches!(
        end - start_of(&text[start..], end - start, colon) - start,
        1 | 3
    ) {
        end -= 1;
    }
    start..end
}

/// Returns true if a token is a path such as `http::client`, possibly followed by a line
/// and a column. All its parts must be identifiers. In addition, one of them must not be
/// a valid group of an address, or there must be too many `::` for an address and no
/// digit.
fn is_path(token: &[u8]) -> bool {
    let path = without_position(token);
    let mut named = false;
    let mut colons = 0;
    // Split at every colon, `a::b` becomes `a`, an empty part and `b`.
    for (at, part) in path.split(|&byte| byte == b':').enumerate() {
        let between_colons = at % 2 == 1;
        if !(part.is_empty() || is_identifier(part) && !between_colons) {
            return false;
        }
        named |= !is_group(part);
        colons = at;
    }
    let undecided = colons > 2 && !path.iter().any(u8::is_ascii_digit);
    colons % 2 == 0 && (named || undecided)
}

/// A path without a trailing `:12`, `:12:5` or `:`.
fn without_position(token: &[u8]) -> &[u8] {
    let mut path = token;
    for has_number in [false, true, true] {
        let end = start_of(path, path.len(), |byte| byte.is_ascii_digit());
        let is_single = path[..end].ends_with(b":") && !path[..end].ends_with(b"::");
        if is_single && has_number == (end < path.len()) {
            path = &path[..end - 1];
        }
    }
    path
}

fn is_identifier(part: &[u8]) -> bool {
    part.first()
        .is_some_and(|&first| first.is_ascii_alphabetic() || first == b'_')
        && part.iter().all(|&byte| is_word(byte))
}

fn is_group(part: &[u8]) -> bool {
    part.len() <= 4 && part.iter().all(u8::is_ascii_hexdigit)
}

/// The beginning of a token after a terminal color such as `ESC [ 2 m`, whose `m` would
/// count as the token's first letter.
fn after_style(text: &[u8], start: usize) -> usize {
    let end = end_of(text, start, |byte| byte.is_ascii_digit());
    let begin = start_of(text, start, |byte| byte.is_ascii_digit() || byte == b';');
    if text.get(end) == Some(&b'm') && text[..begin].ends_with(b"\x1b[") {
        end + 1
    } else {
        start
    }
}

/// The range of an address, including its zone, brackets and port.
fn with_attachments(text: &[u8], Range { mut start, mut end }: Range<usize>) -> Range<usize> {
    end += zone(&text[end..]);
    if text[..start].ends_with(b"[") && text[end..].starts_with(b"]") {
        start -= 1;
        end += 1;
    }
    end += port(&text[end..]);
    start..end
}

/// The length of the zone (RFC 4007: `%eth0`; in URLs `%25eth0`); 0 if there is none or
/// the percent sign begins another escape.
fn zone(text: &[u8]) -> usize {
    let Some(name) = text.strip_prefix(b"%") else {
        return 0;
    };
    let is_escape = name.len() >= 2 && name[..2].iter().all(u8::is_ascii_hexdigit);
    if is_escape && !name.starts_with(b"25") {
        return 0;
    }
    match end_of(name, 0, |byte| is_word(byte) || byte == b'-') {
        0 => 0,
        length => 1 + length,
    }
}

/// The length of a port such as `:443`; 0 if there is none.
fn port(text: &[u8]) -> usize {
    let digits = match text.strip_prefix(b":") {
        Some(rest) => end_of(rest, 0, |byte| byte.is_ascii_digit()),
        None => 0,
    };
    if (1..=5).contains(&digits) {
        1 + digits
    } else {
        0
    }
}

fn start_of(text: &[u8], from: usize, belongs: impl Fn(u8) -> bool) -> usize {
    let run = text[..from].iter().rev().take_while(|&&byte| belongs(byte));
    from - run.count()
}

fn end_of(text: &[u8], from: usize, belongs: impl Fn(u8) -> bool) -> usize {
    let run = text[from..].iter().take_while(|&&byte| belongs(byte));
    from + run.count()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_word_or_colon(byte: u8) -> bool {
    is_word(byte) || byte == b':'
}

fn is_hex_or_colon(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b':'
}
