//! The changes of the configuration that require a restart.

use std::collections::BTreeSet;

use toml::Table;

use crate::app::certificates::CertificateSource;
use crate::config::Config;

/// The sections and keys that a reload applies. All others require a restart, so that a
/// new setting is never silently ignored.
const RELOADED: [&str; 18] = [
    "admin.pools_file",
    "admin.tls",
    "admin.tokens",
    "bridges",
    "broker",
    "federation",
    "geoip",
    "limits",
    "listener",
    "matching",
    "operator.networks",
    "outcomes",
    "policy",
    "poll_interval",
    "pools",
    "supply",
    "telemetry.log_level",
    "tls",
];

/// The keys in these sections that require a restart nevertheless.
const NOT_RELOADED: [&str; 4] = [
    "federation.listen",
    "listener.addr",
    "listener.expected_sockets",
    "tls.disable",
];

/// The names of keys whose values differ between `started` and `new` and that a reload
/// does not apply.
pub(super) fn keys(started: &Config, new: &Config) -> Vec<String> {
    // A reload reads other files, but a certificate from another source requires a
    // restart.
    let keeps_source = CertificateSource::of(started) == CertificateSource::of(new);
    let (started, new) = (tree(started), tree(new));
    let sections: BTreeSet<&String> = started.keys().chain(new.keys()).collect();
    let mut waiting = Vec::new();
    for section in sections {
        let (before, after) = (keys_of(&started, section), keys_of(&new, section));
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for name in names {
            let key = format!("{section}.{name}");
            let is_in = |keys: &[&str]| keys.contains(&section.as_str()) || keys.contains(&&*key);
            let waits =
                !is_in(&RELOADED) || is_in(&NOT_RELOADED) || (section == "tls" && !keeps_source);
            if before.get(name) != after.get(name) && waits {
                waiting.push(key);
            }
        }
    }
    waiting
}

/// Empty for a configuration that TOML cannot express, which the checks refuse.
fn tree(config: &Config) -> Table {
    Table::try_from(config).unwrap_or_default()
}

fn keys_of(tree: &Table, section: &str) -> Table {
    let section = tree.get(section).and_then(toml::Value::as_table);
    section.cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::http::operator::OperatorListen;

    #[test]
    fn what_changed_is_named_unless_it_is_in_force() {
        let started = Config::default();
        assert_eq!(keys(&started, &started), [""; 0]);
        let mut new = started.clone();
        new.listener.idle_timeout = Duration::from_secs(1);
        new.listener.addr = ":1".to_owned();
        new.http.body_read_timeout = Duration::from_secs(1);
        new.tls.cert = Some("cert.pem".into());
        new.telemetry.unsafe_logging = true;
        new.telemetry.log_level = "debug".to_owned();
        new.matching.max_attempts = 3;
        new.operator.listen = OperatorListen::At(Vec::new());
        new.operator.networks = vec!["192.0.2.0/24".parse().unwrap()];
        new.poll_interval.filepath = Some("intervals.json".into());
        let pool = "name = \"family\"\ntoken_file = \"family.token\"";
        new.pools.list = vec![toml::from_str(pool).unwrap()];
        let expected = [
            "http.body_read_timeout",
            "listener.addr",
            "operator.listen",
            "telemetry.unsafe_logging",
            "tls.cert",
        ];
        assert_eq!(keys(&started, &new), expected);
        assert_eq!(keys(&new, &started), expected);
    }

    /// The NixOS module restarts the broker when a key changes that a reload does not
    /// apply.
    #[test]
    fn nix_knows_what_is_in_force() {
        let known = include_str!("../../../nix/reloaded.json");
        let known: serde_json::Value = serde_json::from_str(known).unwrap();
        let ours = serde_json::json!({ "reloaded": RELOADED, "not_reloaded": NOT_RELOADED });
        assert_eq!(known, ours);
    }

    #[test]
    fn what_is_in_force_exists() {
        let mut config = Config::default();
        config.federation.listen = Some(":7443".to_owned());
        config.admin.pools_file = Some("pools.json".into());
        let tree = tree(&config);
        for key in RELOADED.into_iter().chain(NOT_RELOADED) {
            let mut path = key.split('.');
            let section = path.next().and_then(|section| tree.get(section));
            let value = path.fold(section, |value, name| value?.get(name));
            assert!(value.is_some(), "{key}");
        }
    }
}
