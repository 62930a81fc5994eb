//! A strict parser of the metrics log: it accepts what Tor's `CollecTor` and later
//! readers accept, in exactly this order of lines, and nothing else. It shares no code
//! with the broker.

use std::collections::BTreeMap;

/// A block of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// `YYYY-MM-DD HH:MM:SS`.
    pub(crate) end: String,
    pub(crate) seconds: u64,
    counts: BTreeMap<&'static str, u64>,
    lists: BTreeMap<&'static str, Vec<(String, u64)>>,
}

/// The kind of value after a keyword.
#[derive(Clone, Copy)]
enum Kind {
    Count,
    RoundedCount,
    List,
    RoundedList,
}

use Kind::{Count, List, RoundedCount, RoundedList};

/// All lines after the first, in order.
const LINES: [(&str, Kind); 32] = [
    ("snowflake-ips", List),
    ("snowflake-ips-badge", Count),
    ("snowflake-ips-bloco", Count),
    ("snowflake-ips-iptproxy", Count),
    ("snowflake-ips-standalone", Count),
    ("snowflake-ips-webext", Count),
    ("snowflake-ips-total", Count),
    ("snowflake-idle-count", RoundedCount),
    ("snowflake-proxy-poll-with-relay-url-count", RoundedCount),
    ("snowflake-proxy-poll-without-relay-url-count", RoundedCount),
    ("snowflake-proxy-rejected-for-relay-url-count", RoundedCount),
    ("client-denied-count", RoundedCount),
    ("client-restricted-denied-count", RoundedCount),
    ("client-unrestricted-denied-count", RoundedCount),
    ("client-nat-strict-denied-count", RoundedCount),
    ("client-nat-moderate-denied-count", RoundedCount),
    ("client-nat-open-denied-count", RoundedCount),
    ("client-nat-unknown-denied-count", RoundedCount),
    ("client-snowflake-match-count", RoundedCount),
    ("client-snowflake-timeout-count", RoundedCount),
    ("client-http-count", RoundedCount),
    ("client-http-ips", RoundedList),
    ("client-ampcache-count", RoundedCount),
    ("client-ampcache-ips", RoundedList),
    ("client-sqs-count", RoundedCount),
    ("client-sqs-ips", RoundedList),
    ("snowflake-ips-nat-restricted", Count),
    ("snowflake-ips-nat-unrestricted", Count),
    ("snowflake-ips-nat-unknown", Count),
    ("snowflake-ips-nat-strict", Count),
    ("snowflake-ips-nat-moderate", Count),
    ("snowflake-ips-nat-open", Count),
];

impl Block {
    /// The number after a keyword.
    pub(crate) fn count(&self, keyword: &str) -> u64 {
        self.counts[keyword]
    }

    /// The list after a keyword.
    pub(crate) fn list(&self, keyword: &str) -> &[(String, u64)] {
        &self.lists[keyword]
    }
}

/// Parses a whole log; the error names the line and its problem.
pub(crate) fn parse(log: &str) -> Result<Vec<Block>, String> {
    if log.is_empty() {
        return Ok(Vec::new());
    }
    let text = log.strip_suffix('\n').ok_or("the last line has no end")?;
    let lines: Vec<&str> = text.split('\n').collect();
    let length = LINES.len() + 1;
    lines
        .chunks(length)
        .enumerate()
        .map(|(index, lines)| parse_block(lines, index * length))
        .collect()
}

fn parse_block(lines: &[&str], before: usize) -> Result<Block, String> {
    if lines.len() != LINES.len() + 1 {
        return Err(format!("the block after line {before} is cut off"));
    }
    let at = |number: usize, what: &str| format!("line {}: {what}", before + number);
    let (end, seconds) = parse_end(lines[0]).map_err(|what| at(1, &what))?;
    let mut block = Block {
        end,
        seconds,
        counts: BTreeMap::new(),
        lists: BTreeMap::new(),
    };
    for ((line, (keyword, kind)), number) in lines[1..].iter().zip(LINES).zip(2..) {
        add_line(&mut block, line, keyword, kind).map_err(|what| at(number, &what))?;
    }
    Ok(block)
}

