//! `docs/settings.md` is made from the comments of the example configuration.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use snowflake_broker::config::EXAMPLE;

const PAGE: &str = "docs/settings.md";

/// The tables are between these.
const MARKS: (&str, &str) = ("<!-- settings -->\n", "<!-- /settings -->\n");

#[test]
fn the_page_of_settings_says_what_the_example_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let written = fs::read_to_string(&file).unwrap();
    let (before, rest) = written.split_once(MARKS.0).unwrap();
    let (_, after) = rest.split_once(MARKS.1).unwrap();
    let made = format!("{before}{}{}\n{}{after}", MARKS.0, tables(), MARKS.1);
    if env::var_os("UPDATE").is_some() {
        fs::write(&file, made).unwrap();
        return;
    }
    assert!(
        written == made,
        "{PAGE} is not what src/config/example.toml says: run this test with UPDATE=1"
    );
}

/// A table for each section.
fn tables() -> String {
    let mut tables = String::new();
    let mut section = "";
    let mut comment = Vec::new();
    for line in EXAMPLE.lines() {
        let (text, is_comment) = match line.strip_prefix("# ") {
            Some(text) => (text, true),
            None => (line, false),
        };
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
            writeln!(tables, "\n## {section}\n\n{}\n", comment.join(" ")).unwrap();
            tables.push_str("| key | default | meaning |\n| --- | --- | --- |\n");
            comment.clear();
        } else if let Some((key, value)) = key_and_value(text).filter(|_| !section.is_empty()) {
            let default = if is_comment {
                format!("not set; for example `{value}`")
            } else {
                format!("`{value}`")
            };
            let meaning = comment.join(" ").replace('|', "\\|");
            writeln!(tables, "| `{section}.{key}` | {default} | {meaning} |").unwrap();
            comment.clear();
        } else if is_comment {
            comment.push(text);
        } else {
            comment.clear();
        }
    }
    tables
}

fn key_and_value(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(" = ")?;
    let is_key = key
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    is_key.then_some((key, value))
}
