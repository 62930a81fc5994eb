//! The commit and the features that the build script notes for `--version`.

use std::fs;
use std::path::Path;
use std::process::Command;

/// What the build script notes in a folder: the value of the variable.
fn noted(script: &Path, folder: &Path, commit: Option<&str>) -> String {
    let mut command = Command::new(script);
    command
        .current_dir(folder)
        .env("CARGO_PKG_VERSION", "0.2.0");
    command
        .env("CARGO_FEATURE_SQS", "1")
        .env("CARGO_FEATURE_DEFAULT", "1");
    command.env_remove("SNOWFLAKE_COMMIT");
    command.envs(commit.map(|commit| ("SNOWFLAKE_COMMIT", commit)));
    let output = command.output().expect("the build script");
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    let line = said
        .lines()
        .find_map(|line| line.strip_prefix("cargo:rustc-env=VERSION_WITH_DETAILS="));
    line.expect("a version").to_owned()
}

#[test]
fn the_commit_is_the_packagers_or_gits_or_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("script");
    let compiled = Command::new("rustc")
        .args(["--edition=2024", "-o"])
        .arg(&script)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/build.rs"))
        .output()
        .expect("rustc");
    assert!(compiled.status.success(), "{compiled:?}");
    let tree = folder.path().join("tree");
    fs::create_dir(&tree).expect("a folder");
    let without = "0.2.0 (features: sqs)";
    assert_eq!(noted(&script, &tree, None), without, "no repository");
    assert_eq!(
        noted(&script, &tree, Some("abcdef")),
        "0.2.0 (commit abcdef, features: sqs)"
    );
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(&tree)
            .args(["-c", "user.name=a", "-c", "user.email=a@a.example"]);
        let output = git.args(arguments).output().expect("git");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    git(&["init", "--quiet"]);
    git(&["commit", "--quiet", "--allow-empty", "--message=first"]);
    let commit = git(&["rev-parse", "--short=12", "HEAD"]);
    assert_eq!(
        noted(&script, &tree, None),
        format!("0.2.0 (commit {}, features: sqs)", commit.trim())
    );
    // The repository of somebody else's packages.
    let within = tree.join("within");
    fs::create_dir(&within).expect("a folder");
    assert_eq!(noted(&script, &within, None), without);
}
