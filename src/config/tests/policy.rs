//! The rules of the policy, and their places in files.

use std::io::Write as _;

use tempfile::NamedTempFile;

use super::*;
use crate::config::ConfigErrors;

const TLS: &str = "[tls]\ndisable = true\n";

/// The configuration, or its errors without the path of the file.
fn with(text: &str) -> Result<Config, Vec<String>> {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(format!("{TLS}{text}").as_bytes()).unwrap();
    let inputs = Inputs {
        files: vec![file.path().to_owned()],
        ..inputs(&[], vec![])
    };
    let path = file.path().display().to_string();
    let shown = |error: ConfigErrors| {
        let error = error.to_string().replace(&path, "FILE");
        error.lines().map(str::to_owned).collect()
    };
    load(&inputs).map(|loaded| loaded.config).map_err(shown)
}

fn rule(name: &str, rest: &str) -> String {
    format!("[[policy.rules]]\nname = \"{name}\"\n{rest}\n")
}

#[test]
fn a_mistake_is_named_with_its_rule_and_the_line_where_that_begins() {
    let good = rule(
        "good",
        "action = \"last\"\nproxy = { types = [\"webext\"] }",
    );
    for (wrong, expected) in [
        (
            rule("bad", "action = \"last\"\nproxy = { contries = [\"RU\"] }"),
            "policy.rules.bad: unknown key contries, did you mean countries? (FILE line 7)",
        ),
        (
            rule("bad", "acton = \"last\""),
            "policy.rules.bad: unknown key acton, did you mean action? (FILE line 7)",
        ),
        (
            rule("bad", "action = \"first\"\nproxy = { types = [\"a\"] }"),
            "policy.rules.bad: action must be prefer, last or deny (FILE line 7)",
        ),
        (
            rule("bad", "proxy = { types = [\"a\"] }"),
            "policy.rules.bad: action is missing (FILE line 7)",
        ),
        (
            rule(
                "bad",
                "action = \"last\"\nproxy = { nat = [\"symmetric\"] }",
            ),
            "policy.rules.bad: proxy.nat must be NAT words (open, moderate, strict, unrestricted, \
             restricted, unknown) (FILE line 7)",
        ),
        (
            rule(
                "bad",
                "action = \"last\"\nshare = 2\nproxy = { types = [\"a\"] }",
            ),
            "policy.rules.bad.share: must be between 0 and 1 (got 2, FILE line 7)",
        ),
        (
            rule("bad", "action = \"last\""),
            "policy.rules.bad.proxy: must have a condition, or the rule would mean all proxies \
             alike (FILE line 7)",
        ),
        (
            rule("bad", "action = \"last\"\nproxy = { asns = [1] }"),
            "policy.rules: needs geoip.asndb, the database of autonomous systems, for asns \
             (got [{ .. }], FILE line 3)",
        ),
    ] {
        assert_eq!(with(&format!("{good}{wrong}")).unwrap_err(), [expected]);
    }
}

#[test]
fn names_are_unique_and_rules_bounded() {
    let twice = rule("a", "action = \"last\"\nproxy = { types = [\"a\"] }").repeat(2);
    assert_eq!(
        with(&twice).unwrap_err(),
        ["policy.rules: must not have the name \"a\" twice (got [{ .. }], FILE line 3)"]
    );
    let numbered = |number: usize| {
        rule(
            &number.to_string(),
            "action = \"last\"\nproxy = { types = [\"a\"] }",
        )
    };
    let many: String = (0..65).map(numbered).collect();
    assert_eq!(
        with(&many).unwrap_err(),
        ["policy.rules: must be 64 rules or fewer, not 65 (got [{ .. }], FILE line 3)"]
    );
    let most: String = (0..64).map(numbered).collect();
    assert_eq!(with(&most).unwrap().policy.rules.len(), 64);
}

#[test]
fn countries_need_their_databases() {
    let rule = rule("a", "action = \"last\"\nproxy = { countries = [\"IR\"] }");
    assert_eq!(
        with(&format!("{rule}[geoip]\ndisable = true\n")).unwrap_err(),
        [
            "policy.rules: must not ask for countries while geoip.disable is set \
          (got [{ .. }], FILE line 3)"
        ]
    );
}

#[test]
fn rules_are_printed_as_they_are_read() {
    let text = rule(
        "a",
        "action = \"prefer\"\nshare = 0.5\nproxy = { types = [\"webext\"] }",
    );
    let config = with(&text).unwrap();
    let printed = config.to_toml().unwrap();
    assert_eq!(toml::from_str::<Config>(&printed).unwrap(), config);
}
