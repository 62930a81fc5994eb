//! Figures, each with the place that it is from: a setting, whose default counts, a
//! constant in the code, or a page that says how it was measured.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::pages::Part;

const SECOND: u128 = 1_000;
const MINUTE: u128 = 60 * SECOND;
const HOUR: u128 = 60 * MINUTE;
const DAY: u128 = 24 * HOUR;

/// The faults of a cell in which each figure is followed by its source.
pub(crate) fn faults(cell: &[Part], settings: &BTreeMap<String, String>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut text = String::new();
    for part in cell {
        match part {
            Part::Text(more) => text.push_str(more),
            Part::Code(source) | Part::Comment(source) => {
                match explained(&text, source, settings) {
                    Ok(rest) => text = rest,
                    Err(fault) => faults.push(fault),
                }
            }
        }
    }
    if text.contains(|c: char| c.is_ascii_digit()) {
        faults.push(format!("a figure without a source: {}", text.trim()));
    }
    faults
}

/// The text without the figures that the source explains.
fn explained(
    text: &str,
    source: &str,
    settings: &BTreeMap<String, String>,
) -> Result<String, String> {
    if Path::new(source).extension().is_some_and(|end| end == "md") {
        return found_in_page(text, source);
    }
    let forms = Value::of(source, settings)?.forms();
    let places = |form: &String| Some((place(text, form)?, form.len()));
    let found = forms
        .iter()
        .filter_map(places)
        .max_by_key(|(_, length)| *length);
    let wrong = || {
        format!(
            "{source} is {}, and not as in: {}",
            forms.join(" or "),
            text.trim()
        )
    };
    let (at, length) = found.ok_or_else(wrong)?;
    Ok(format!("{}{}", &text[..at], &text[at + length..]))
}

/// Checks that the page has all of these figures.
fn found_in_page(text: &str, page: &str) -> Result<String, String> {
    let content = read(page)?;
    let is_part = |c: char| c.is_ascii_digit() || ".,".contains(c);
    let figures = text
        .split(|c| !is_part(c))
        .map(|figure| figure.trim_matches(['.', ',']))
        .filter(|figure| !figure.is_empty());
    for figure in figures {
        place(&content, figure).ok_or(format!("{page} has no {figure}"))?;
    }
    Ok(String::new())
}

/// The place of the figure in the text, where it is no part of another one.
fn place(text: &str, figure: &str) -> Option<usize> {
    let found = text.match_indices(figure).find(|(at, _)| {
        let after = &text[at + figure.len()..];
        !touches_digit(text[..*at].chars().rev()) && !touches_digit(after.chars())
    });
    found.map(|(at, _)| at)
}

/// Whether a digit is next, or is behind a separator of digits.
fn touches_digit(mut next: impl Iterator<Item = char>) -> bool {
    let first = next.next();
    let digit = match first {
        Some('.' | ',') => next.next(),
        other => other,
    };
    digit.is_some_and(|c| c.is_ascii_digit())
}

/// The value of a constant as the code has it.
fn constant_value(file: &str, constant: &str) -> Result<String, String> {
    let text = read(file)?;
    let declaration = format!("const {constant}: ");
    let (_, rest) = text
        .split_once(&declaration)
        .ok_or(format!("{file} has no constant {constant}"))?;
    let value = rest
        .split_once(" = ")
        .and_then(|(_, rest)| rest.split_once(';'));
    let (value, _) = value.ok_or(format!("{file}: {constant} is not understood"))?;
    Ok(value.to_owned())
}

fn read(file: &str) -> Result<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(path).map_err(|error| format!("{file}: {error}"))
}

/// A value of the code or the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Number(u128),
    /// Milliseconds.
    Time(u128),
}

impl Value {
    /// The value of a setting, of a constant, of so many times one, or of a sum of these.
    fn of(source: &str, settings: &BTreeMap<String, String>) -> Result<Self, String> {
        let terms = source.split(" + ").map(|term| {
            let (times, name) = term.split_once(" * ").unwrap_or(("1", term));
            let times = number(times).ok_or(format!("{term}: how often?"))?;
            let text = match name.split_once(": ") {
                Some((file, constant)) => &constant_value(file, constant)?,
                None => settings.get(name).ok_or(format!("no source: {name}"))?,
            };
            let value = Self::parse(text).ok_or(format!("{name} is no figure: {text}"))?;
            Ok(match value {
                Self::Number(number) => Self::Number(times * number),
                Self::Time(time) => Self::Time(times * time),
            })
        });
        let terms = terms.collect::<Result<Vec<_>, String>>()?;
        let sum = terms
            .into_iter()
            .map(Some)
            .reduce(|one, other| match (one?, other?) {
                (Self::Number(one), Self::Number(other)) => Some(Self::Number(one + other)),
                (Self::Time(one), Self::Time(other)) => Some(Self::Time(one + other)),
                _ => None,
            });
        sum.flatten().ok_or(format!("{source} has no sum"))
    }

    fn parse(text: &str) -> Option<Self> {
        let time = milliseconds(text).map(Self::Time);
        time.or_else(|| number(text).map(Self::Number))
    }

