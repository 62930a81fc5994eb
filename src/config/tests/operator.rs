//! Refused addresses and networks of the operator endpoints.

use std::io::Write as _;

use tempfile::NamedTempFile;

use super::*;
use crate::http::operator::OperatorListen;

fn listening(addresses: &str) -> Result<Loaded, String> {
    let variables = [
        ("SNOWFLAKE_BROKER_OPERATOR__LISTEN", addresses),
        ("SNOWFLAKE_BROKER_HTTP__FORWARDED_BY", "none"),
    ];
    load(&in_the_clear(&variables, vec![])).map_err(|error| error.to_string())
}

fn at(addresses: &[&str]) -> OperatorListen {
    OperatorListen::At(addresses.iter().map(|&addr| addr.to_owned()).collect())
}

#[test]
fn addresses_are_one_or_several_or_none() {
    for (text, addresses) in [
        ("127.0.0.1:1", &["127.0.0.1:1"][..]),
        ("127.0.0.1:1, [::1]:1", &["127.0.0.1:1", "[::1]:1"]),
        (r#"["127.0.0.1:1", "[::1]:1"]"#, &["127.0.0.1:1", "[::1]:1"]),
        ("[::1]:1,[::1]:2", &["[::1]:1", "[::1]:2"]),
        ("off", &[]),
        ("", &[]),
    ] {
        let loaded = listening(text).unwrap();
        assert_eq!(loaded.config.operator.listen, at(addresses), "{text}");
    }
    for (toml, addresses) in [
        (r#""127.0.0.1:1""#, &["127.0.0.1:1"][..]),
        (r#"["127.0.0.1:1", "[::1]:1"]"#, &["127.0.0.1:1", "[::1]:1"]),
        (r#""off""#, &[]),
        ("[]", &[]),
        (r#""""#, &[]),
    ] {
        let mut file = NamedTempFile::new().unwrap();
        writeln!(file, "[operator]\nlisten = {toml}").unwrap();
        let mut inputs = in_the_clear(&[], vec![]);
        inputs.files = vec![file.path().to_owned()];
        let loaded = load(&inputs).unwrap();
        assert_eq!(loaded.config.operator.listen, at(addresses), "{toml}");
        let printed = loaded.config.to_toml().unwrap();
        let again: Config = toml::from_str(&printed).unwrap();
        assert_eq!(again, loaded.config, "{toml}");
    }
}

#[test]
fn wrong_addresses_are_named() {
    for (text, problem) in [
        ("9580", "must be :PORT"),
        ("127.0.0.1:1,nowhere", "\"nowhere\" is none"),
        (
            ":443",
            ":443 has the port of listener.addr (:443): set another",
        ),
    ] {
        let error = listening(text).unwrap_err();
        assert!(error.starts_with("operator.listen: "), "{error}");
        assert!(error.contains(problem), "{error}");
    }
    let mut file = NamedTempFile::new().unwrap();
    writeln!(file, "[operator]\nlisten = 9580").unwrap();
    let mut inputs = in_the_clear(&[], vec![]);
    inputs.files = vec![file.path().to_owned()];
    let error = refused(&inputs);
    assert!(error.contains("an address and port"), "{error}");
}

#[test]
fn what_everybody_may_reach_is_doubtful() {
    for (text, is_doubtful) in [
        ("127.0.0.1:1", false),
        ("10.0.0.1:1", false),
        ("[fd00::1]:1", false),
        ("monitor.example:1", false),
        (":1", true),
        ("0.0.0.0:1", true),
        ("[::]:1", true),
        ("1.2.3.4:1", true),
    ] {
        let warnings = listening(text).unwrap().warnings;
        assert_eq!(!warnings.is_empty(), is_doubtful, "{text}: {warnings:?}");
    }
    let everybody = [("SNOWFLAKE_BROKER_OPERATOR__NETWORKS", "::/0")];
    let loaded = load(&in_the_clear(&everybody, vec![])).unwrap();
    assert!(loaded.warnings[0].to_string().contains("everybody"));
}
