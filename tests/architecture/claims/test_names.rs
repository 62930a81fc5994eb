//! The names of the tests of a program, read off its sources.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Tests by their names as `cargo test -- --list` prints them.
pub(crate) type Tests = BTreeMap<String, Kind>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Ignored,
    /// Only in builds with certain features.
    Conditional,
}

/// The tests of a program: that of a folder in `tests`, or `lib`.
pub(crate) fn of_program(program: &str) -> Tests {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mains = match program {
        "lib" => vec![root.join("src/lib.rs")],
        _ => vec![
            root.join("tests").join(program).join("main.rs"),
            root.join("tests").join(program).with_extension("rs"),
        ],
    };
    let mut tests = BTreeMap::new();
    if let Some(main) = mains.into_iter().find(|main| main.exists()) {
        let folder = main.parent().unwrap().to_owned();
        add_file(&main, &folder, "", &mut tests);
    }
    tests
}

/// Adds the tests of a file and of the modules that it declares, which are in the folder.
fn add_file(file: &Path, folder: &Path, prefix: &str, tests: &mut Tests) {
    let text = fs::read_to_string(file);
    let scan = Scan::of(&text.unwrap_or_else(|error| panic!("{}: {error}", file.display())));
    for (name, kind) in scan.tests {
        tests.insert(format!("{prefix}{name}"), kind);
    }
    for module in scan.modules {
        let prefix = format!("{prefix}{}::", module.path);
        if let Some(named) = module.file {
            let file = file.with_file_name(named);
            add_file(&file, file.parent().unwrap(), &prefix, tests);
        } else {
            let folder = folder.join(module.path.replace("::", "/"));
            add_file(&folder.with_extension("rs"), &folder, &prefix, tests);
        }
    }
}

/// A module in a file of its own.
#[derive(Debug, PartialEq, Eq)]
struct Declared {
    /// From the file that declares it.
    path: String,
    /// What `#[path]` says.
    file: Option<PathBuf>,
}

/// The tests and modules of one file.
#[derive(Debug, Default)]
struct Scan {
    tests: Tests,
    modules: Vec<Declared>,
    /// For each macro that makes tests, the paths of those whose name is a parameter.
    made: BTreeMap<String, BTreeSet<String>>,
}

/// The reader of one file, which relies on the form that rustfmt gives it: a block ends at
/// the indentation at which it began.
struct Reader<'a> {
    /// Blocks that lines are in, each with its indentation.
    blocks: Vec<(usize, Block<'a>)>,
    attributes: String,
    scan: Scan,
}