    /// The forms in which a page may write it.
    fn forms(self) -> Vec<String> {
        match self {
            Self::Time(time) => vec![time_in_words(time)],
            Self::Number(number) => {
                let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("MB", 1_000_000)];
                let whole =
                    |(_, size): &(&str, u128)| number >= *size && number.is_multiple_of(*size);
                let in_units = units.into_iter().filter(whole);
                let in_units =
                    in_units.map(|(unit, size)| format!("{} {unit}", grouped(number / size)));
                [grouped(number)].into_iter().chain(in_units).collect()
            }
        }
    }
}

/// A `Duration` of the code, or a time of the configuration.
fn milliseconds(value: &str) -> Option<u128> {
    let in_code = value.strip_prefix("Duration::from_");
    if let Some((unit, count)) = in_code.and_then(|rest| rest.split_once('(')) {
        let count = number(count.trim_end_matches(')'))?;
        let unit = ["millis", "secs", "mins", "hours"]
            .iter()
            .position(|it| *it == unit)?;
        return Some(count * [1, SECOND, MINUTE, HOUR][unit]);
    }
    let time = value.strip_prefix('"')?.strip_suffix('"')?;
    let parts = time.split(' ').map(|part| {
        let digits = part.find(|c: char| !c.is_ascii_digit())?;
        let units = [("ms", 1), ("s", SECOND), ("m", MINUTE), ("h", HOUR)];
        let (_, size) = units
            .into_iter()
            .find(|(unit, _)| *unit == &part[digits..])?;
        Some(part[..digits].parse::<u128>().ok()? * size)
    });
    parts.sum()
}

fn time_in_words(time: u128) -> String {
    let several = |count: u128, unit: &str| match count {
        1 => format!("1 {unit}"),
        _ => format!("{count} {unit}s"),
    };
    match time {
        _ if !time.is_multiple_of(SECOND) => format!("{} ms", grouped(time)),
        _ if !time.is_multiple_of(MINUTE) => format!("{} s", time / SECOND),
        _ if !time.is_multiple_of(HOUR) => several(time / MINUTE, "minute"),
        _ if time < 2 * DAY || !time.is_multiple_of(DAY) => several(time / HOUR, "hour"),
        _ => several(time / DAY, "day"),
    }
}

/// A number, product or shift of the code; of a range, its end.
fn number(value: &str) -> Option<u128> {
    let value = value.rsplit("..=").next()?;
    let value = value.strip_prefix("NonZeroU32::new(").unwrap_or(value);
    let value = value.strip_suffix(").unwrap()").unwrap_or(value);
    if let Some((number_of, shift)) = value.split_once(" << ") {
        return number(number_of)?.checked_shl(shift.parse().ok()?);
    }
    let factors = value
        .split(" * ")
        .map(|factor| factor.replace('_', "").parse::<u128>().ok());
    factors.product()
}

/// With a comma before each three digits, as pages write large numbers.
fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[test]
fn values_are_written_as_pages_write_them() {
    for (value, expected) in [
        ("Duration::from_millis(3_750)", "3,750 ms"),
        ("Duration::from_secs(10)", "10 s"),
        ("Duration::from_mins(1)", "1 minute"),
        ("\"2m\"", "2 minutes"),
        ("\"1m 15s\"", "75 s"),
        ("Duration::from_hours(24)", "24 hours"),
        ("101 * 1024", "103,424 or 101 KiB"),
        ("1 << 20", "1,048,576 or 1,024 KiB or 1 MiB"),
        ("256000000", "256,000,000 or 250,000 KiB or 256 MB"),
        ("1..=1_000", "1,000"),
        ("NonZeroU32::new(600).unwrap()", "600"),
    ] {
        let forms = Value::parse(value).map(Value::forms);
        assert_eq!(forms.unwrap().join(" or "), expected, "{value}");
    }
}

#[test]
fn a_figure_that_is_not_the_sources_is_a_fault() {
    let settings = BTreeMap::from([("limits.rate".to_owned(), "600".to_owned())]);
    let is_fault = |text: &str, source: &str| {
        let cell = [Part::Text(text.to_owned()), Part::Code(source.to_owned())];
        !faults(&cell, &settings).is_empty()
    };
    assert!(!is_fault("600 a minute (", "limits.rate"));
    assert!(is_fault("60 a minute (", "limits.rate"));
    assert!(is_fault("6,600 a minute (", "limits.rate"));
    assert!(is_fault("600 a minute, 30 at once (", "limits.rate"));
    assert!(is_fault("600 a minute (", "limits.gone"));
    let constant = "tests/architecture.rs: LINES_MAX";
    assert!(!is_fault("400 lines (", constant));
    assert!(is_fault("401 lines (", constant));
    assert!(is_fault("400 lines (", "tests/architecture.rs: LINES"));
    let sum = format!("2 * {constant} + limits.rate");
    assert!(!is_fault("1,400 (", &sum));
    assert!(is_fault("1,000 (", &sum));
}
