//! The configuration: a file, and variables of the environment.

use std::fs;
use std::path::PathBuf;

use snowflake_broker::config::{Config, Inputs, load};

use super::choice;

pub(super) fn configuration(input: &[u8]) {
    let Some((which, text)) = choice(input, 2) else {
        return;
    };
    if which == 0 {
        file(text);
    } else {
        variables(&String::from_utf8_lossy(text));
    }
}

/// What is taken from a file is taken again as the broker prints it.
fn file(text: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config.toml");
    fs::write(&path, text).expect("a file");
    let Some(config) = taken(&Inputs {
        files: vec![path.clone()],
        ..inputs()
    }) else {
        return;
    };
    let printed = config
        .to_toml()
        .expect("every configuration can be printed");
    fs::write(&path, &printed).expect("a file");
    let again = taken(&Inputs {
        files: vec![path],
        ..inputs()
    })
    .expect("its own form");
    assert_eq!(again.to_toml().expect("as before"), printed);
}

/// Variables, one a line: a key in capital letters, `=`, and a value.
fn variables(text: &str) {
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let environment = lines
        .map(|(key, value)| (format!("SNOWFLAKE_BROKER_{key}").into(), value.into()))
        .collect();
    let _ = taken(&Inputs {
        environment,
        ..inputs()
    });
}

/// The configuration, if it is valid; else there are errors, each of which says something.
fn taken(inputs: &Inputs) -> Option<Config> {
    match load(inputs) {
        Ok(loaded) => Some(loaded.config),
        Err(errors) => {
            assert!(!errors.to_string().trim().is_empty());
            None
        }
    }
}

fn inputs() -> Inputs {
    Inputs {
        files: Vec::new(),
        default_file: PathBuf::from("/nonexistent"),
        environment: Vec::new(),
        flags: Vec::new(),
        named_files_are_elsewhere: true,
    }
}
