//! Checks of the source tree against the design: imports between modules, purity, reading
//! of files, length of files, form of documentation, and tests of what pages promise.

#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/claims.rs"]
mod claims;
#[path = "architecture/generated.rs"]
mod generated;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The layers. A module imports from earlier layers, never from its own.
const LAYERS: [&[&str]; 10] = [
    &["wire"],
    &["bridges", "geoip", "policy"],
    &["matching", "metrics"],
    &["outcomes"],
    &["broker"],
    &["peers", "rendezvous"],
    &["cluster", "federation", "grpc", "http", "probe", "sqs"],
    &["config"],
    &["app", "admin_client"],
    &["cli"],
];
/// Imports within a layer that are allowed nevertheless.
const SIDEWAYS: [(&str, &str); 1] = [("policy", "geoip")];
/// Modules that know no broker type. All others may import them; they import no others of
/// ours.
const PLUMBING: [&str; 11] = [
    "backoff",
    "causes",
    "file_access",
    "host_port",
    "listener",
    "networks",
    "proto",
    "report",
    "telemetry",
    "timespan",
    "tls",
];
/// Plumbing that other plumbing may import.
const BASE: [&str; 8] = [
    "backoff",
    "causes",
    "file_access",
    "host_port",
    "networks",
    "report",
    "timespan",
    "tls",
];
/// Modules that open nothing, wait for nothing, read no clock and draw no random numbers.
const PURE: [&str; 15] = [
    "backoff",
    "host_port",
    "networks",
    "report",
    "wire",
    "bridges",
    "geoip",
    "matching",
    "metrics",
    "outcomes",
    "policy",
    "broker/poll_interval",
    "broker/wanted",
    "peers",
    "timespan",
];
const IMPURE: [&str; 9] = [
    "tokio",
    "std::fs",
    "std::env",
    "std::thread",
    "std::process",
    "Instant::now",
    "SystemTime::now",
    "rand::",
    "opentelemetry",
];
/// Modules that read files: the programs, and the configuration for its own files.
const READ_FILES: [&str; 5] = [
    "app",
    "admin_client",
    "cli",
    "config/file.rs",
    "file_access",
];
const LINES_MAX: usize = 400;
/// Modules whose errors repeat their sources: errors on the wire consist only of their
/// text, and the federation's are printed without their sources.
const SAY_THEIR_SOURCE: [&str; 2] = ["wire", "federation/error.rs"];

struct Source {
    /// The path relative to `src`.
    path: PathBuf,
    text: String,
}

impl Source {
    /// The first part of the path: the module that the file belongs to.
    fn module(&self) -> &str {
        let first = self.path.iter().next().unwrap().to_str().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// The code without comments and unit tests.
    fn code(&self) -> String {
        let code = self.text.split("#[cfg(test)]").next().unwrap();
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        code.lines().filter(is_code).collect::<Vec<_>>().join("\n")
    }

    /// Our modules that the code names.
    fn imports(&self) -> BTreeSet<String> {
        let code = self.code();
        let after_crate = code.split("crate::").skip(1);
        after_crate.flat_map(names_at_start).collect()
    }
}

/// `name` in `name::rest`, or each name in `{name::rest, name}`.
fn names_at_start(path: &str) -> Vec<String> {
    let Some(group) = path.strip_prefix('{') else {
        return vec![first_name(path)];
    };
    let mut names = vec![first_name(group)];
    let mut depth = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(first_name(&group[at + 1..])),
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn first_name(path: &str) -> String {
    let path = path.trim_start();
    path.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// Words with which no documentation may begin: it begins with the noun that it is about.
const QUESTION_WORDS: [&str; 7] = ["How", "What", "Where", "Whether", "Who", "Whom", "Why"];
/// Types that each module may define, distinguished by their paths: settings and errors.
const OF_EACH_MODULE: [&str; 2] = ["Error", "Settings"];

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&root).unwrap().to_owned();
                sources.push(Source { path, text });
            }
        }
    }
    assert!(sources.len() > 20, "the sources are not where they were");
    sources
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn may_import(module: &str, other: &str) -> bool {
    if module == other || SIDEWAYS.contains(&(module, other)) {
        return true;
    }
    match (layer(module), layer(other)) {
        (Some(here), Some(there)) => there < here,
        (Some(_), None) => PLUMBING.contains(&other),
        (None, _) => PLUMBING.contains(&module) && BASE.contains(&other),
    }
}

#[test]
fn every_module_has_its_place() {
    for source in sources() {
        let module = source.module();
        let is_placed = layer(module).is_some() || PLUMBING.contains(&module);
        assert!(
            is_placed || ["lib", "main"].contains(&module),
            "{module} is in no layer"
        );
    }
}

