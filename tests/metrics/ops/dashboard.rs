//! The dashboard as Grafana evaluates it, with its variables substituted.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// Grafana's values for the variables with everything selected.
const VARIABLES: [(&str, &str); 4] = [
    ("$__rate_interval", "2m"),
    ("$__interval", "30s"),
    ("$job", ".*"),
    ("$instance", ".*"),
];

pub(crate) struct Dashboard(Value);

impl Dashboard {
    pub(crate) fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        Self(serde_json::from_str(&text).unwrap())
    }

    /// The queries of all panels and of the variables.
    pub(crate) fn queries(&self) -> Vec<String> {
        let panels = list(&self.0["panels"]).flat_map(queries_of_panel);
        let variables =
            list(&self.0["templating"]["list"]).filter(|variable| variable["type"] == "query");
        panels.chain(variables.map(query_of_variable)).collect()
    }

    pub(crate) fn queries_of_annotations(&self) -> Vec<String> {
        let annotations = list(&self.0["annotations"]["list"]);
        annotations
            .map(|annotation| filled_in(&annotation["expr"]))
            .collect()
    }

    /// The queries between the row with this title and the next row.
    pub(crate) fn queries_of_row(&self, title: &str) -> Vec<String> {
        let panels = list(&self.0["panels"]);
        panels
            .skip_while(|panel| panel["title"] != title)
            .skip(1)
            .take_while(|panel| panel["type"] != "row")
            .flat_map(queries_of_panel)
            .collect()
    }
}

/// The queries of a panel. A row has none itself; its panels follow it, or are in it
/// while it is collapsed.
fn queries_of_panel(panel: &Value) -> Vec<String> {
    let own = list(&panel["targets"]).map(|target| filled_in(&target["expr"]));
    own.chain(list(&panel["panels"]).flat_map(queries_of_panel))
        .collect()
}

/// `label_values(series, label)` as a query that has data if there are values.
fn query_of_variable(variable: &Value) -> String {
    let query = filled_in(&variable["query"]["query"]);
    let inner = query.strip_prefix("label_values(").unwrap();
    let (series, label) = inner.strip_suffix(')').unwrap().rsplit_once(", ").unwrap();
    format!("count by ({label}) ({series})")
}

fn filled_in(query: &Value) -> String {
    let query = query.as_str().expect("a query is a text").to_owned();
    let filled_in = VARIABLES
        .iter()
        .fold(query, |query, (name, value)| query.replace(name, value));
    assert!(!filled_in.contains('$'), "not a variable: {filled_in}");
    filled_in
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
