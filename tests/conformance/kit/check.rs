//! Whether a response is as it must be.

use std::collections::BTreeSet;

use serde_json::Value;

use super::amp;
use super::case::Expected;
use super::run::Answered;
use super::texts::Texts;

/// The longest body that is shown.
const SHOWN_MAX: usize = 300;

/// The first difference between a response and what is expected, in words.
pub(super) fn differs(expected: &Expected, answered: &Answered, texts: &Texts) -> Option<String> {
    let Answered {
        status,
        headers,
        body,
    } = answered;
    let but = |what: String| Some(format!("{what}, but it is {status}: {}", shown(body)));
    if *status != expected.status {
        return but(format!("the status must be {}", expected.status));
    }
    for (name, value) in &expected.headers {
        let got = headers.get(name).and_then(|value| value.to_str().ok());
        if got != Some(value) {
            return Some(format!("{name} must be {value:?}, but is {got:?}"));
        }
    }
    if let Some(exact) = &expected.body
        && texts.fill(exact) != *body
    {
        return but(format!("the body must be {:?}", texts.fill(exact)));
    }
    if let Some(part) = expected.has.iter().find(|part| !body.contains(&***part)) {
        return but(format!("the body must have {part:?} in it"));
    }
    if expected.keys.is_none() && expected.json.is_none() {
        return page_differs(expected, body, texts);
    }
    object_differs(expected, body, texts).and_then(but)
}

fn object_differs(expected: &Expected, body: &str, texts: &Texts) -> Option<String> {
    let Ok(Value::Object(object)) = serde_json::from_str(body) else {
        return Some("the body must be a JSON object".to_owned());
    };
    let keys: BTreeSet<_> = object.keys().collect();
    let all = expected.keys.as_ref();
    if let Some(all) = all.filter(|all| all.iter().collect::<BTreeSet<_>>() != keys) {
        return Some(format!("the keys must be {all:?}"));
    }
    let mut values = expected.json.iter().flatten();
    let (key, value) =
        values.find(|(key, value)| object.get(*key) != Some(&texts.fill_value(value)))?;
    Some(format!("{key:?} must be {}", texts.fill_value(value)))
}

fn page_differs(expected: &Expected, body: &str, texts: &Texts) -> Option<String> {
    let response = texts.fill_value(expected.amp.as_ref()?);
    match amp::response(body) {
        Ok(got) if got == response => None,
        Ok(got) => Some(format!("the page must hold {response}, but holds {got}")),
        Err(problem) => Some(format!("the page must hold {response}, but {problem}")),
    }
}

fn shown(body: &str) -> String {
    match body.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{:?}...", &body[..end]),
        None => format!("{body:?}"),
    }
}