#[test]
fn the_drawing_shows_every_module() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let drawing = fs::read_to_string(root.join("docs/architecture.svg")).unwrap();
    let is_shown = |module: &str| drawing.contains(&format!(">{module}</text>"));
    let all = LAYERS.iter().copied().flatten().chain(&PLUMBING);
    let missing: Vec<_> = all.filter(|module| !is_shown(module)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn imports_go_up_the_layers_only() {
    let mut wrong = Vec::new();
    for source in sources() {
        for other in source.imports() {
            if !may_import(source.module(), &other) {
                wrong.push(format!("{} imports {other}", source.path.display()));
            }
        }
        if source.code().contains("super::super::") {
            wrong.push(format!(
                "{} hides an import behind super::super",
                source.path.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pure_modules_touch_nothing() {
    let mut wrong = Vec::new();
    for source in sources() {
        let path = source.path.with_extension("");
        let is_pure = PURE.iter().any(|pure| path.starts_with(pure));
        let is_test = path.iter().any(|part| part == "tests");
        if !is_pure || is_test {
            continue;
        }
        let code = source.code();
        for impure in IMPURE.iter().filter(|impure| code.contains(**impure)) {
            wrong.push(format!("{} names {impure}", source.path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_the_composition_reads_files() {
    for source in sources() {
        let may_read = READ_FILES.iter().any(|reader| {
            source
                .path
                .with_extension("")
                .starts_with(Path::new(reader).with_extension(""))
        });
        let reads = source.code().contains("fs::");
        assert!(may_read || !reads, "{} names fs::", source.path.display());
    }
}

#[test]
fn no_file_is_longer_than_one_idea() {
    let mut long = Vec::new();
    for source in sources() {
        let own = source.text.split("\n#[cfg(test)]\nmod tests {").next();
        let lines = own.unwrap_or_default().lines().count();
        if lines > LINES_MAX {
            long.push(format!("{}: {lines} lines", source.path.display()));
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn no_files_import_each_other_in_a_loop() {
    let code = sources()
        .into_iter()
        .filter(|source| !source.path.iter().any(|part| part == "tests"))
        .map(|source| {
            let path = source.path.with_extension("");
            let names = path.iter().map(|name| name.to_str().unwrap().to_owned());
            (names.collect(), source.code())
        })
        .collect::<BTreeMap<_, _>>();
    let circles = circles::Files::new(code).circles();
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn a_name_means_one_thing() {
    let mut places: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let is_test = |source: &Source| source.path.with_extension("").ends_with("tests");
    for source in sources().into_iter().filter(|source| !is_test(source)) {
        for name in types(&source.code()) {
            places.entry(name).or_default().push(source.path.clone());
        }
    }
    let is_shared = |(name, paths): &(String, Vec<PathBuf>)| {
        paths.len() > 1 && !OF_EACH_MODULE.contains(&name.as_str())
    };
    let shared: Vec<_> = places.into_iter().filter(is_shared).collect();
    assert!(shared.is_empty(), "{shared:#?}");
}

/// The types that the code declares.
fn types(code: &str) -> impl Iterator<Item = String> {
    code.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let kind = words
            .iter()
            .position(|word| ["struct", "enum", "trait"].contains(word))?;
        let is_declared = words[..kind]
            .iter()
            .all(|word| word.starts_with("pub") || word.ends_with(')'));
        // The name in a macro's definition comes from its caller.
        let name = first_name(words.get(kind + 1)?);
        (is_declared && !name.is_empty()).then_some(name)
    })
}

#[test]
fn documentation_begins_with_its_noun() {
    let mut wrong = Vec::new();
    for source in sources() {
        let mut is_first = true;
        for (line, text) in (1..).zip(source.text.lines()) {
            let text = text.trim_start();
            let documentation = text.strip_prefix("///").or(text.strip_prefix("//!"));
            let first_word = documentation.and_then(|text| text.split_whitespace().next());
            if is_first && first_word.is_some_and(|word| QUESTION_WORDS.contains(&word)) {
                wrong.push(format!("{}:{line}", source.path.display()));
            }
            // The next paragraph does not begin a first line.
            is_first = documentation.is_none();
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Errors are printed with their sources, so their texts must not repeat them.
#[test]
fn no_error_says_what_its_source_says() {
    let mut wrong = Vec::new();
    for source in sources() {
        let code = source.code();
        let repeats = errors(&code).any(|(text, fields)| {
            let is_field = |name: &&str| text.contains(&format!("{{{name}}}"));
            let has_source = ["#[from]", "#[source]", " source: "];
            has_source.iter().any(|mark| fields.contains(mark))
                && ["0", "source"].iter().any(is_field)
        });
        if repeats
            && !SAY_THEIR_SOURCE
                .iter()
                .any(|may| source.path.starts_with(may))
        {
            wrong.push(source.path);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The text of each error, and the code up to the next error or blank line.
fn errors(code: &str) -> impl Iterator<Item = (&str, &str)> {
    let errors = code.split("#[error(").skip(1);
    errors.filter_map(|error| {
        let (text, fields) = error.split_once(")]")?;
        Some((text, fields.split("\n\n").next().unwrap_or(fields)))
    })
}

#[test]
fn the_reader_of_errors_reads_them() {
    let code = "#[error(\"a: {0}\")]\nA(#[from] E),\n#[error(\"b\")]\nB,\n\nC(#[from] E)";
    let read: Vec<_> = errors(code).collect();
    assert_eq!(
        read,
        [("\"a: {0}\"", "\nA(#[from] E),\n"), ("\"b\"", "\nB,")]
    );
}

#[test]
fn the_reader_of_imports_reads_them() {
    let source = Source {
        path: "http/client.rs".into(),
        text: "use crate::broker::{Broker, clock};\n// crate::app\nuse crate::{config, wire::{nat, proxy}, tls};\n\
               #[cfg(test)]\nuse crate::sqs;"
            .to_owned(),
    };
    assert_eq!(source.module(), "http");
    let imports: Vec<String> = source.imports().into_iter().collect();
    assert_eq!(imports, ["broker", "config", "tls", "wire"]);
    assert!(may_import("http", "broker") && may_import("http", "tls"));
    assert!(!may_import("http", "config") && !may_import("http", "sqs"));
    assert!(!may_import("tls", "broker") && !may_import("matching", "metrics"));
}
