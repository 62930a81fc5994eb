//! Help, versions and manual pages.

use std::fs;

use super::program::Broker;

#[track_caller]
fn printed(arguments: &str) -> String {
    let ran = Broker::new(arguments).run();
    assert_eq!((ran.code, &*ran.stderr), (0, ""), "{arguments}");
    ran.stdout
}

#[test]
fn the_version_has_commit_and_features_and_works_everywhere() {
    let version = env!("VERSION_WITH_DETAILS");
    assert!(version.starts_with(env!("CARGO_PKG_VERSION")), "{version}");
    assert_eq!(version.contains("sqs"), cfg!(feature = "sqs"), "{version}");
    for arguments in [
        "version",
        "--version",
        "-version",
        "-V",
        "run --version",
        "check-config --version",
        "count-ips --version",
        "admin --version",
        "admin bridges list -V",
    ] {
        let said = printed(arguments);
        assert!(said.starts_with("snowflake-broker"), "{arguments}: {said}");
        assert!(
            said.ends_with(&format!(" {version}\n")),
            "{arguments}: {said}"
        );
    }
}

#[test]
fn the_help_of_a_command_shows_its_own_options() {
    let run = printed("run --help");
    assert!(
        run.contains("--addr <ADDR>") && run.contains("--config <FILE>"),
        "{run}"
    );
    for (command, own) in [
        ("check-config", "--no-files"),
        ("print-config", "--show-secrets"),
        ("count-ips", "--from <TIME>"),
        ("completions", "<SHELL>"),
        ("man", "[DIR]"),
        ("version", "--help"),
    ] {
        let help = printed(&format!("{command} --help"));
        assert!(help.contains(own), "{help}");
        assert!(
            !help.contains("--addr") && !help.contains("--config <"),
            "{help}"
        );
    }
    // They take them all the same.
    Broker::new("check-config -disable-tls --addr :0")
        .run()
        .ok();
    assert_eq!(Broker::new("count-ips --addr :0 file").run().code, 2);
}

#[test]
fn the_manual_has_the_sections_that_manuals_have() {
    let page = printed("man");
    let headings: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix(".SH "))
        .map(|heading| heading.trim_matches('"'))
        .collect();
    assert_eq!(
        headings,
        [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPTIONS",
            "SETTINGS",
            "SUBCOMMANDS",
            "ENVIRONMENT",
            "FILES",
            "SIGNALS",
            "EXIT STATUS",
            "EXAMPLES",
            "VERSION",
        ]
    );
    let folder = tempfile::tempdir().expect("a folder");
    let said = printed(&format!("man {}", folder.path().display()));
    assert_eq!(said, "");
    let written = |name: &str| fs::read_to_string(folder.path().join(name)).expect("a page");
    assert_eq!(written("snowflake-broker.1"), page);
    assert!(written("snowflake-broker-admin.1").contains("EXAMPLES"));
    assert!(written("snowflake-broker-admin-bridges-set.1").contains("write\\-back"));
}
