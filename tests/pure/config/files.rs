//! The check of files and directories: errors and warnings of a start.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::program::{Broker, Ran};

const CHECK: &str = "check-config -disable-tls -disable-geoip";
const TOR: &str = "2B280B23E1107BB62ABFC40DDCC8824814F80A72";

fn bridge(url: &str, fingerprint: &str) -> String {
    format!("{{\"webSocketAddress\":\"{url}\",\"fingerprint\":\"{fingerprint}\"}}\n")
}

#[test]
fn bridges_outside_of_the_relay_pattern_are_named() {
    let broker = Broker::new(&format!("{CHECK} -bridge-list-path bridges"));
    let other = "0".repeat(40);
    broker.write(
        "bridges",
        &(bridge("wss://snowflake.torproject.net/", TOR) + &bridge("wss://a.example/", &other)),
    );
    broker.run().warned(
        "broker.allowed_relay_pattern: ^snowflake.torproject.net$ does not cover 1 \
         bridge: a.example; proxies may refuse",
    );
    Broker::new(&format!("{CHECK} -allowed-relay-pattern a.example$"))
        .run()
        .warned(
            "broker.allowed_relay_pattern: a.example$ does not cover 1 bridge: \
             snowflake.torproject.net",
        );
    let broker = Broker::new(&format!(
        "{CHECK} -bridge-list-path bridges -allowed-relay-pattern a.example$"
    ));
    broker.write("bridges", &bridge("wss://a.example/", TOR));
    let fine = broker.run();
    fine.ok();
    assert!(!fine.stderr.contains("broker."), "{}", fine.stderr);
}

#[test]
fn lines_of_bridges_that_count_for_nothing_are_named() {
    let broker = Broker::new(&format!(
        "{CHECK} -bridge-list-path bridges -allowed-relay-pattern example$"
    ));
    let twice = bridge("wss://a.example/", TOR) + "\n" + &bridge("wss://b.example/", TOR);
    broker.write("bridges", &twice);
    broker.run().warned(
        "broker.bridge_list_path: bridges: the same fingerprint on several lines, of \
         which the last counts: line 3 overrides line 1",
    );
}

#[test]
fn relay_patterns_that_are_none_are_refused() {
    for (pattern, problem) in [
        ("*.example.org", "must not have a wildcard"),
        ("wss://relay.example.org/", "must be a host name, not a URL"),
        ("relay/", "must be a suffix of host names"),
    ] {
        for key in ["allowed", "default"] {
            Broker::new(&format!("{CHECK} -{key}-relay-pattern {pattern}"))
                .run()
                .refused(&[(&format!("broker.{key}_relay_pattern: "), problem)]);
        }
    }
}

/// Like the reference broker, which starts anyway.
#[test]
fn what_is_wrong_with_a_poll_interval_file_is_a_warning() {
    let check = |file: Option<&str>| {
        let broker = Broker::new(&format!("{CHECK} -poll-interval-filepath file"));
        if let Some(text) = file {
            broker.write("file", text);
        }
        broker.run()
    };
    for (text, problem) in [
        (None, "no such file"),
        (Some("rubbish"), "not a JSON object"),
        (Some("{\"next\": 1}"), "unknown key \"next\""),
        (
            Some("{\"open_poll_interval\": \"1s\"}"),
            "open_poll_interval is not a 64-bit integer",
        ),
        (
            Some("{\"strict_poll_interval\": -1}"),
            "strict_poll_interval must not be negative",
        ),
    ] {
        check(text).warned(&format!("poll_interval.filepath: file: {problem}"));
    }
    let several = check(Some("{\"next\": 1, \"strict\": 2}"));
    for key in ["next", "strict"] {
        several.warned(&format!(
            "poll_interval.filepath: file: unknown key {key:?}"
        ));
    }
}

