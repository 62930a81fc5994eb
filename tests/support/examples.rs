//! The example programs, built for the test that runs them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The broker's program; the examples are in a folder beside it.
pub(crate) const BROKER: &str = env!("CARGO_BIN_EXE_snowflake-broker");

/// Set by tests/run, which builds the examples together with all tests.
const ARE_BUILT: &str = "SNOWFLAKE_EXAMPLES_ARE_BUILT";

/// The path of an example program. Cargo leaves the examples stale or missing when it
/// builds a single test.
pub(crate) fn example(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let built = Path::new(BROKER).parent().unwrap();
        if env::var_os(ARE_BUILT).is_none() {
            build(profile(built));
        }
        built.join("examples")
    });
    let program = folder.join(name);
    assert!(program.exists(), "{} is not there", program.display());
    program
}

/// The profile whose folder this is.
fn profile(folder: &Path) -> &str {
    let folder = folder.file_name().unwrap().to_str().unwrap();
    if folder == "debug" { "dev" } else { folder }
}

fn build(profile: &str) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--locked", "--quiet", "--examples"])
        .args(["--profile", profile])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
