//! The flags of the reference broker.

use super::program::Broker;

#[test]
fn every_flag_of_the_reference_broker_in_every_form() {
    // The flag, its given value, the key that it sets, the printed value.
    let flags = [
        ("acme-cert-cache", "certs", "acme.cert_cache", r#""certs""#),
        ("acme-email", "a@b.org", "acme.email", r#""a@b.org""#),
        (
            "acme-hostnames",
            "a.org,b.org",
            "acme.hostnames",
            r#"["a.org", "b.org"]"#,
        ),
        (
            "addr",
            "127.0.0.1:8080",
            "listener.addr",
            r#""127.0.0.1:8080""#,
        ),
        (
            "allowed-relay-pattern",
            "^a.org$",
            "broker.allowed_relay_pattern",
            r#""^a.org$""#,
        ),
        (
            "bridge-list-path",
            "b.json",
            "broker.bridge_list_path",
            r#""b.json""#,
        ),
        ("broker-sqs-name", "queue", "sqs.queue_name", r#""queue""#),
        (
            "broker-sqs-region",
            "us-east-1",
            "sqs.region",
            r#""us-east-1""#,
        ),
        ("cert", "cert.pem", "tls.cert", r#""cert.pem""#),
        (
            "default-relay-pattern",
            "b.org$",
            "broker.default_relay_pattern",
            r#""b.org$""#,
        ),
        ("disable-geoip", "true", "geoip.disable", "true"),
        ("disable-tls", "true", "tls.disable", "true"),
        ("geoip6db", "/dev/null", "geoip.geoip6db", r#""/dev/null""#),
        ("geoipdb", "/dev/null", "geoip.geoipdb", r#""/dev/null""#),
        (
            "ip-count-interval",
            "24h0m0s",
            "metrics.ip_count_interval",
            r#""1day""#,
        ),
        (
            "ip-count-prefix",
            "count",
            "metrics.ip_count_prefix",
            r#""count""#,
        ),
        ("key", "key.pem", "tls.key", r#""key.pem""#),
        (
            "metrics-log",
            "metrics.log",
            "metrics.metrics_log",
            r#""metrics.log""#,
        ),
        (
            "poll-interval-filepath",
            "p.json",
            "poll_interval.filepath",
            r#""p.json""#,
        ),
        (
            "sqs-profiles",
            "one, two",
            "sqs.profiles",
            r#"["one", "two"]"#,
        ),
        ("trusted-hops", "2", "http.trusted_hops", "2"),
        ("unsafe-logging", "true", "telemetry.unsafe_logging", "true"),
    ];
    for (flag, given, key, expected) in flags {
        for dashes in ["-", "--"] {
            for arguments in forms(dashes, flag, given) {
                let broker = Broker::new(certificate_beside(flag));
                let broker = arguments.iter().fold(broker, |broker, it| broker.arg(it));
                let printed = value(&broker.printed(), key).map(ToString::to_string);
                assert_eq!(printed.as_deref(), Some(expected), "{arguments:?}");
            }
        }
    }
}

/// `-flag=value`, and `-flag value` or, for a switch, `-flag`.
fn forms(dashes: &str, flag: &str, given: &str) -> [Vec<String>; 2] {
    let name = format!("{dashes}{flag}");
    let joined = vec![format!("{name}={given}")];
    if given == "true" {
        [joined, vec![name]]
    } else {
        [joined, vec![name, given.to_owned()]]
    }
}

/// Other flags that a broker with this flag needs.
fn certificate_beside(flag: &str) -> &'static str {
    match flag {
        "acme-hostnames" | "disable-tls" => "",
        "cert" => "-key k.pem",
        "key" => "-cert c.pem",
        _ => "-disable-tls",
    }
}

#[test]
fn switches_take_the_words_of_go() {
    for word in ["1", "t", "T", "true", "TRUE", "True"] {
        let config = Broker::new(&format!("-disable-tls -unsafe-logging={word}")).printed();
        assert_eq!(config["telemetry"]["unsafe_logging"].as_bool(), Some(true));
    }
    for word in ["0", "f", "F", "false", "FALSE", "False"] {
        let config = Broker::new(&format!("-disable-tls -unsafe-logging={word}")).printed();
        assert_eq!(config["telemetry"]["unsafe_logging"].as_bool(), Some(false));
    }
    for word in ["yes", ""] {
        let ran = Broker::new(&format!("check-config -disable-tls={word}")).run();
        ran.refused(&[("tls.disable: ", "must be true or false")]);
    }
}

/// In the reference broker an empty pattern accepts every proxy.
#[test]
fn an_empty_default_relay_pattern_is_one() {
    let none = Broker::new("-disable-tls").printed();
    assert_eq!(value(&none, "broker.default_relay_pattern"), None);
    let flag = || Broker::new("-disable-tls -default-relay-pattern=");
    let variable = || {
        let name = "SNOWFLAKE_BROKER_BROKER__DEFAULT_RELAY_PATTERN";
        Broker::new("-disable-tls").env(name, "")
    };
    for broker in [flag(), variable()] {
        let config = broker.printed();
        let printed = value(&config, "broker.default_relay_pattern");
        assert_eq!(printed.and_then(toml::Value::as_str), Some(""));
    }
    let told = Broker::new("check-config -disable-tls -default-relay-pattern=").run();
    told.warned("broker.default_relay_pattern: accepts proxies that send no pattern");
}

#[test]
fn an_empty_optional_flag_is_not_set() {
    let config = Broker::new("-disable-tls -metrics-log= -cert= -acme-hostnames=")
        .arg("-sqs-profiles")
        .arg("")
        .printed();
    assert_eq!(value(&config, "metrics.metrics_log"), None);
    assert_eq!(value(&config, "tls.cert"), None);
    assert_eq!(config["acme"]["hostnames"].to_string(), "[]");
}

/// The value of a key such as `listener.addr`.
fn value<'a>(config: &'a toml::Table, key: &str) -> Option<&'a toml::Value> {
    let (section, name) = key.split_once('.').expect("a path of two");
    config[section].get(name)
}
