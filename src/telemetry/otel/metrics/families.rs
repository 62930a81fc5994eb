//! A reader of the OpenMetrics text that a registry writes: counters, gauges and
//! histograms, each line a sample. The library has another form, of Protocol Buffers;
//! its feature builds a compiler of them, which takes longer to build than this broker's
//! own protocols.

/// A text that is not as a registry writes it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("metrics: line {0} cannot be read back")]
pub(super) struct UnreadableLine(usize);

/// The samples that have a name, a help text and a type in common.
#[derive(Debug, Default, PartialEq)]
pub(super) struct MetricFamily<'a> {
    pub(super) name: &'a str,
    pub(super) help: &'a str,
    /// The type: `counter`, `gauge` or `histogram`.
    pub(super) kind: &'a str,
    pub(super) samples: Vec<Sample<'a>>,
}

/// A line of a family.
#[derive(Debug, PartialEq)]
pub(super) struct Sample<'a> {
    /// The end of the name, after the family's: such as `_total`.
    pub(super) suffix: &'a str,
    pub(super) labels: Vec<(&'a str, String)>,
    pub(super) value: &'a str,
}

/// The families of a text, in its order.
pub(super) fn read(open_metrics: &str) -> Result<Vec<MetricFamily<'_>>, UnreadableLine> {
    let mut families: Vec<MetricFamily<'_>> = Vec::new();
    for (number, line) in (1..).zip(open_metrics.lines()) {
        if let Some((name, help)) = metadata(line, "# HELP ") {
            let kind = "";
            let samples = Vec::new();
            families.push(MetricFamily {
                name,
                help,
                kind,
                samples,
            });
            continue;
        }
        let family = families.last_mut().ok_or(UnreadableLine(number))?;
        if let Some((_, kind)) = metadata(line, "# TYPE ") {
            family.kind = kind;
        } else if !line.starts_with('#') {
            let sample = sample(line, family.name).ok_or(UnreadableLine(number))?;
            family.samples.push(sample);
        }
    }
    Ok(families)
}

fn metadata<'a>(line: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    line.strip_prefix(keyword)?.split_once(' ')
}

fn sample<'a>(line: &'a str, family: &str) -> Option<Sample<'a>> {
    let line = line.strip_prefix(family)?;
    let (suffix, rest) = line.split_at(line.find(['{', ' '])?);
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    Some(Sample {
        suffix,
        labels,
        value: value.strip_prefix(' ')?,
    })
}

/// The labels up to the closing brace, and the rest of the line.
fn labels(mut rest: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.trim_start_matches(',').split_once("=\"")?;
        let (value, after) = unquoted(quoted)?;
        labels.push((name, value));
        rest = after;
    }
}

/// The text up to the closing quotation mark, and what follows it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()? {
                (_, 'n') => '\n',
                (_, escaped) => escaped,
            }),
            plain => value.push(plain),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_as_they_were_written() {
        let text = "# HELP polls Polls, of all.\n# TYPE polls counter\n\
                    polls_total{nat=\"a \\\"b\\\"\\n\\\\\",type=\"x{y},z\"} 3\n\
                    polls_total 4\n# EOF\n";
        let labels = vec![
            ("nat", "a \"b\"\n\\".to_owned()),
            ("type", "x{y},z".to_owned()),
        ];
        let sample = |labels, value| Sample {
            suffix: "_total",
            labels,
            value,
        };
        let expected = MetricFamily {
            name: "polls",
            help: "Polls, of all.",
            kind: "counter",
            samples: vec![sample(labels, "3"), sample(Vec::new(), "4")],
        };
        assert_eq!(read(text), Ok(vec![expected]));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let head = "# HELP a A.\n# TYPE a gauge\n";
        for line in [
            "a",
            "b 1",
            "a{b} 1",
            "a{b=\"c} 1",
            "a{b=\"c\"}1",
            "a{b=\"\\",
        ] {
            let text = format!("{head}{line}\n");
            assert_eq!(read(&text), Err(UnreadableLine(3)), "{line}");
        }
        assert_eq!(read("a 1\n"), Err(UnreadableLine(1)));
    }
}
