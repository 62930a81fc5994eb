//! The example programs, built for the test that runs them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The broker's program; the examples are in a folder beside it.
pub(crate) const BROKER: &str = env!("CARGO_BIN_EXE_snowflake-broker");

/// The path of an example program. Cargo builds the examples when it builds all tests,
/// but leaves them stale or missing for a single test.
pub(crate) fn example(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let built = Path::new(BROKER).parent().unwrap();
        build(built.ends_with("release"));
        built.join("examples")
    });
    let program = folder.join(name);
    assert!(program.exists(), "{} is not there", program.display());
    program
}

fn build(is_release: bool) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--locked", "--quiet", "--examples"])
        .args(is_release.then_some("--release"))
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
