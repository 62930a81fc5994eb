//! What pages refer to is there: files, headings, settings, commands.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use clap::error::ErrorKind;
use snowflake_broker::cli::arguments::Cli;
use snowflake_broker::config::EXAMPLE;

use super::markdown::Page;

/// The ends of names that may look like settings and are those of files.
const FILES: [&str; 5] = [".json", ".nix", ".rs", ".sock", ".toml"];

/// Each relative link leads to a file, and if it names a heading, to that.
pub(crate) fn lead_somewhere(pages: &[Page]) {
    let anchors: BTreeMap<&str, &BTreeSet<String>> = pages
        .iter()
        .map(|page| (page.path.as_str(), &page.anchors))
        .collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut dead = Vec::new();
    for page in pages {
        let folder = Path::new(&page.path).parent().unwrap();
        for (line, link) in &page.links {
            if ["http://", "https://", "mailto:"]
                .iter()
                .any(|scheme| link.starts_with(scheme))
            {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                PathBuf::from(&page.path)
            } else {
                straightened(&folder.join(file))
            };
            let has_anchor = || {
                let anchors = anchors.get(target.to_str().unwrap());
                anchors.is_some_and(|anchors| anchors.contains(anchor))
            };
            if !root.join(&target).exists() || !anchor.is_empty() && !has_anchor() {
                dead.push(format!("{}:{line}: {link}", page.path));
            }
        }
    }
    assert!(
        dead.is_empty(),
        "links that lead nowhere:\n{}",
        dead.join("\n")
    );
}

/// The path without `..`, which a browser takes off before it asks.
fn straightened(path: &Path) -> PathBuf {
    let mut straight = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => assert!(straight.pop(), "{} leaves the tree", path.display()),
            component => straight.push(component),
        }
    }
    straight
}

/// Code in the text that looks like a setting or a command is one.
pub(crate) fn name_what_there_is(pages: &[Page]) {
    let (sections, keys) = settings();
    let mut wrong = Vec::new();
    for page in pages {
        for (line, code) in &page.code {
            let is_word =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._".contains(c);
            let section = code.rsplit_once('.').map(|(section, _)| section);
            let is_setting = section.is_some_and(|section| sections.contains(section));
            let is_file = FILES.iter().any(|ending| code.ends_with(ending));
            if is_setting && !is_file && code.chars().all(is_word) && !keys.contains(code.as_str())
            {
                wrong.push(format!("{}:{line}: no setting {code}", page.path));
            }
            if code.starts_with("snowflake-broker ") {
                let words = code.split(' ').map(Into::into);
                if let Err(error) = Cli::parse_from(words)
                    && error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                    && error.use_stderr()
                {
                    wrong.push(format!("{}:{line}: {code}: {error}", page.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The sections and keys of the example.
fn settings() -> (BTreeSet<&'static str>, BTreeSet<String>) {
    let mut sections = BTreeSet::new();
    let mut keys = BTreeSet::new();
    let mut section = "";
    for line in EXAMPLE.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = name;
            sections.insert(name);
            keys.insert(name.to_owned());
        } else if let Some((key, _)) = line.split_once(" = ") {
            keys.insert(format!("{section}.{key}"));
        }
    }
    (sections, keys)
}
