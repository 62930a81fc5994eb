//! What types do not check: bounds, forms, and what several keys say together.

mod admin;
mod bounds;
mod federation;
mod forms;
mod listeners;
mod operator;
mod origins;
mod queues;

use std::path::Path;

use super::Config;
use super::finding::{Finding, Origins};

/// No table is larger: far from where memory ends and within what TOML can say.
const MOST: usize = 100_000_000;

/// What the rules found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) wrong: Vec<Finding>,
    pub(super) warnings: Vec<Finding>,
}

/// Checks all rules but those on keys that are known to be wrong: what they
/// would say follows from a default that nobody asked for.
pub(super) fn check(
    config: &Config,
    origins: &Origins,
    wrong: &[Finding],
    exists: fn(&Path) -> bool,
) -> Found {
    let mut rules = Rules {
        config,
        origins,
        wrong,
        found: Found::default(),
    };
    certificate(&mut rules);
    geoip(&mut rules, exists);
    bounds::check(&mut rules);
    admin::check(&mut rules);
    federation::check(&mut rules);
    forms::check(&mut rules);
    operator::check(&mut rules);
    listeners::check(&mut rules);
    origins::check(&mut rules);
    queues::check(&mut rules);
    rules.found
}

struct Rules<'a> {
    config: &'a Config,
    origins: &'a Origins,
    wrong: &'a [Finding],
    found: Found,
}

impl Rules<'_> {
    /// Says that the first of the keys is wrong.
    fn refuse(&mut self, keys: &[&str], problem: impl Into<String>) {
        if let Some(finding) = self.finding(keys, problem.into()) {
            self.found.wrong.push(finding);
        }
    }

    /// Says that the first of the keys is doubtful.
    fn warn(&mut self, keys: &[&str], problem: impl Into<String>) {
        if let Some(finding) = self.finding(keys, problem.into()) {
            self.found.warnings.push(finding);
        }
    }

    fn finding(&self, keys: &[&str], problem: String) -> Option<Finding> {
        let key = *keys.first()?;
        if self.wrong.iter().any(|finding| is_about(finding, keys)) {
            return None;
        }
        let written = self.origins.written(key).map(ToOwned::to_owned);
        Some(Finding {
            key: Some(key.to_owned()),
            value: written.or_else(|| effective(self.config, key)),
            source: self.origins.of(key).clone(),
            problem,
        })
    }
}

/// Whether the finding leaves it open what these keys say. A file that cannot
/// be read may have said anything about several keys; of a single one the
/// value at hand is judged.
fn is_about(finding: &Finding, keys: &[&str]) -> bool {
    match &finding.key {
        Some(key) => keys.contains(&key.as_str()),
        None => keys.len() > 1,
    }
}

/// The value of a key that is at its default, written as in a file.
fn effective(config: &Config, key: &str) -> Option<String> {
    let tree = toml::Value::try_from(config).ok()?;
    let value = key
        .split('.')
        .try_fold(&tree, |tree, name| tree.get(name))?;
    (!value.is_table()).then(|| value.to_string())
}

const HOSTNAMES: &str = "acme.hostnames";
const CERT: &str = "tls.cert";
const KEY: &str = "tls.key";
const DISABLE: &str = "tls.disable";

/// One way to a certificate, or to do without.
fn certificate(rules: &mut Rules<'_>) {
    let tls = &rules.config.tls;
    match (&tls.cert, &tls.key) {
        (Some(_), None) => rules.refuse(&[CERT, KEY], "needs tls.key, the private key, beside it"),
        (None, Some(_)) => rules.refuse(&[KEY, CERT], "needs tls.cert, the certificate, beside it"),
        _ => {}
    }
    let every = [HOSTNAMES, CERT, KEY, DISABLE];
    let from_file = tls.cert.is_some() || tls.key.is_some();
    let by_acme = !rules.config.acme.hostnames.is_empty();
    let doubtful = |key| [&[key], &every[..]].concat();
    match (by_acme, from_file, tls.disable) {
        (false, false, false) => rules.refuse(
            &doubtful("tls"),
            "no certificate: set one of acme.hostnames, tls.cert with tls.key, or tls.disable",
        ),
        (true, true, _) => {
            rules.refuse(
                &doubtful(HOSTNAMES),
                "excludes tls.cert: set only one of them",
            );
            rules.refuse(
                &doubtful(CERT),
                "excludes acme.hostnames: set only one of them",
            );
        }
        // Old command lines say both; the reference broker serves TLS then.
        (_, _, true) if by_acme || from_file => {
            rules.warn(
                &doubtful(DISABLE),
                "is ignored, as a certificate is asked for",
            );
        }
        _ => {}
    }
    let acme = &rules.config.acme;
    if by_acme && !acme.tls_alpn && acme.http_addr.is_empty() {
        rules.refuse(
            &["acme.http_addr", "acme.tls_alpn", HOSTNAMES],
            "is empty, and acme.tls_alpn is false: the host names could not be proven",
        );
    }
}

/// Countries are only counted by: no database keeps a broker from serving.
fn geoip(rules: &mut Rules<'_>, exists: fn(&Path) -> bool) {
    let settings = &rules.config.geoip;
    if settings.disable {
        return;
    }
    let files = [
        ("geoip.geoipdb", &settings.geoipdb),
        ("geoip.geoip6db", &settings.geoip6db),
    ];
    for (key, path) in files {
        if !exists(path) {
            rules.warn(
                &[key, "geoip.disable"],
                "no such file: its countries stay unknown; install tor-geoipdb, name a MaxMind \
                 database, or set geoip.disable",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, Finding, Found, Origins, Rules, geoip};

    fn without_files(config: &Config) -> Found {
        let mut rules = Rules {
            config,
            origins: &Origins::default(),
            wrong: &[],
            found: Found::default(),
        };
        geoip(&mut rules, |_| false);
        rules.found
    }

    fn keys(findings: &[Finding]) -> Vec<&str> {
        let keys = findings.iter().map(|finding| finding.key.as_deref());
        keys.map(Option::unwrap_or_default).collect()
    }

    #[test]
    fn missing_databases_are_warnings_unless_they_are_disabled() {
        let mut config = Config::default();
        for path in ["/usr/share/tor/geoip", "/elsewhere"] {
            config.geoip.geoipdb = path.into();
            let found = without_files(&config);
            assert_eq!(keys(&found.warnings), ["geoip.geoipdb", "geoip.geoip6db"]);
            assert!(found.wrong.is_empty());
        }
        config.geoip.disable = true;
        let found = without_files(&config);
        assert!(found.wrong.is_empty() && found.warnings.is_empty());
    }
}
