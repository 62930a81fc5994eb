//! The families in docs/metrics.md are those that the program has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::UNIX_EPOCH;
use std::{env, fs};

use snowflake_broker::geoip::CountryCode;
use snowflake_broker::metrics::distinct_ips::WindowKey;
use snowflake_broker::metrics::exposition::Format;
use snowflake_broker::metrics::labels::{MatchOutcome, PeerName, Rendezvous};
use snowflake_broker::metrics::{
    GaugeSnapshot, HourlyHash, MatchEnd, Metrics, PeerFigures, ProcessFigures,
};
use snowflake_broker::wire::nat::NatClass;

use crate::support::exposition::Exposition;

const PAGE: &str = "docs/metrics.md";

/// Labels that are not drawn from a fixed set of words.
const OPEN_LABELS: [&str; 5] = ["cc", "le", "peer", "rule", "version"];

/// Set this variable to have the page rewritten.
const UPDATE: &str = "UPDATE";

/// A metric family, as a reader of the page needs to know it.
struct Row {
    name: String,
    kind: String,
    help: String,
    values: BTreeMap<String, BTreeSet<String>>,
}

impl Row {
    fn labels(&self) -> Vec<String> {
        let labels = self.values.keys().filter(|label| *label != "le");
        labels.map(|label| format!("`{label}`")).collect()
    }
}

#[test]
fn the_page_lists_every_family() {
    let (all, published) = exposed();
    let (published, mut operators): (Vec<Row>, Vec<Row>) = rows(&all)
        .into_iter()
        .partition(|row| published.contains(&format!("# HELP {} ", row.name)));
    operators.sort_by_key(|row| (row.name.starts_with("process_"), row.name.clone()));
    assert!(published.len() == 8 && operators.len() > 40);

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = fs::read_to_string(&path).unwrap();
    let labels = label_table(published.iter().chain(&operators));
    let parts = [
        ("published", family_table(&published)),
        ("operators", family_table(&operators)),
        ("labels", labels),
    ];
    let up_to_date = parts
        .iter()
        .fold(page.clone(), |page, (mark, table)| with(&page, mark, table));
    if env::var_os(UPDATE).is_some() {
        fs::write(path, up_to_date).unwrap();
    } else {
        assert!(
            page == up_to_date,
            "{PAGE} is out of date: run this test with {UPDATE}=1\n{up_to_date}"
        );
    }
}

/// What an operator is told, and what anybody is, once every family has a series.
fn exposed() -> (String, String) {
    let metrics = Metrics::new(UNIX_EPOCH, WindowKey::from([7; 16]));
    let name = PeerName::default();
    metrics.peer_configured(&name);
    metrics.rules_configured(["rule"].into_iter());
    metrics.certificate_loaded(UNIX_EPOCH);
    for hash in 0..8 {
        metrics.match_ended(MatchEnd {
            outcome: MatchOutcome::Worked,
            client: NatClass::Strict,
            country: CountryCode::UNKNOWN,
            address: Some(HourlyHash { hour: 0, hash }),
            proxy: None,
            rendezvous: Rendezvous::Http,
        });
    }
    let gauges = GaugeSnapshot {
        peers: vec![PeerFigures {
            name,
            ..PeerFigures::default()
        }],
        ..GaugeSnapshot::default()
    };
    let process = Some(ProcessFigures::default());
    (
        metrics.expose(&gauges, process, Format::Text),
        metrics.expose_published(&gauges, Format::Text),
    )
}

fn rows(text: &str) -> Vec<Row> {
    let mut families = Exposition::text(text).unwrap().families;
    let help = text.lines().filter_map(|line| line.strip_prefix("# HELP "));
    help.map(|line| {
        let (name, help) = line.split_once(' ').unwrap();
        let family = families
            .remove(name)
            .or_else(|| families.remove(name.trim_end_matches("_total")))
            .unwrap();
        let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for sample in &family.samples {
            for (label, value) in sample.labels() {
                let known = values.entry(label.to_owned()).or_default();
                known.insert(value.to_owned());
            }
        }
        Row {
            name: name.to_owned(),
            kind: family.kind,
            help: help.trim_end_matches('.').to_owned(),
            values,
        }
    })
    .collect()
}

fn family_table(rows: &[Row]) -> String {
    let mut table =
        String::from("| family | type | labels | meaning |\n| --- | --- | --- | --- |\n");
    for row in rows {
        let labels = row.labels().join(", ");
        writeln!(
            table,
            "| `{}` | {} | {labels} | {} |",
            row.name, row.kind, row.help
        )
        .unwrap();
    }
    table
}

/// Each label with its values; where families differ in them, once for each.
fn label_table<'a>(rows: impl Iterator<Item = &'a Row>) -> String {
    let mut families: BTreeMap<(&str, &BTreeSet<String>), Vec<String>> = BTreeMap::new();
    for row in rows {
        for (label, values) in &row.values {
            if !OPEN_LABELS.contains(&&**label) {
                let family = format!("`{}`", row.name);
                families.entry((label, values)).or_default().push(family);
            }
        }
    }
    let mut table = String::from("| label | values | families |\n| --- | --- | --- |\n");
    for ((label, values), families) in families {
        let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
        let (values, families) = (values.join(", "), families.join(", "));
        writeln!(table, "| `{label}` | {values} | {families} |").unwrap();
    }
    table
}

/// The page with a table between its marks.
fn with(page: &str, mark: &str, table: &str) -> String {
    let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- /{mark} -->"));
    let (before, rest) = page.split_once(&begin).unwrap();
    let (_, after) = rest.split_once(&end).unwrap();
    format!("{before}{begin}\n{table}\n{end}{after}")
}
