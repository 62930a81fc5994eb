//! Series on a page for Prometheus.

/// The sum of all series with this name and these labels, written `name{label=value,...}`; 0 if
/// there is none.
pub(super) fn sum(page: &str, wanted: &str) -> i64 {
    let (name, labels) = wanted.split_once('{').unwrap_or((wanted, ""));
    let labels = labels.trim_end_matches('}').split(',');
    let wanted: Vec<_> = labels.filter(|label| !label.is_empty()).collect();
    page.lines()
        .filter_map(read)
        .filter(|(series, labels, _)| {
            *series == name && wanted.iter().all(|label| labels.contains(label))
        })
        .map(|(_, _, value)| value)
        .sum()
}

/// The name, the labels and the value.
fn read(line: &str) -> Option<(&str, Labels, i64)> {
    if line.starts_with('#') {
        return None;
    }
    let (series, value) = match line.split_once("} ") {
        Some(parts) => parts,
        None => line.split_once(' ')?,
    };
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let value: f64 = value.split(' ').next()?.parse().ok()?;
    let labels = labels.split(',').map(|label| label.replace('"', ""));
    // Go writes large counts as 1e+06.
    Some((
        name,
        Labels(labels.collect()),
        format!("{value:.0}").parse().ok()?,
    ))
}

struct Labels(Vec<String>);

impl Labels {
    fn contains(&self, wanted: &str) -> bool {
        self.0.iter().any(|label| label == wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_with_the_labels_are_added_up() {
        let page = "# HELP a_total b\n# TYPE a_total counter\n\
            a_total{nat=\"open\",type=\"x\"} 8\na_total{nat=\"open\",type=\"y\"} 1e+06\n\
            a_total{nat=\"opened\",type=\"x\"} 64 1700000000000\nb 2\na_total_more{nat=\"open\"} 1\n";
        for (wanted, total) in [
            ("a_total", 1_000_072),
            ("a_total{nat=open}", 1_000_008),
            ("a_total{type=x,nat=open}", 8),
            ("a_total{type=x,nat=strict}", 0),
            ("b", 2),
            ("c", 0),
        ] {
            assert_eq!(sum(page, wanted), total, "{wanted}");
        }
    }
}
