//! The checks of all sections, and rules that concern several of them.

pub(super) mod listeners;

use std::path::Path;

use super::finding::{Finding, Origins, PEM};
use super::schema::Config;
use crate::host_port::is_loopback;
use crate::listener::accounts::SHARES;
use crate::report::{SettingIssue, SettingsReport};

/// Checks all rules, and adds invalid and doubtful keys to the findings. Skips rules that
/// depend on a key already known to be invalid: the result would follow from a default
/// that nobody asked for.
pub(super) fn check(
    config: &Config,
    origins: &Origins,
    exists: fn(&Path) -> bool,
    wrong: &mut Vec<Finding>,
    warnings: &mut Vec<Finding>,
) {
    let mut report = SettingsReport::default();
    certificate(config, &mut report);
    geoip(config, exists, &mut report);
    sections(config, &mut report);
    rules_without_databases(config, &mut report);
    memory(config, &mut report);
    contents(origins, &mut report);
    listeners::check(config, &mut report);
    forwarding(config, &mut report);
    named_pools(config, &mut report);
    let found = |issues: Vec<SettingIssue>| {
        let issues = issues.into_iter();
        let sound = issues.filter(|issue| !wrong.iter().any(|known| is_about(known, issue)));
        let found = sound.map(|issue| finding(config, origins, issue));
        found.collect::<Vec<_>>()
    };
    let errors = found(report.errors);
    warnings.extend(found(report.warnings));
    wrong.extend(errors);
}

/// Runs the check of each component.
fn sections(config: &Config, report: &mut SettingsReport) {
    report.section("listener", |report| config.listener.check(report));
    report.section("tls", |report| config.tls.check(report));
    report.section("acme", |report| config.acme.check(report));
    report.section("http", |report| config.http.check(report));
    report.section("broker", |report| config.broker.check(report));
    report.section("bridges", |report| config.bridges.check(report));
    report.section("pools", |report| config.pools.check(report));
    report.section("poll_interval", |report| config.poll_interval.check(report));
    report.section("limits", |report| config.limits.check(report));
    report.section("matching", |report| config.matching.check(report));
    report.section("supply", |report| config.supply.check(report));
    report.section("outcomes", |report| config.outcomes.check(report));
    report.section("policy", |report| config.policy.check(report));
    report.section("metrics", |report| config.metrics.check(report));
    report.section("telemetry", |report| config.telemetry.check(report));
    report.section("otel", |report| config.otel.check(report));
    report.section("operator", |report| config.operator.check(report));
    report.section("status", |report| config.status.check(report));
    report.section("probe", |report| config.probe.check(report));
    report.section("admin", |report| config.admin.check(report));
    report.section("cluster", |report| config.cluster.check(report));
    report.section("federation", |report| config.federation.check(report));
    report.section("sqs", |report| config.sqs.check(report));
}

/// Returns true if a finding makes an issue about these keys uncertain. An unreadable
/// file may have contained anything about several keys; an issue about a single key is
/// judged by the value at hand.
fn is_about(finding: &Finding, issue: &SettingIssue) -> bool {
    match &finding.key {
        Some(key) => issue.keys.contains(key),
        None => issue.keys.len() > 1,
    }
}

fn finding(config: &Config, origins: &Origins, issue: SettingIssue) -> Finding {
    let key = issue.keys.into_iter().next().unwrap_or_default();
    let written = origins.written(&key).map(ToOwned::to_owned);
    Finding {
        value: written.or_else(|| effective(config, &key)).or(issue.got),
        source: origins.of(&key).clone(),
        problem: issue.problem,
        key: Some(key),
    }
}

/// The default value of a key, as written in a file.
fn effective(config: &Config, key: &str) -> Option<String> {
    let tree = toml::Value::try_from(config).ok()?;
    let value = key
        .split('.')
        .try_fold(&tree, |tree, name| tree.get(name))?;
    (!value.is_table()).then(|| value.to_string())
}

const HOSTNAMES: &str = "acme.hostnames";
const CERT: &str = "tls.cert";
const DISABLE: &str = "tls.disable";

/// Requires exactly one source of the certificate, or none by choice.
fn certificate(config: &Config, report: &mut SettingsReport) {
    let tls = &config.tls;
    let every = [HOSTNAMES, CERT, "tls.key", DISABLE];
    let from_file = tls.cert.is_some() || tls.key.is_some();
    let by_acme = !config.acme.hostnames.is_empty();
    let following = |key| [&[key], &every[..]].concat();
    match (by_acme, from_file, tls.disable) {
        (false, false, false) => report.refuse(
            &following("tls"),
            "must have a certificate: set acme.hostnames, tls.cert with tls.key, or tls.disable",
        ),
        (true, true, _) => {
            report.refuse(
                &following(HOSTNAMES),
                "must not be set together with tls.cert",
            );
            report.refuse(
                &following(CERT),
                "must not be set together with acme.hostnames",
            );
        }
        // Old command lines may have both; the reference broker then serves TLS.
        (_, _, true) if by_acme || from_file => report.warn(
            &following(DISABLE),
            "is ignored, because a certificate is set",
        ),
        _ => {}
    }
}

