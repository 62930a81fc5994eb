mod admin;
mod federation;
mod listener;
mod operator;
mod policy;
mod private_pools;
mod texts;

use std::collections::BTreeSet;

use super::schema::{keys_of, sections};
use crate::telemetry::otel::{Exporter, Protocol, SamplerKind};

use super::{Config, EXAMPLE, Flag, Inputs, Loaded, SettingSource, load};

fn flag(name: &str, key: &str, text: &str) -> Flag {
    Flag {
        name: name.to_owned(),
        key: key.to_owned(),
        text: text.to_owned(),
    }
}

fn inputs(variables: &[(&str, &str)], flags: Vec<Flag>) -> Inputs {
    let own = |(name, value): &(&str, &str)| ((*name).into(), (*value).into());
    Inputs {
        files: Vec::new(),
        default_file: "/nonexistent/config.toml".into(),
        environment: variables.iter().map(own).collect(),
        flags,
        // The geoip files need not exist on this machine.
        named_files_are_elsewhere: true,
    }
}

fn in_the_clear(variables: &[(&str, &str)], flags: Vec<Flag>) -> Inputs {
    let mut all = vec![("SNOWFLAKE_BROKER_TLS__DISABLE", "true")];
    all.extend(variables);
    inputs(&all, flags)
}

fn refused(inputs: &Inputs) -> String {
    load(inputs).expect_err("wrong keys").to_string()
}

#[test]
fn the_example_is_the_defaults() {
    let config: Config = toml::from_str(EXAMPLE).unwrap();
    assert_eq!(config, Config::default());
}

#[test]
fn the_example_shows_every_key_and_no_other() {
    let shown = with_commented_keys(EXAMPLE);
    // A successful parse shows that commented keys have the right name and type, too.
    let _: Config = toml::from_str(&shown).unwrap();
    let table: toml::Table = shown.parse().unwrap();
    let mut keys = BTreeSet::new();
    for (section, content) in &table {
        collect(section, content, &mut keys);
    }
    let mut known = BTreeSet::new();
    for section in sections() {
        collect_known(section, &mut known);
    }
    assert!(known.len() > 40, "serde still tells the names: {known:?}");
    assert_eq!(keys, known);
}

fn collect(path: &str, content: &toml::Value, keys: &mut BTreeSet<String>) {
    // An empty table is the value of a key.
    let table = content.as_table().filter(|table| !table.is_empty());
    let Some(table) = table else {
        keys.insert(path.to_owned());
        return;
    };
    for (name, content) in table {
        collect(&format!("{path}.{name}"), content, keys);
    }
}

fn collect_known(path: &str, known: &mut BTreeSet<String>) {
    let Some(names) = keys_of(path) else {
        known.insert(path.to_owned());
        return;
    };
    for name in names {
        collect_known(&format!("{path}.{name}"), known);
    }
}

fn with_commented_keys(example: &str) -> String {
    let lines = example.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if is_assignment(rest) => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn is_assignment(line: &str) -> bool {
    let is_key = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    line.split_once(" = ").is_some_and(|(name, _)| is_key(name))
}

#[test]
fn every_key_of_the_example_is_explained() {
    let mut before = "";
    for line in EXAMPLE.lines() {
        let key = line.strip_prefix("# ").unwrap_or(line);
        if is_assignment(key) || line.starts_with('[') {
            let explained = before.starts_with("# ") && !is_assignment(&before[2..]);
            assert!(explained, "no comment above {line}");
        }
        before = line;
    }
}

#[test]
fn what_is_printed_reads_back() {
    let config = load(&in_the_clear(
        &[
            ("SNOWFLAKE_BROKER_METRICS__METRICS_LOG", "/tmp/a \"b\".log"),
            ("SNOWFLAKE_BROKER_MATCHING__CLIENT_TIMEOUT", "1.25"),
            ("SNOWFLAKE_BROKER_SQS__PROFILES", "one, two"),
        ],
        vec![],
    ))
    .unwrap()
    .config;
    let read: Config = toml::from_str(&config.to_toml().unwrap()).unwrap();
    assert_eq!(read, config);
}

#[test]
fn the_variables_of_opentelemetry_are_a_layer_below_ours() {
    let Loaded {
        config, origins, ..
    } = load(&in_the_clear(
        &[
            ("OTEL_SDK_DISABLED", "True"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "GRPC"),
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", ""),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "1"),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=1,b=2"),
            ("OTEL_SERVICE_NAME", "theirs"),
            ("SNOWFLAKE_BROKER_OTEL__SERVICE_NAME", "ours"),
        ],
        vec![],
    ))
    .unwrap();
    let otel = config.otel;
    assert!(otel.disable);
    assert_eq!(otel.endpoint.as_deref(), Some("http://localhost:4317"));
    assert_eq!(otel.protocol, Protocol::Grpc);
    assert_eq!(otel.metrics_protocol, None);
    assert_eq!(otel.timeout.as_millis(), 2500);
    assert_eq!(otel.sampler, SamplerKind::TraceIdRatio);
    assert!((otel.trace_ratio - 1.0).abs() < f64::EPSILON);
    assert_eq!(otel.metrics_exporter, Exporter::None);
    assert_eq!(otel.resource_attributes.as_deref(), Some("a=1,b=2"));
    assert_eq!(otel.service_name.as_deref(), Some("ours"));
    let protocol = SettingSource::Variable("OTEL_EXPORTER_OTLP_PROTOCOL".to_owned());
    assert_eq!(origins.of("otel.protocol"), &protocol);
}

