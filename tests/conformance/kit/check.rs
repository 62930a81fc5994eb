//! Whether a response is as it must be.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::case::Expected;
use super::run::Answered;
use super::texts::Texts;
use super::{amp, block, series};

/// The longest body that is shown.
const SHOWN_MAX: usize = 300;

/// A response, and what it is compared with.
pub(super) struct Got<'a> {
    pub(super) answered: &'a Answered,
    pub(super) took: Duration,
    /// The body of the last response from this path.
    pub(super) before: Option<&'a str>,
    pub(super) texts: &'a Texts,
}

impl Got<'_> {
    /// The first difference to what is expected, in words.
    pub(super) fn differs(&self, expected: &Expected) -> Option<String> {
        let Answered { status, body, .. } = self.answered;
        let but = |what: String| format!("{what}, but it is {status}: {}", shown(body));
        if *status != expected.status {
            return Some(but(format!("the status must be {}", expected.status)));
        }
        self.header_differs(expected)
            .or_else(|| self.time_differs(expected))
            .or_else(|| self.text_differs(expected).map(but))
            .or_else(|| block::differs(expected.block.as_ref()?, body))
            .or_else(|| self.growth_differs(expected))
            .or_else(|| self.object_differs(expected).map(but))
            .or_else(|| self.page_differs(expected))
    }

    fn header_differs(&self, expected: &Expected) -> Option<String> {
        expected.headers.iter().find_map(|(name, value)| {
            let value = self.texts.fill(value);
            let got = self.answered.headers.get(name);
            let got = got.and_then(|got| got.to_str().ok());
            let is_other = got != Some(&*value);
            is_other.then(|| format!("{name} must be {value:?}, but is {got:?}"))
        })
    }

    fn time_differs(&self, expected: &Expected) -> Option<String> {
        let [least, most] = expected.takes?.map(Duration::from_millis);
        let is_other = !(least..=most).contains(&self.took);
        is_other.then(|| {
            let took = self.took;
            format!("it must take {least:?} to {most:?}, but takes {took:.1?}")
        })
    }

    fn text_differs(&self, expected: &Expected) -> Option<String> {
        let body = &self.answered.body;
        let exact = expected.body.as_ref().map(|exact| self.texts.fill(exact));
        if let Some(exact) = exact.filter(|exact| exact != body) {
            return Some(format!("the body must be {exact:?}"));
        }
        let part = expected.has.iter().find(|part| !body.contains(&***part))?;
        Some(format!("the body must have {part:?} in it"))
    }

    fn growth_differs(&self, expected: &Expected) -> Option<String> {
        expected.grown.iter().find_map(|(wanted, growth)| {
            let now = series::sum(&self.answered.body, wanted);
            let before = series::sum(self.before.unwrap_or_default(), wanted);
            let is_other = now - before != *growth;
            is_other.then(|| {
                format!("{wanted} must have grown by {growth}, but has from {before} to {now}")
            })
        })
    }

    fn object_differs(&self, expected: &Expected) -> Option<String> {
        let is_object = expected.keys.is_some() || expected.json.is_some();
        if !is_object && expected.integers.is_empty() {
            return None;
        }
        let Ok(Value::Object(object)) = serde_json::from_str(&self.answered.body) else {
            return Some("the body must be a JSON object".to_owned());
        };
        let keys: BTreeSet<_> = object.keys().collect();
        let all = expected.keys.as_ref();
        if let Some(all) = all.filter(|all| all.iter().collect::<BTreeSet<_>>() != keys) {
            return Some(format!("the keys must be {all:?}"));
        }
        let is_integer = |key: &&String| object.get(*key).is_some_and(Value::is_u64);
        if let Some(key) = expected.integers.iter().find(|key| !is_integer(key)) {
            return Some(format!("{key:?} must be an integer, not below 0"));
        }
        let mut values = expected.json.iter().flatten();
        let (key, value) =
            values.find(|(key, value)| object.get(*key) != Some(&self.texts.fill_value(value)))?;
        Some(format!("{key:?} must be {}", self.texts.fill_value(value)))
    }

    fn page_differs(&self, expected: &Expected) -> Option<String> {
        let response = self.texts.fill_value(expected.amp.as_ref()?);
        match amp::response(&self.answered.body) {
            Ok(got) if got == response => None,
            Ok(got) => Some(format!("the page must hold {response}, but holds {got}")),
            Err(problem) => Some(format!("the page must hold {response}, but {problem}")),
        }
    }
}

fn shown(body: &str) -> String {
    match body.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{:?}...", &body[..end]),
        None => format!("{body:?}"),
    }
}
