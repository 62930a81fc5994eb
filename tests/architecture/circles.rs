//! Detection of circular imports between files.
//!
//! An import is a path that begins with `crate::`, `super::` or the name of a module
//! below the file. It counts as an import of the file that defines the item, however many
//! re-exports lie in between. A file may import from its ancestors in the tree, which
//! count as one unit with it.

use std::collections::{BTreeMap, BTreeSet};

/// A path of names, such as `http`, `client` for `src/http/client.rs`.
type Names = Vec<String>;

/// The files of a crate with their code, by their position in the tree.
pub(crate) struct Files {
    code: BTreeMap<Names, String>,
    /// The items that each file re-exports, and their paths.
    re_exports: BTreeMap<Names, BTreeMap<String, Names>>,
}

impl Files {
    pub(crate) fn new(code: BTreeMap<Names, String>) -> Self {
        let re_exports = code
            .iter()
            .map(|(file, code)| (file.clone(), re_exports(file, code)))
            .collect();
        Self { code, re_exports }
    }

    /// Each circle, as the list of its files.
    pub(crate) fn circles(&self) -> Vec<Vec<String>> {
        let imports: BTreeMap<&Names, BTreeSet<&Names>> = self
            .code
            .keys()
            .map(|file| (file, self.imports(file)))
            .collect();
        let reached: BTreeMap<&Names, BTreeSet<&Names>> = imports
            .keys()
            .map(|file| (*file, reach(file, &imports)))
            .collect();
        let mut circles = BTreeSet::new();
        for (file, others) in &reached {
            let circle: Vec<String> = others
                .iter()
                .filter(|other| reached[**other].contains(file))
                .map(|other| other.join("/"))
                .collect();
            if circle.len() > 1 {
                circles.insert(circle);
            }
        }
        circles.into_iter().collect()
    }

    fn imports(&self, file: &Names) -> BTreeSet<&Names> {
        paths(file, &self.code[file])
            .iter()
            .filter_map(|path| self.defining(path, 0))
            .filter(|other| !file.starts_with(other))
            .collect()
    }

    /// The file that defines the item of a path.
    fn defining(&self, path: &[String], hops: usize) -> Option<&Names> {
        let length = (1..=path.len())
            .rev()
            .find(|length| self.code.contains_key(&path[..*length]))?;
        let (file, _) = self.code.get_key_value(&path[..length])?;
        let handed_on = path
            .get(length)
            .and_then(|item| self.re_exports[file].get(item));
        match handed_on {
            Some(next) if hops < 5 => self.defining(next, hops + 1).or(Some(file)),
            _ => Some(file),
        }
    }
}

fn reach<'a>(
    start: &'a Names,
    imports: &BTreeMap<&'a Names, BTreeSet<&'a Names>>,
) -> BTreeSet<&'a Names> {
    let mut reached = BTreeSet::new();
    let mut left: Vec<&Names> = vec![start];
    while let Some(file) = left.pop() {
        for other in &imports[file] {
            if reached.insert(*other) {
                left.push(other);
            }
        }
    }
    reached
}

/// The full path of every item of ours that the code of a file names.
fn paths(file: &Names, code: &str) -> Vec<Names> {
    let parent = &file[..file.len() - 1];
    let mut found = Vec::new();
    for (start, prefix) in [("crate::", &[][..]), ("super::", parent)] {
        for rest in after(code, start) {
            expand(prefix, rest, &mut found);
        }
    }
    for module in modules(code) {
        let inner = [file.as_slice(), std::slice::from_ref(&module)].concat();
        for rest in after(code, &format!("{module}::")) {
            expand(&inner, rest, &mut found);
        }
    }
    found
}

/// The rest of the code after each occurrence of `start` at the beginning of a path.
fn after<'a>(code: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    code.match_indices(start)
        .filter(|(at, _)| {
            let before = code[..*at].chars().next_back();
            before.is_none_or(|c| !c.is_alphanumeric() && !"_:.".contains(c))
        })
        .map(move |(at, _)| &code[at + start.len()..])
}

/// The modules that the code declares in separate files.
fn modules(code: &str) -> impl Iterator<Item = String> {
    code.lines().filter_map(|line| {
        let (visibility, name) = line.strip_suffix(';')?.split_once("mod ")?;
        (visibility.is_empty() || visibility.starts_with("pub")).then(|| name.to_owned())
    })
}

fn re_exports(file: &Names, code: &str) -> BTreeMap<String, Names> {
    let mut items = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let line = code[..at].rsplit('\n').next().unwrap_or_default();
        if !line.starts_with("pub") {
            continue;
        }
        let rest = &code[at + "use ".len()..];
        match rest.split_once("::") {
            Some(("crate", rest)) => expand(&[], rest, &mut items),
            Some(("super", rest)) => expand(&file[..file.len() - 1], rest, &mut items),
            Some(("self", rest)) => expand(file, rest, &mut items),
            _ => expand(file, rest, &mut items),
        }
    }
    items
        .into_iter()
        .filter_map(|path| Some((path.last()?.clone(), path)))
        .collect()
}

/// Each path at the beginning of the text, with groups in braces expanded.
fn expand(prefix: &[String], text: &str, found: &mut Vec<Names>) {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        for item in members(group) {
            expand(prefix, item, found);
        }
        return;
    }
    let name: String = text
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    let rest = &text[name.len()..];
    if name.is_empty() || name == "self" {
        found.push(prefix.to_vec());
        return;
    }
    let path = [prefix, &[name]].concat();
    match rest.strip_prefix("::") {
        Some(rest) => expand(&path, rest, found),
        None => found.push(path),
    }
}

/// The members of a group, whose opening brace is already consumed.
fn members(group: &str) -> Vec<&str> {
    let mut members = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' | ',' if depth == 0 => {
                members.push(group[start..at].trim());
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    members.retain(|member| !member.is_empty());
    members
}

#[test]
fn circles_are_found_through_groups_parents_and_re_exports() {
    let files = |files: &[(&str, &str)]| {
        let names = |path: &str| path.split('/').map(str::to_owned).collect();
        let code = files
            .iter()
            .map(|(path, code)| (names(path), (*code).to_owned()));
        Files::new(code.collect()).circles()
    };
    let none: Vec<Vec<String>> = Vec::new();
    let parent_and_part = [("a", "mod b;\nuse b::B;"), ("a/b", "use super::A;")];
    assert_eq!(files(&parent_and_part), none);
    let siblings = [
        ("a", "mod b;\nmod c;\npub use c::C;"),
        ("a/b", "use super::{A, C};"),
        ("a/c", "use crate::{x, a::{b::{self, B}}};"),
        ("x", ""),
    ];
    assert_eq!(files(&siblings), [["a/b", "a/c"]]);
    let far = [
        ("a", "use crate::b::B;"),
        ("b", "crate::c::f()"),
        ("c", "fn f() { crate::a::g() }"),
    ];
    assert_eq!(files(&far), [["a", "b", "c"]]);
}