#[test]
fn a_wrong_variable_of_opentelemetry_is_named_and_an_unknown_one_is_a_warning() {
    let message = refused(&in_the_clear(&[("OTEL_TRACES_SAMPLER", "xray")], vec![]));
    assert!(message.starts_with("otel.sampler: must be "), "{message}");
    let origin = "(got \"xray\", variable OTEL_TRACES_SAMPLER)";
    assert!(message.ends_with(origin), "{message}");
    let unknown = [
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "1"),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://a"),
        ("OTEL_LOG_LEVEL", "debug"),
    ];
    let loaded = load(&in_the_clear(&unknown, vec![])).unwrap();
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    let about = warnings.iter().filter(|line| line.contains("OTEL_"));
    assert_eq!(
        about.collect::<Vec<_>>(),
        ["variable OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: is ignored: there is no such setting"]
    );
}

#[test]
fn headers_for_a_collector_are_not_shown() {
    let name = "SNOWFLAKE_BROKER_OTEL__HEADERS";
    assert_eq!(
        refused(&in_the_clear(&[(name, "authorization=x,secret")], vec![])),
        format!("otel.headers: must be name=value,name=value, percent-encoded (variable {name})")
    );
}

#[test]
fn the_origin_is_the_highest_layer() {
    let variable = ("SNOWFLAKE_BROKER_LISTENER__ADDR", ":1");
    let flag = flag("addr", "listener.addr", ":2");
    let loaded = load(&in_the_clear(&[variable], vec![flag])).unwrap();
    let origins = loaded.origins;
    assert_eq!(
        origins.of("listener.addr"),
        &SettingSource::Flag("addr".to_owned())
    );
    let disable = SettingSource::Variable("SNOWFLAKE_BROKER_TLS__DISABLE".to_owned());
    assert_eq!(origins.of("tls.disable"), &disable);
    assert_eq!(origins.of("tls.cert"), &SettingSource::Default);
}