/// These files are only for observation, so the broker starts anyway.
#[test]
fn files_of_counts_that_cannot_be_used_are_warnings() {
    let with = |key: &str, value: &str| {
        let name = format!("SNOWFLAKE_BROKER_METRICS__{key}");
        Broker::new(CHECK).env(&name, value)
    };
    let nowhere = "/nowhere/at/all";
    for (key, warning) in [
        ("METRICS_LOG", "metrics_log: cannot write "),
        ("IMPACT_LOG", "impact_log: cannot write "),
        ("STATE_DIRECTORY", "state_directory: cannot use "),
        ("IP_COUNT_PREFIX", "ip_count_prefix: "),
    ] {
        with(key, nowhere)
            .run()
            .warned(&format!("metrics.{warning}{nowhere}"));
        let fine = with(key, "new").run();
        fine.ok();
        assert!(!fine.stderr.contains("metrics."), "{}", fine.stderr);
    }
    let broker = with("METRICS_LOG", "file");
    broker.write("file", "no metrics\n");
    broker
        .run()
        .warned("metrics.metrics_log: file: is not a metrics log");
    let broker = with("METRICS_LOG", "directory");
    fs::create_dir(broker.path("directory")).expect("a directory");
    broker
        .run()
        .warned("metrics.metrics_log: cannot write directory");
    let broker = with("STATE_DIRECTORY", "file");
    broker.write("file", "");
    broker
        .run()
        .warned("metrics.state_directory: cannot use file");
}

#[test]
fn paths_where_no_socket_can_be_are_refused() {
    let check = |path: &str| {
        let listen = "SNOWFLAKE_BROKER_ADMIN__LISTEN";
        Broker::new(CHECK).env(listen, path).run()
    };
    let long = format!("/{}", "x".repeat(103));
    for (path, problem) in [
        ("/nowhere/admin.sock", "cannot create files in /nowhere"),
        ("/dev/null/admin.sock", "cannot create files in /dev/null"),
        ("/dev/null", "the file exists and is not a socket"),
        (&long, "the path is longer than 103 bytes"),
    ] {
        let beginning = format!("admin.listen: cannot listen on {path}: ");
        check(path).refused(&[(&beginning, problem)]);
    }
    check("/tmp/admin.sock").ok();
}

#[test]
fn a_cache_of_certificates_that_cannot_be_used_is_refused() {
    let check = |cache: &str| {
        let line = "check-config -disable-geoip -acme-hostnames a.example -acme-cert-cache";
        // The machine may have no authorities.
        Broker::with_pair(&format!("{line} {cache}")).env("SNOWFLAKE_BROKER_ACME__CA_FILE", "c.pem")
    };
    for path in ["file", "file/below", "/dev/null"] {
        let broker = check(path);
        broker.write("file", "");
        broker
            .run()
            .refused(&[(&format!("acme.cert_cache: {path}: "), "ot a directory")]);
    }
    let broker = check("new/below");
    let folder = broker.path("new");
    broker.run().ok();
    assert!(!folder.exists());
}

#[test]
fn a_cache_of_certificates_that_others_may_enter_is_a_warning() {
    let check = |mode| {
        let line = "check-config -disable-geoip -acme-hostnames a.example -acme-cert-cache cache";
        let broker = Broker::with_pair(line).env("SNOWFLAKE_BROKER_ACME__CA_FILE", "c.pem");
        let folder = broker.path("cache");
        fs::create_dir(&folder).expect("a folder of ours");
        fs::set_permissions(&folder, Permissions::from_mode(mode)).expect("ours");
        broker.run()
    };
    check(0o755).warned("acme.cert_cache: cache: others may enter it");
    let closed = check(0o700);
    closed.ok();
    assert!(!closed.stderr.contains("cert_cache"), "{}", closed.stderr);
}

