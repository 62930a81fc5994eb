//! Blocks of lines, of which a metrics log consists.
//!
//! The lines of a block are patterns, in order. In angle brackets they have what a value must
//! be. A pattern after `? ` may be left out, and one after `* ` stands for any number of lines.

use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Counts in the log are rounded up to multiples of this.
const STEP: u64 = 8;

/// The first line that is not as the patterns say, in words.
pub(super) fn differs(patterns: &[String], text: &str) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let Some(text) = text.strip_suffix('\n') else {
        return Some("the last line must have an end".to_owned());
    };
    let mut rest = patterns;
    for (number, line) in (1..).zip(text.split('\n')) {
        let next_block = || after(patterns, line).filter(|_| is_over(rest));
        let Some(left) = after(rest, line).or_else(next_block) else {
            let expected = rest.first().map_or("nothing", String::as_str);
            return Some(format!(
                "line {number} must be {expected:?}, but is {line:?}"
            ));
        };
        rest = left;
    }
    let missing = rest.iter().find(|pattern| !may_be_left_out(pattern))?;
    Some(format!("the last block must have {missing:?}"))
}

/// The patterns for the lines after this one.
fn after<'a>(patterns: &'a [String], line: &str) -> Option<&'a [String]> {
    let (first, rest) = patterns.split_first()?;
    if may_be_left_out(first)
        && let Some(left) = after(rest, line)
    {
        return Some(left);
    }
    if !begins(first, line) {
        return None;
    }
    Some(if first.starts_with("* ") {
        patterns
    } else {
        rest
    })
}

fn is_over(patterns: &[String]) -> bool {
    patterns.iter().all(|pattern| may_be_left_out(pattern))
}

fn may_be_left_out(pattern: &str) -> bool {
    pattern.starts_with("? ") || pattern.starts_with("* ")
}

fn begins(pattern: &str, line: &str) -> bool {
    let bare = pattern.strip_prefix("? ");
    let bare = bare.or_else(|| pattern.strip_prefix("* "));
    fits(bare.unwrap_or(pattern), line)
}

fn fits(pattern: &str, line: &str) -> bool {
    let Some((literal, rest)) = pattern.split_once('<') else {
        return pattern == line;
    };
    let (Some(line), Some((kind, rest))) = (line.strip_prefix(literal), rest.split_once('>'))
    else {
        return false;
    };
    let next = rest.split('<').next().unwrap_or_default();
    let end = match next {
        "" => Some(line.len()),
        next => line.find(next),
    };
    end.is_some_and(|end| is_a(kind, &line[..end]) && fits(rest, &line[end..]))
}

fn is_a(kind: &str, value: &str) -> bool {
    match kind {
        "number" => number(value).is_some(),
        "multiple of 8" => number(value).is_some_and(is_rounded),
        "word" => is_word(value),
        "time" => is_time(value),
        "countries" => are_countries(value, |_| true),
        "countries, multiples of 8" => are_countries(value, is_rounded),
        _ => false,
    }
}

fn number(value: &str) -> Option<u64> {
    let is_plain = value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|_| is_plain)
}

fn is_rounded(count: u64) -> bool {
    count.is_multiple_of(STEP)
}

fn is_word(value: &str) -> bool {
    let is_of_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !value.is_empty() && value.bytes().all(is_of_word)
}

/// `YYYY-MM-DD HH:MM:SS`.
fn is_time(value: &str) -> bool {
    let form = "dddd-dd-dd dd:dd:dd";
    let is_so = |(form, byte): (u8, u8)| match form {
        b'd' => byte.is_ascii_digit(),
        other => byte == other,
    };
    value.len() == form.len() && form.bytes().zip(value.bytes()).all(is_so)
}

/// `CC=N,CC=N`, the largest first, equal ones by code, none twice; or nothing.
fn are_countries(value: &str, is_fine: impl Fn(u64) -> bool) -> bool {
    if value.is_empty() {
        return true;
    }
    let entries = value.split(',').map(|entry| {
        let (code, count) = entry.split_once('=')?;
        let count = number(count).filter(|count| is_fine(*count))?;
        (code.len() == 2).then_some((Reverse(count), code))
    });
    let Some(entries) = entries.collect::<Option<Vec<_>>>() else {
        return false;
    };
    let codes: BTreeSet<_> = entries.iter().map(|(_, code)| code).collect();
    entries.is_sorted() && codes.len() == entries.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATTERNS: [&str; 6] = [
        "end <time> (<number> s)",
        "ips <countries>",
        "? new <multiple of 8>",
        "* ips-<word> <number>",
        "ips-total <number>",
        "polls <countries, multiples of 8>",
    ];
    const BLOCK: &str =
        "end 2026-10-01 17:04:09 (86400 s)\nips US=9,DE=7,FR=7\nips-total 23\npolls \n";

    fn problem(text: &str) -> Option<String> {
        differs(&PATTERNS.map(ToOwned::to_owned), text)
    }

    #[test]
    fn any_number_of_blocks_will_do() {
        let full = BLOCK.replace("ips-total", "new 16\nips-a 1\nips-b-c 2\nips-total");
        for text in ["", BLOCK, &full, &format!("{full}{BLOCK}{full}")] {
            assert_eq!(problem(text), None, "{text}");
        }
    }

    #[test]
    fn each_wrong_line_is_told() {
        for (good, bad) in [
            ("end", "@type x\nend"),
            ("2026-10-01", "2026-10-1"),
            ("(86400 s)", "(86400s)"),
            ("(86400 s)", "(+86400 s)"),
            ("(86400 s)", "( s)"),
            ("US=9,DE=7", "DE=7,US=9"),
            ("DE=7,FR=7", "FR=7,DE=7"),
            ("DE=7,FR=7", "DE=7,DE=7"),
            ("FR=7", "FR=7,"),
            ("FR=7", "FRA=7"),
            ("ips-total 23\n", "new 12\nips-total 23\n"),
            ("ips-total 23\n", "new 8\nnew 8\nips-total 23\n"),
            ("ips-total 23\n", "ips-a 1\nnew 8\nips-total 23\n"),
            ("ips-total 23\n", "ips-a b 1\nips-total 23\n"),
            ("ips-total 23\n", "\nips-total 23\n"),
            ("ips-total 23\n", ""),
            ("polls \n", "polls\n"),
            ("polls \n", "polls US=9\n"),
            ("polls \n", "polls \n\n"),
            ("polls \n", "polls \r\n"),
            ("polls \n", "polls "),
            ("polls \n", ""),
        ] {
            let text = BLOCK.replace(good, bad);
            assert_ne!(text, BLOCK);
            assert!(problem(&text).is_some(), "{text}");
        }
    }

    #[test]
    fn the_line_is_named() {
        let text = format!("{BLOCK}{}", BLOCK.replace("total 23", "total x"));
        let told = "line 7 must be \"? new <multiple of 8>\", but is \"ips-total x\"";
        assert_eq!(problem(&text).as_deref(), Some(told));
    }
}
