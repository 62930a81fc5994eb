//! The fuzz targets on the inputs in `fuzz/corpus`.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use crate::targets;

/// A test for each target.
macro_rules! targets {
    ($($name:ident,)*) => {
        const TESTED: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                run(stringify!($name));
            }
        )*
    };
}

targets! {
    addresses,
    bodies,
    configuration,
    engine,
    facade,
    http1,
    http2,
    lists,
    messages,
    names,
    records,
    scrubber,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn run(target: &str) {
    let inputs = fs::read_dir(folder().join("corpus").join(target)).unwrap();
    let mut count = 0;
    for input in inputs {
        let path = input.unwrap().path();
        let input = fs::read(&path).unwrap();
        let ran = catch_unwind(|| targets::run(target, &input));
        assert!(ran.is_ok(), "{} shows a fault", path.display());
        count += 1;
    }
    assert!(count > 0, "there are no inputs");
}

#[test]
fn every_target_is_tested_and_has_a_program() {
    let names = targets::TARGETS.map(|(name, _)| name);
    assert_eq!(TESTED, names);
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&manifest).unwrap();
    let programs = manifest["bin"].as_array().unwrap().iter();
    let programs: Vec<_> = programs.map(|bin| bin["name"].as_str().unwrap()).collect();
    assert_eq!(programs, names);
}