#[test]
fn secrets_that_others_can_read_are_warnings() {
    let check = |mode| {
        let broker =
            Broker::with_pair("check-config -disable-geoip -addr :0 -cert c.pem -key k.pem");
        let set = |name: &str, mode| {
            let path = broker.path(name);
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("our file");
        };
        set(".", 0o755);
        set("k.pem", mode);
        broker.run()
    };
    let warns = |ran: &Ran, beginning: &str| {
        ran.ok();
        let beginning = format!("warning: {beginning}");
        assert_eq!(
            ran.stderr.lines().any(|line| line.starts_with(&beginning)),
            others_get_to_temporary_files(),
            "{beginning}:\n{}",
            ran.stderr
        );
    };
    let key = "tls.key: k.pem: other users of this machine can read it";
    warns(&check(0o604), key);
    let private = check(0o640);
    private.ok();
    assert!(!private.stderr.contains("tls.key"), "{}", private.stderr);

    let broker = Broker::with_pair("check-config -disable-geoip -cert both.pem -key k.pem");
    let both = ["c.pem", "k.pem"].map(|name| fs::read_to_string(broker.path(name)).expect("ours"));
    broker.write("both.pem", &both.concat());
    for (name, mode) in [(".", 0o755), ("both.pem", 0o644), ("k.pem", 0o600)] {
        fs::set_permissions(broker.path(name), Permissions::from_mode(mode)).expect("ours");
    }
    warns(
        &broker.run(),
        "tls.cert: both.pem: other users of this machine can read it",
    );

    let file = "[otel]\nheaders = \"authorization=x\"\n[[admin.tokens]]\nname = \"alice\"\n\
                role = \"viewer\"\nfile = \"token\"\n[[pools.list]]\nname = \"family\"\n\
                token_file = \"pool\"\n";
    let broker = Broker::with_file(CHECK, file);
    broker.write("token", "a token that nobody guesses");
    broker.write("pool", "atokenthatnobodyguesses");
    fs::set_permissions(broker.path("pool"), Permissions::from_mode(0o644)).expect("our file");
    fs::set_permissions(broker.path("."), Permissions::from_mode(0o755)).expect("our folder");
    fs::set_permissions(broker.path("token"), Permissions::from_mode(0o644)).expect("our file");
    let config = broker.path("config.toml");
    fs::set_permissions(config, Permissions::from_mode(0o644)).expect("our file");
    let said = broker.run();
    let token = "admin.tokens: the token of \"alice\": token: other users of this machine";
    warns(&said, token);
    let pool = "pools: the token_file of \"family\": pool: other users of this machine";
    warns(&said, pool);
    warns(
        &said,
        "otel.headers: config.toml: other users of this machine",
    );
}

/// Returns true if other users can reach temporary files: not in Nix's sandbox, nor in a
/// folder in someone's home.
fn others_get_to_temporary_files() -> bool {
    let folder = fs::canonicalize(std::env::temp_dir()).expect("a folder");
    let mode = |path: &Path| fs::metadata(path).expect("a folder").permissions().mode();
    folder.ancestors().all(|path| mode(path) & 0o001 != 0)
}

#[test]
fn an_entry_of_a_table_is_named_with_the_line_of_the_table() {
    let file = "\n[poll_interval.types]\nbloco = \"2m\"\n\"a*b\" = \"5m\"\nwebext = \"1ms\"\n";
    Broker::with_file(CHECK, file).run().refused(&[
        (
            "poll_interval.types.a*b: must have * at its end only",
            "line 2)",
        ),
        (
            "poll_interval.types.webext: must be between",
            "\"1ms\", config.toml line 2)",
        ),
    ]);
    let file = "[poll_interval]\ntypes = { \"orbot-*\" = \"soon\" }\n";
    Broker::with_file(CHECK, file).run().refused(&[(
        "poll_interval.types: \"orbot-*\" must be a span of time",
        "config.toml line 2)",
    )]);
}

#[test]
fn a_table_in_a_variable_is_written_as_in_a_file() {
    let name = "SNOWFLAKE_BROKER_POLL_INTERVAL__TYPES";
    for text in [r#"{ "orbot-*" = "5m" }"#, r#"{"orbot-*": "5m"}"#] {
        let config = Broker::new("-disable-tls").env(name, text).printed();
        let types = &config["poll_interval"]["types"];
        assert_eq!(types["orbot-*"].as_str(), Some("5m"), "{text}");
    }
}

#[test]
fn a_file_of_networks_is_read_to_its_end() {
    let rules = "[[policy.rules]]\nname = \"a\"\naction = \"last\"\n\
                 proxy = { networks = \"networks\" }\n";
    let with = |networks: Option<&str>| {
        let broker = Broker::with_file(CHECK, rules);
        if let Some(networks) = networks {
            broker.write("networks", networks);
        }
        broker.run()
    };
    let missing = "policy.rules.a.networks: networks: no such file";
    with(None).refused(&[(missing, "")]);
    let bad = "policy.rules.a.networks: networks: line 2: must be a network such as 192.0.2.0/24";
    with(Some("192.0.2.0/24\n192.0.2.0/33\n")).refused(&[(bad, "")]);
    with(Some("192.0.2.0/24\n")).ok();
}

#[test]
fn a_mistake_in_a_rule_is_named_with_the_line_of_the_rule() {
    let rules = "\n[[policy.rules]]\nname = \"a\"\naction = \"last\"\n\
                 proxy = { types = [\"webext\"] }\n[[policy.rules]]\nname = \"b\"\n\
                 action = \"last\"\nproxy = { typs = [\"webext\"] }\n";
    Broker::with_file(CHECK, rules).run().refused(&[(
        "policy.rules.b: unknown key typs, did you mean types?",
        "(config.toml line 6)",
    )]);
}