#[test]
fn addresses() {
    for addr in [
        ":443",
        ":0",
        "127.0.0.1:8080",
        "localhost:80",
        "[::1]:443",
        "broker.example.org:443",
    ] {
        assert!(
            load(&in_the_clear(
                &[("SNOWFLAKE_BROKER_LISTENER__ADDR", addr)],
                vec![]
            ))
            .is_ok()
        );
    }
    for addr in [
        "443",
        "::1:443",
        "[::1]",
        "[::1]:",
        ":",
        ":65536",
        ":+80",
        "host",
        "a b:1",
        "[x]:1",
        "host:https",
        "..:1",
    ] {
        let message = refused(&in_the_clear(
            &[("SNOWFLAKE_BROKER_LISTENER__ADDR", addr)],
            vec![],
        ));
        assert!(message.starts_with("listener.addr: must be "), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn bounds() {
    for (variable, value) in [
        ("MATCHING__MAX_ATTEMPTS", "0"),
        ("MATCHING__CLIENT_TIMEOUT", "0"),
        ("MATCHING__CLIENT_TIMEOUT", "500ms"),
        ("MATCHING__PROXY_TIMEOUT", "900years"),
        ("MATCHING__MAX_PARKED_POLLS", "18446744073709551615"),
        ("POLL_INTERVAL__REFUSED", "0s"),
        ("POLL_INTERVAL__MODE", "Adaptive"),
        ("POLL_INTERVAL__FLOOR", "0s"),
        ("POLL_INTERVAL__CEILING", "9s"),
        ("POLL_INTERVAL__CEILING", "61m"),
        ("POLL_INTERVAL__TARGET_IDLE_SHARE", "-0.1"),
        ("POLL_INTERVAL__TARGET_IDLE_SHARE", "nan"),
        ("POLL_INTERVAL__JITTER", "0.6"),
        ("HTTP__TRUSTED_HOPS", "1000"),
        ("HTTP__TRUSTED_HOPS", "-1"),
        ("HTTP__MAX_BYTES_IN_FLIGHT", "99999"),
        ("LISTENER__HTTP2_MAX_STREAMS", "0"),
        ("LISTENER__HTTP2_MAX_RESETS", "0"),
        ("LISTENER__MAX_CONNECTIONS", "-1"),
        ("LIMITS__PROXY_POLLS_PER_MINUTE", "1000001"),
        ("LIMITS__CLIENT_POLL_BURST", "0"),
        ("LIMITS__INTERMEDIARY_FACTOR", "0"),
        ("LIMITS__UNCONFIRMED_FACTOR", "1"),
        ("LIMITS__INTERMEDIARIES", "gogle"),
        ("HTTP__FORWARDED_BY", "a header"),
        ("LIMITS__MAX_ADDRESSES", "0"),
        ("LIMITS__EXEMPT", "192.0.2.0/33"),
        ("METRICS__IP_COUNT_INTERVAL", "0"),
        ("OTEL__ENDPOINT", "localhost:4317"),
        ("OTEL__RESOURCE_ATTRIBUTES", "a=%ff"),
        ("OTEL__TRACE_RATIO", "1.5"),
        ("OTEL__TIMEOUT", "0"),
        ("TELEMETRY__LOG_LEVEL", "info,=,x=y=z"),
        ("TELEMETRY__LOG_LEVEL", ""),
        ("TELEMETRY__LOG_LEVEL", "inof"),
        ("ACME__CERT_CACHE", ""),
        ("BROKER__ALLOWED_RELAY_PATTERN", "*.example.org"),
        ("BROKER__ALLOWED_RELAY_PATTERN", "wss://a.example/"),
        ("BROKER__ALLOWED_RELAY_PATTERN", "ex..ample$"),
        ("BROKER__DEFAULT_RELAY_PATTERN", "a b"),
        ("BROKER__DEFAULT_RELAY_PATTERN", "$"),
    ] {
        let name = format!("SNOWFLAKE_BROKER_{variable}");
        let key = variable.to_ascii_lowercase().replace("__", ".");
        let message = refused(&in_the_clear(&[(&name, value)], vec![]));
        assert!(message.starts_with(&format!("{key}: ")), "{message}");
        assert!(message.contains(" (got "), "{message}");
        assert!(
            message.ends_with(&format!(", variable {name})")),
            "{message}"
        );
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn whoever_may_claim_another_address_is_a_warning() {
    let warnings = |variables: &[(&str, &str)]| {
        let loaded = load(&in_the_clear(variables, vec![])).unwrap();
        let warnings = loaded.warnings.iter().map(ToString::to_string);
        let about = warnings.filter(|line| line.starts_with("http.trusted_proxies: "));
        about.count()
    };
    assert_eq!(warnings(&[]), 1);
    for (key, value) in [
        ("HTTP__FORWARDED_BY", "none"),
        ("HTTP__TRUSTED_HOPS", "0"),
        ("HTTP__TRUSTED_PROXIES", "192.0.2.0/24"),
        ("LISTENER__ADDR", "127.0.0.1:80"),
    ] {
        let name = format!("SNOWFLAKE_BROKER_{key}");
        assert_eq!(warnings(&[(&name, value)]), 0, "{key}");
    }
}

#[test]
fn doubtful_values_are_warnings() {
    for (key, value, count) in [
        ("REMATCH_AFTER", "5s", 1),
        ("REMATCH_AFTER", "4s", 0),
        ("CLIENT_TIMEOUT", "31s", 1),
        ("CLIENT_TIMEOUT", "30s", 0),
    ] {
        let name = format!("SNOWFLAKE_BROKER_MATCHING__{key}");
        let loaded = load(&in_the_clear(&[(&name, value)], vec![])).unwrap();
        let named = |line: &String| line.contains(&name);
        let warnings = loaded.warnings.iter().map(ToString::to_string);
        assert_eq!(warnings.filter(named).count(), count, "{key} = {value}");
    }
}

#[test]
fn rules_do_not_follow_from_wrong_keys() {
    // The default of tls.disable would result in a missing certificate.
    let message = refused(&inputs(
        &[("SNOWFLAKE_BROKER_TLS__DISABLE", "perhaps")],
        vec![],
    ));
    assert_eq!(
        message,
        "tls.disable: must be true or false (got \"perhaps\", variable SNOWFLAKE_BROKER_TLS__DISABLE)"
    );
}

#[test]
fn a_finding_is_one_line() {
    let variable = ("SNOWFLAKE_BROKER_LISTENER__ADDR", "a\nb\u{1b}[31m");
    let message = refused(&in_the_clear(&[variable], vec![]));
    assert_eq!(message.lines().count(), 1);
    assert!(!message.contains('\u{1b}'));
}