fn add_line(
    block: &mut Block,
    line: &str,
    keyword: &'static str,
    kind: Kind,
) -> Result<(), String> {
    let value = line
        .strip_prefix(keyword)
        .and_then(|rest| rest.strip_prefix(' '))
        .ok_or_else(|| format!("it is not {keyword}"))?;
    match kind {
        Count => block.counts.insert(keyword, number(value)?).is_none(),
        RoundedCount => {
            let count = rounded(number(value)?)?;
            block.counts.insert(keyword, count).is_none()
        }
        List => block.lists.insert(keyword, list(value)?).is_none(),
        RoundedList => {
            let list = list(value)?;
            for (_, count) in &list {
                rounded(*count)?;
            }
            block.lists.insert(keyword, list).is_none()
        }
    };
    Ok(())
}

/// `snowflake-stats-end YYYY-MM-DD HH:MM:SS (N s)`.
fn parse_end(line: &str) -> Result<(String, u64), String> {
    let rest = line
        .strip_prefix("snowflake-stats-end ")
        .ok_or("it is not snowflake-stats-end")?;
    let (end, length) = rest.split_once(" (").ok_or("it has no length")?;
    let seconds = length
        .strip_suffix(" s)")
        .ok_or("its length is not (N s)")?;
    check_date(end)?;
    Ok((end.to_owned(), number(seconds)?))
}

/// Checks the positions of the separators and the ranges of the numbers.
fn check_date(text: &str) -> Result<(), String> {
    let wrong = || format!("{text:?} is not a date and time");
    let shape: String = text
        .chars()
        .map(|sign| if sign.is_ascii_digit() { '0' } else { sign })
        .collect();
    if shape != "0000-00-00 00:00:00" {
        return Err(wrong());
    }
    for (place, range) in [
        (5, 1..=12),
        (8, 1..=31),
        (11, 0..=23),
        (14, 0..=59),
        (17, 0..=59),
    ] {
        let part: u8 = text[place..place + 2].parse().map_err(|_| wrong())?;
        if !range.contains(&part) {
            return Err(wrong());
        }
    }
    Ok(())
}

/// Parses digits without leading zeros.
fn number(text: &str) -> Result<u64, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return Err(format!("{text:?} is not a number"));
    }
    text.parse().map_err(|_| format!("{text} is too large"))
}

fn rounded(count: u64) -> Result<u64, String> {
    if count.is_multiple_of(8) {
        return Ok(count);
    }
    Err(format!("{count} is not a multiple of 8"))
}

/// Parses `CC=N,CC=N`, the largest count first, equal counts by code; or nothing.
fn list(text: &str) -> Result<Vec<(String, u64)>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let list: Vec<(String, u64)> = text.split(',').map(entry).collect::<Result<_, _>>()?;
    for pair in list.windows(2) {
        let [(code, count), (next_code, next_count)] = pair else {
            continue;
        };
        if count < next_count || (count == next_count && code >= next_code) {
            return Err(format!("{next_code} is out of order"));
        }
    }
    let mut codes: Vec<&String> = list.iter().map(|(code, _)| code).collect();
    codes.sort();
    codes.dedup();
    if codes.len() < list.len() {
        return Err("a country is there twice".to_owned());
    }
    Ok(list)
}

fn entry(text: &str) -> Result<(String, u64), String> {
    let (code, count) = text.split_once('=').ok_or(format!("{text:?} has no ="))?;
    let capital = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    let known = code.len() == 2 && code.bytes().all(capital);
    if !known && code != "??" {
        return Err(format!("{code:?} is not a country"));
    }
    match number(count)? {
        0 => Err(format!("{code} has none")),
        count => Ok((code.to_owned(), count)),
    }
}