/// Refuses names of private pools that the configuration does not have. Those of the
/// administration may come and go, so nothing else in the configuration is theirs.
fn named_pools(config: &Config, report: &mut SettingsReport) {
    let pools = &config.pools.list;
    let is_unknown = |name: &&String| pools.iter().all(|pool| pool.name != **name);
    let mut refuse = |key, name: &str, owner: &str| {
        let problem = format!("has the pool {name:?} for {owner}, but pools.list has no such pool");
        report.refuse(&[key, "pools.list"], problem);
    };
    for queue in &config.sqs.queues {
        if let Some(name) = queue.pool.as_ref().filter(is_unknown) {
            refuse("sqs.queues", name, &queue.to_string());
        }
    }
    for peer in &config.federation.peers {
        if let Some(name) = peer.private_pools.iter().find(is_unknown) {
            refuse("federation.peers", name, &peer.name);
        }
    }
}

/// Warns about missing databases. Countries are only for statistics, so they never
/// prevent the broker from running.
fn geoip(config: &Config, exists: fn(&Path) -> bool, report: &mut SettingsReport) {
    let settings = &config.geoip;
    let files = [
        ("geoip.geoipdb", &settings.geoipdb),
        ("geoip.geoip6db", &settings.geoip6db),
    ];
    for (key, path) in files {
        if !settings.disable && !exists(path) {
            report.warn(
                &[key, "geoip.disable"],
                "no such file, so countries stay unknown: install tor-geoipdb, name a MaxMind \
                 database, or set geoip.disable",
            );
        }
    }
    let asndb = settings.asndb.as_deref().filter(|_| !settings.disable);
    if asndb.is_some_and(|path| !exists(path)) {
        report.warn(
            &["geoip.asndb", "geoip.disable"],
            "no such file, so autonomous systems stay unknown",
        );
    }
}

/// Refuses rules that could never apply, because what they ask for is not looked up.
fn rules_without_databases(config: &Config, report: &mut SettingsReport) {
    let (policy, geoip) = (&config.policy, &config.geoip);
    if policy.asks_for_countries() && geoip.disable {
        report.refuse(
            &["policy.rules", "geoip.disable"],
            "must not ask for countries while geoip.disable is set",
        );
    }
    if policy.asks_for_asns() && (geoip.disable || geoip.asndb.is_none()) {
        report.refuse(
            &["policy.rules", "geoip.asndb", "geoip.disable"],
            "needs geoip.asndb, the database of autonomous systems, for asns",
        );
    }
}

/// Checks that one address can use its whole share of the requests' bytes.
fn memory(config: &Config, report: &mut SettingsReport) {
    let [share, ..] = SHARES;
    let is_under = |mark| mark < config.http.max_bytes_in_flight / share;
    if config.listener.memory_high_water.is_some_and(is_under) {
        report.refuse(
            &["listener.memory_high_water", "http.max_bytes_in_flight"],
            format!("must be at least a {share}th of http.max_bytes_in_flight"),
        );
    }
}

/// Refuses file contents in place of paths, which may be secret.
fn contents(origins: &Origins, report: &mut SettingsReport) {
    for key in origins.written_with(PEM) {
        let problem = "must be the path of a file, not its content";
        report.refuse(&[key], problem);
    }
}

/// Reports missing trusted proxies, without which any peer may claim another address.
fn forwarding(config: &Config, report: &mut SettingsReport) {
    let (listener, http) = (&config.listener, &config.http);
    if !http.trusted_proxies.is_empty() {
        return;
    }
    if listener.proxy_protocol {
        report.refuse(
            &["listener.proxy_protocol", "http.trusted_proxies"],
            "needs http.trusted_proxies, the networks of the load balancers: nobody else \
             may connect",
        );
    } else if http.reads_headers() && !is_loopback(&listener.addr) {
        report.warn(
            &[
                "http.trusted_proxies",
                "http.trusted_hops",
                "http.forwarded_by",
                "listener.addr",
            ],
            "should name the networks of your CDN or load balancer, or anybody may claim \
             another address; if there is none, set http.forwarded_by to none",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without_files(config: &Config) -> SettingsReport {
        let mut report = SettingsReport::default();
        geoip(config, |_| false, &mut report);
        report
    }

    #[test]
    fn missing_databases_are_warnings_unless_they_are_disabled() {
        let mut config = Config::default();
        for path in ["/usr/share/tor/geoip", "/elsewhere"] {
            config.geoip.geoipdb = path.into();
            let found = without_files(&config);
            let keys = found.warnings.iter().map(|issue| &*issue.keys[0]);
            assert_eq!(
                keys.collect::<Vec<_>>(),
                ["geoip.geoipdb", "geoip.geoip6db"]
            );
            assert!(found.errors.is_empty());
        }
        config.geoip.disable = true;
        assert_eq!(without_files(&config), SettingsReport::default());
    }
}