enum Block<'a> {
    Module(&'a str),
    Macro(&'a str),
    Call(&'a str),
}

impl Scan {
    fn of(text: &str) -> Self {
        let mut reader = Reader {
            blocks: Vec::new(),
            attributes: String::new(),
            scan: Self::default(),
        };
        for line in text.lines() {
            reader.read(line);
        }
        reader.scan
    }
}

impl<'a> Reader<'a> {
    fn read(&mut self, line: &'a str) {
        let code = line.trim_start();
        let indentation = line.len() - code.len();
        let is_in_attribute = self.attributes.ends_with(' ');
        // What a macro repeats may begin with its first attribute.
        let code = code.trim_start_matches("$(");
        if code.is_empty() || code.starts_with("//") {
            return;
        }
        if code.starts_with("#[") || is_in_attribute {
            self.attributes.push_str(code);
            let separator = if code.ends_with(']') { '\n' } else { ' ' };
            self.attributes.push(separator);
            return;
        }
        if self.blocks.last().is_some_and(|(at, _)| *at == indentation) && code.starts_with('}') {
            self.blocks.pop();
        }
        self.read_item(indentation, code);
        self.attributes.clear();
    }

    fn read_item(&mut self, indentation: usize, code: &'a str) {
        let words = || {
            code.split_whitespace()
                .skip_while(|word| is_qualifier(word))
        };
        let name = words().nth(1).unwrap_or_default();
        match words().next() {
            Some("mod") if code.ends_with('{') => {
                self.blocks.push((indentation, Block::Module(name)));
            }
            Some("mod") => {
                let path = self.within(name.trim_end_matches(';'));
                let file = self.attributes.split_once("path = \"");
                let file = file.and_then(|(_, rest)| rest.split('"').next());
                let file = file.map(PathBuf::from);
                self.scan.modules.push(Declared { path, file });
            }
            Some("fn") => self.read_function(name),
            Some("macro_rules!") => self.blocks.push((indentation, Block::Macro(name))),
            Some(_) => match code.strip_suffix("! {") {
                Some(called) => self.blocks.push((indentation, Block::Call(called))),
                None => self.read_argument(code),
            },
            None => {}
        }
    }

    fn read_function(&mut self, name: &str) {
        let name = name.split(['(', '<']).next().unwrap_or_default();
        let is_test = |line: &str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        if !self.attributes.lines().any(is_test) {
            return;
        }
        let path = self.within(name);
        let kind = if self.attributes.contains("#[ignore") {
            Kind::Ignored
        } else if self.attributes.contains("#[cfg(") {
            Kind::Conditional
        } else {
            Kind::Plain
        };
        let maker = self.blocks.iter().find_map(|(_, block)| match block {
            Block::Macro(name) => Some(*name),
            Block::Module(_) | Block::Call(_) => None,
        });
        match (maker, path.rsplit_once('$')) {
            (Some(maker), Some((modules, _))) => {
                let made = self.scan.made.entry(maker.to_owned()).or_default();
                made.insert(modules.to_owned());
            }
            _ => {
                self.scan.tests.insert(path, kind);
            }
        }
    }

    /// A name that a macro makes a test of.
    fn read_argument(&mut self, code: &str) {
        let Some((_, Block::Call(called))) = self.blocks.last() else {
            return;
        };
        let name = code.split([':', ',']).next().unwrap_or_default();
        for modules in self.scan.made.get(*called).into_iter().flatten() {
            self.scan
                .tests
                .insert(format!("{modules}{name}"), Kind::Plain);
        }
    }

    /// The path of what has this name here, from the file.
    fn within(&self, name: &str) -> String {
        let modules = self.blocks.iter().filter_map(|(_, block)| match block {
            Block::Module(name) => Some(*name),
            Block::Macro(_) | Block::Call(_) => None,
        });
        modules.chain([name]).collect::<Vec<_>>().join("::")
    }
}

/// A word that may come before `fn` or `mod`.
fn is_qualifier(word: &str) -> bool {
    word.starts_with("pub") || ["async", "const", "unsafe"].contains(&word)
}

#[test]
fn tests_are_found_under_the_names_that_the_harness_has_for_them() {
    let mut own = Command::new(env::current_exe().unwrap());
    let listed = own
        .args(["--list", "--format=terse"])
        .output()
        .unwrap()
        .stdout;
    let listed = String::from_utf8(listed).unwrap();
    let listed: BTreeSet<&str> = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .collect();
    let tests = of_program("pure");
    let missed: Vec<_> = listed
        .iter()
        .filter(|name| !tests.contains_key(**name))
        .collect();
    assert!(missed.is_empty(), "{missed:#?}");
    let is_elsewhere =
        |(name, kind): &(&String, &Kind)| **kind == Kind::Plain && !listed.contains(name.as_str());
    let invented: Vec<_> = tests.iter().filter(is_elsewhere).collect();
    assert!(invented.is_empty(), "{invented:#?}");
}

#[test]
fn tests_of_macros_and_modules_are_found() {
    // Lines that begin with a quotation mark are none of the declarations of this file.
    let lines = [
        "#[cfg(test)]",
        "#[path = \"x/y.rs\"]",
        "mod y;",
        "macro_rules! all {",
        "    ($($name:ident),*) => {",
        "        mod each {",
        "            $(#[test]",
        "            fn $name() {",
        "            })*",
        "        }",
        "        #[test]",
        "        fn whole() {",
        "        }",
        "    };",
        "}",
        "all! {",
        "    a,",
        "    b: other::c,",
        "}",
        "proptest! {",
        "    #[test]",
        "    fn p(x in 0..2) {",
        "    }",
        "}",
        "mod tests {",
        "    mod deep;",
        "    #[test]",
        "    #[ignore = \"slow\"]",
        "    fn t() {",
        "    }",
        "",
        "    fn helper() {}",
        "}",
        "#[tokio::test(",
        "    flavor = \"x\"",
        ")]",
        "async fn u() {}",
        "#[cfg(feature = \"x\")]",
        "#[test]",
        "fn v() {}",
    ];
    let scan = Scan::of(&lines.join("\n"));
    let found: Vec<_> = scan
        .tests
        .iter()
        .map(|(name, is)| (name.as_str(), *is))
        .collect();
    let expected = [
        ("each::a", Kind::Plain),
        ("each::b", Kind::Plain),
        ("p", Kind::Plain),
        ("tests::t", Kind::Ignored),
        ("u", Kind::Plain),
        ("v", Kind::Conditional),
        ("whole", Kind::Plain),
    ];
    assert_eq!(found, expected);
    let file = |path: &str, file: Option<&str>| Declared {
        path: path.to_owned(),
        file: file.map(PathBuf::from),
    };
    assert_eq!(
        scan.modules,
        [file("y", Some("x/y.rs")), file("tests::deep", None)]
    );
}
