//! The build script: notes the commit and the features for `--version`.

use std::env;
use std::error::Error;
use std::path::Path;
use std::process::Command;

/// The commit, where whoever builds a package says it.
const COMMIT: &str = "SNOWFLAKE_COMMIT";
/// The beginning of the variables by which Cargo names the features.
const FEATURE: &str = "CARGO_FEATURE_";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=src/cli/build.rs");
    println!("cargo:rerun-if-env-changed={COMMIT}");
    watch_commits();
    let version = env::var("CARGO_PKG_VERSION")?;
    let details = format!("{}features: {}", commit(), features());
    println!("cargo:rustc-env=VERSION_WITH_DETAILS={version} ({details})");
    Ok(())
}

/// `commit 0123456789ab, `, or nothing where nobody knows it, as in a tarball.
fn commit() -> String {
    let said = env::var(COMMIT).ok().filter(|commit| !commit.is_empty());
    let known = said.or_else(|| git(&["rev-parse", "--short=12", "HEAD"]));
    known.map_or_else(String::new, |commit| format!("commit {commit}, "))
}

fn features() -> String {
    let names = env::vars().filter_map(|(name, _)| {
        let name = name.strip_prefix(FEATURE)?;
        (name != "DEFAULT").then(|| name.to_ascii_lowercase().replace('_', "-"))
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}

/// Runs this script again after a checkout, and for a release after a commit, too:
/// between commits a debug build would compile everything anew for nothing else.
fn watch_commits() {
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let files: &[&str] = if is_release {
        &["HEAD", "logs/HEAD"]
    } else {
        &["HEAD"]
    };
    for file in files {
        let path = git(&["rev-parse", "--git-path", file]);
        if let Some(path) = path.filter(|path| Path::new(path).exists()) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
}

/// The output of git, if this folder is a repository and not only in one, as that of a
/// distribution's package may be.
fn git(arguments: &[&str]) -> Option<String> {
    let run = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let folder = run(&["rev-parse", "--show-prefix"])?;
    folder.is_empty().then(|| run(arguments))?
}
