//! A strict parser of both Prometheus text formats: it accepts what their specifications
//! allow, and nothing else. It shares no code with the broker.

use std::collections::BTreeMap;

/// Metric families by name, without `_total` for counters.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    pub(crate) families: BTreeMap<String, Family>,
}

/// One family.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) samples: Vec<Sample>,
}

/// One line with a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// The text format.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    OpenMetrics,
    Text,
}

impl Exposition {
    /// Reads version 1.0.0 of `application/openmetrics-text`.
    pub(crate) fn open_metrics(text: &str) -> Result<Self, String> {
        let text = text
            .strip_suffix("# EOF\n")
            .ok_or("it does not end with # EOF")?;
        Self::read(text, Form::OpenMetrics)
    }

    /// Reads version 0.0.4 of `text/plain`.
    pub(crate) fn text(text: &str) -> Result<Self, String> {
        Self::read(text, Form::Text)
    }

    /// All samples of all families, in order.
    pub(crate) fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.families.values().flat_map(|family| &family.samples)
    }

    /// The sum of the samples with this name and all these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let wanted = |sample: &&Sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(label, value)| sample.labels[*label] == *value)
        };
        let values: Vec<f64> = self.samples().filter(wanted).map(|s| s.value).collect();
        assert!(!values.is_empty(), "no {name} with {labels:?}");
        whole(values.iter().sum())
    }

    fn read(text: &str, form: Form) -> Result<Self, String> {
        let body = text.strip_suffix('\n').ok_or("the last line has no end")?;
        let mut exposition = Self::default();
        let mut current = String::new();
        let mut helped = String::new();
        for line in body.split('\n') {
            let at = |what: String| format!("{what}: {line}");
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').ok_or_else(|| at("no help".into()))?;
                if help.is_empty() || exposition.families.contains_key(plain(name)) {
                    return Err(at("a second family, or no help".into()));
                }
                name.clone_into(&mut helped);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').ok_or_else(|| at("no type".into()))?;
                if name != helped {
                    return Err(at("no help before it".into()));
                }
                current = family_name(name, kind, form).map_err(at)?;
                let family = Family {
                    kind: kind.to_owned(),
                    samples: Vec::new(),
                };
                if exposition
                    .families
                    .insert(current.clone(), family)
                    .is_some()
                {
                    return Err(at("a second time".into()));
                }
            } else if line.starts_with('#') {
                let unit = form == Form::OpenMetrics && line.starts_with("# UNIT ");
                unit.then_some(()).ok_or_else(|| at("what is it?".into()))?;
            } else {
                let sample = sample(line).map_err(at)?;
                let family = exposition.families.get_mut(&current);
                let family = family.ok_or_else(|| at("in no family".into()))?;
                family.add(&current, sample).map_err(at)?;
            }
        }
        for (name, family) in &exposition.families {
            family.check().map_err(|what| format!("{name}: {what}"))?;
        }
        Ok(exposition)
    }
}

impl Sample {
    /// The names and values of the labels.
    pub(crate) fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let labels = self.labels.iter();
        labels.map(|(name, value)| (&**name, &**value))
    }
}

impl Family {
    fn add(&mut self, family: &str, sample: Sample) -> Result<(), String> {
        let suffixes: &[&str] = match &*self.kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        let suffix = sample.name.strip_prefix(family);
        if !suffix.is_some_and(|suffix| suffixes.contains(&suffix)) {
            return Err(format!("not a name of a {}", self.kind));
        }
        let is_same = |other: &Sample| other.name == sample.name && other.labels == sample.labels;
        if self.samples.iter().any(is_same) {
            return Err("a series twice".into());
        }
        self.samples.push(sample);
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        if self.kind != "gauge" && self.samples.iter().any(|sample| sample.value < 0.0) {
            return Err("less than nothing".into());
        }
        if self.kind != "histogram" {
            return Ok(());
        }
        let mut samples = self.samples.iter().peekable();
        while let Some(sample) = samples.next() {
            if !sample.name.ends_with("_bucket") || bound(sample) == f64::INFINITY {
                continue;
            }
            let larger = samples.peek().is_some_and(|next| {
                next.name == sample.name
                    && bound(sample) < bound(next)
                    && sample.value <= next.value
            });
            if !larger {
                return Err(format!("no bucket for more after {sample:?}"));
            }
        }
        Ok(())
    }
}

/// The upper bound of a bucket.
fn bound(sample: &Sample) -> f64 {
    match &*sample.labels["le"] {
        "+Inf" => f64::INFINITY,
        bound => bound.parse().unwrap_or(f64::NAN),
    }
}

fn plain(name: &str) -> &str {
    name.strip_suffix("_total").unwrap_or(name)
}

fn family_name(name: &str, kind: &str, form: Form) -> Result<String, String> {
    // The types common to both formats: Debian 12's promtool refuses others in either.
    let is_known = matches!(kind, "counter" | "gauge" | "histogram");
    if !is_known || !is_name(name) {
        return Err("an unknown type or an odd name".into());
    }
    match (form, kind) {
        // OpenMetrics adds the suffix to each sample, the older format also to the
        // family.
        (Form::OpenMetrics, "counter") if name.ends_with("_total") => {
            Err("_total in a family's name".into())
        }
        (Form::Text, "counter") => name
            .strip_suffix("_total")
            .map(str::to_owned)
            .ok_or_else(|| "a counter without _total".into()),
        _ => Ok(name.to_owned()),
    }
}

fn is_name(name: &str) -> bool {
    let mut letters = name.bytes();
    letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
}

/// `name{label="value",...} number`
fn sample(line: &str) -> Result<Sample, String> {
    let (series, value) = line.rsplit_once(' ').ok_or("no value")?;
    let value: f64 = value.parse().map_err(|_| "no number")?;
    let (name, labels) = match series.split_once('{') {
        None => (series, BTreeMap::new()),
        Some((name, set)) => {
            let set = set.strip_suffix('}').ok_or("no }")?;
            (name, labels(set)?)
        }
    };
    if !is_name(name) || !value.is_finite() {
        return Err("an odd name or value".into());
    }
    Ok(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// No value of ours contains a quote, comma or backslash.
fn labels(set: &str) -> Result<BTreeMap<String, String>, String> {
    let mut labels = BTreeMap::new();
    if set.is_empty() {
        return Ok(labels);
    }
    for label in set.split(',') {
        let (name, value) = label.split_once('=').ok_or("a label without a value")?;
        let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
        let value = value.filter(|value| !value.contains(['"', '\\', '\n']));
        let value = value.ok_or("a value that is not quoted, or oddly")?;
        if !is_name(name) || labels.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err("a label twice, or an odd name".into());
        }
    }
    Ok(labels)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be a count, and all counts here are small"
)]
fn whole(value: f64) -> u64 {
    assert!(
        value >= 0.0 && value.fract() == 0.0 && value < 1e15,
        "{value} is no count"
    );
    value as u64
}
