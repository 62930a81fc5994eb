//! The configuration and the command line of the real program.

mod certificates;
mod command_line;
mod files;
mod flags;
mod pem;
mod program;
mod queues;
mod secrets;

use program::Broker;

const ADDR: &str = "SNOWFLAKE_BROKER_LISTENER__ADDR";

#[test]
fn each_layer_overrides_those_below() {
    let file = "[tls]\ndisable = true\n[listener]\naddr = \":1\"\n";
    let addr = |config: &toml::Table| config["listener"]["addr"].as_str().map(ToOwned::to_owned);

    let default = Broker::new("-disable-tls").printed();
    assert_eq!(addr(&default).as_deref(), Some(":443"));
    let from_file = Broker::with_file("", file).printed();
    assert_eq!(addr(&from_file).as_deref(), Some(":1"));
    let from_variable = Broker::with_file("", file).env(ADDR, ":2").printed();
    assert_eq!(addr(&from_variable).as_deref(), Some(":2"));
    let from_flag = Broker::with_file("-addr :3", file)
        .env(ADDR, ":2")
        .printed();
    assert_eq!(addr(&from_flag).as_deref(), Some(":3"));
}

#[test]
fn of_several_files_each_overrides_those_before() {
    let broker = Broker::with_file("", "[tls]\ndisable = true\n[listener]\naddr = \":1\"\n");
    broker.write(
        "more.toml",
        "[listener]\naddr = \":2\"\n[http]\ntrusted_hops = 2\n",
    );
    let config = broker.arg("--config").arg("more.toml").printed();
    assert_eq!(config["tls"]["disable"].as_bool(), Some(true));
    assert_eq!(config["listener"]["addr"].as_str(), Some(":2"));
    assert_eq!(config["http"]["trusted_hops"].as_integer(), Some(2));
}

#[test]
fn every_file_is_named_with_what_is_wrong_in_it() {
    let broker = Broker::with_file("check-config -disable-tls", "[listener]\naddr = 80\n");
    broker.write("more.toml", "[listener]\nadr = \":80\"\n");
    let broker = broker.arg("--config").arg("more.toml");
    broker.arg("--config").arg("nowhere.toml").run().refused(&[
        ("listener.addr: ", "(got 80, config.toml line 2)"),
        ("listener.adr: unknown key", "(more.toml line 2)"),
        ("nowhere.toml: cannot be read: no such file", ""),
    ]);
}

#[test]
fn a_machine_without_the_files_can_check_the_keys() {
    let file = r#"
[tls]
cert = "/nowhere/c.pem"
key = "/nowhere/k.pem"
[broker]
bridge_list_path = "/nowhere/bridges"
[geoip]
geoipdb = "/nowhere/geoip"
[metrics]
state_directory = "/nowhere/state"
[[admin.tokens]]
name = "alice"
role = "viewer"
file = "/nowhere/token"
"#;
    assert_eq!(Broker::with_file("check-config", file).run().code, 2);
    let alone = Broker::with_file("check-config -no-files", file).run();
    alone.ok();
    assert!(!alone.stderr.contains("geoip.geoipdb"), "{}", alone.stderr);
    Broker::with_file("check-config -no-files -addr x", file)
        .run()
        .refused(&[("listener.addr: ", "(got \"x\", flag --addr)")]);
}

#[test]
fn a_variable_sets_any_key() {
    let config = Broker::new("-disable-tls")
        .env("SNOWFLAKE_BROKER_MATCHING__CLIENT_TIMEOUT", "4s")
        .env("SNOWFLAKE_BROKER_POLL_INTERVAL__OPEN", "30")
        .env("SNOWFLAKE_BROKER_SQS__PROFILES", "one,two")
        .printed();
    assert_eq!(config["matching"]["client_timeout"].as_str(), Some("4s"));
    assert_eq!(config["poll_interval"]["open"].as_str(), Some("30s"));
    assert_eq!(config["sqs"]["profiles"].to_string(), r#"["one", "two"]"#);
}

#[test]
fn everything_wrong_is_named_at_once() {
    let file = r#"
[matching]
client_timout = "5s"
proxy_timeout = true
max_attempts = 0

[macthing]
client_timeout = "5s"

[http]
trusted_hops = "two"
max_body_bytes = -1

[sqs]
profiles = [1]
"#;
    Broker::with_file("check-config -disable-geoip=maybe -ip-count-interval 1fortnight", file)
        .env("SNOWFLAKE_BROKER_MATCHING__REMATCH_AFTER", "soon")
        .env("SNOWFLAKE_BROKER_MATCHING__NOTHING", "1")
        .env("SNOWFLAKE_BROKER_LISTENER_ADDR", ":80")
        .env("SNOWFLAKE_BROKER_listener__addr", ":80")
        .env("SNOWFLAKE_BROKER_TELEMETRY__LOG_LEVEL", "a=b=c")
        .run()
        .refused(&[
            ("matching.client_timout: unknown key, did you mean matching.client_timeout? (config.toml line 3)", ""),
            ("matching.proxy_timeout: must be a span of time", "(got true, config.toml line 4)"),
            ("matching.max_attempts: must be between 1 and", "(got 0, config.toml line 5)"),
            ("macthing: unknown section, did you mean matching? (config.toml line 7)", ""),
            ("http.trusted_hops: must be a whole number", "(got \"two\", config.toml line 11)"),
            ("http.max_body_bytes: must be a whole number", "(got -1, config.toml line 12)"),
            ("sqs.profiles: must be a string", "(got [1], config.toml line 15)"),
            ("matching.rematch_after: must be a span", "(got \"soon\", variable SNOWFLAKE_BROKER_MATCHING__REMATCH_AFTER)"),
            ("matching.nothing: unknown key", "(variable SNOWFLAKE_BROKER_MATCHING__NOTHING)"),
            (
                "listener_addr: unknown variable, did you mean SNOWFLAKE_BROKER_LISTENER__ADDR? ",
                "(variable SNOWFLAKE_BROKER_LISTENER_ADDR)",
            ),
            (
                "listener.addr: unknown variable, did you mean SNOWFLAKE_BROKER_LISTENER__ADDR? ",
                "(variable SNOWFLAKE_BROKER_listener__addr)",
            ),
            ("telemetry.log_level: must be a level, such as info, or a filter", "(got \"a=b=c\", variable SNOWFLAKE_BROKER_TELEMETRY__LOG_LEVEL)"),
            ("geoip.disable: must be true or false (got \"maybe\", flag --disable-geoip)", ""),
            ("metrics.ip_count_interval: must be a span", "(got \"1fortnight\", flag --ip-count-interval)"),
            ("tls: must have a certificate", "acme.hostnames, tls.cert with tls.key, or tls.disable"),
        ]);
}

#[test]
fn a_section_is_a_table_and_a_key_is_in_one() {
    let file = "matching = 5\nclient_timeout = \"5s\"\n[listener.addr]\nport = 1\n";
    Broker::with_file("check-config -disable-tls", file)
        .run()
        .refused(&[
            ("matching: must be a section", "(got 5, config.toml line 1)"),
            (
                "client_timeout: unknown key outside of a section, did you mean \
                 matching.client_timeout? (config.toml line 2)",
                "",
            ),
            ("listener.addr: must be a string", "config.toml line 3)"),
        ]);
}

#[test]
fn a_wrong_value_is_named_even_where_a_higher_layer_overrides_it() {
    Broker::with_file(
        "check-config -disable-tls -addr :1",
        "[listener]\naddr = 80\n",
    )
    .run()
    .refused(&[(
        "listener.addr: must be a string (got 80, config.toml line 2)",
        "",
    )]);
}

#[test]
fn a_file_that_is_missing_or_no_toml() {
    Broker::new("check-config -config nowhere.toml")
        .run()
        .refused(&[("nowhere.toml: cannot be read: ", "")]);
    Broker::with_file(
        "check-config -addr x",
        "[tls]\ndisable = true\naddr = = 1\n",
    )
    .run()
    .refused(&[
        ("config.toml line 3: ", ""),
        ("listener.addr: must be :PORT", "(got \"x\", flag --addr)"),
    ]);
}

#[test]
fn a_geoip_file_that_is_missing_is_a_warning() {
    let check = "check-config -disable-tls";
    for (broker, key, source) in [
        (
            Broker::new(&format!("{check} -geoipdb nowhere")),
            "geoip.geoipdb",
            "flag --geoipdb",
        ),
        (
            Broker::new(check).env("SNOWFLAKE_BROKER_GEOIP__GEOIP6DB", "nowhere"),
            "geoip.geoip6db",
            "variable SNOWFLAKE_BROKER_GEOIP__GEOIP6DB",
        ),
        (
            Broker::with_file(check, "[geoip]\ngeoipdb = \"nowhere\"\n"),
            "geoip.geoipdb",
            "config.toml line 2",
        ),
    ] {
        let ran = broker.run();
        ran.warned(&format!("{key}: no such file"));
        let origin = format!("(got \"nowhere\", {source})");
        assert!(ran.stderr.contains(&origin), "{}", ran.stderr);
    }
    let disabled = Broker::new(&format!("{check} -geoipdb nowhere -disable-geoip")).run();
    disabled.ok();
    assert!(!disabled.stderr.contains("geoip"), "{}", disabled.stderr);
}

#[test]
fn what_is_printed_is_a_file_that_prints_the_same() {
    let printed = Broker::new("print-config -disable-tls -metrics-log m.log").run();
    assert_eq!(printed.code, 0);
    Broker::with_file("check-config -addr :0", &printed.stdout)
        .run()
        .ok();
    let again = Broker::with_file("print-config", &printed.stdout).run();
    assert_eq!(again.stdout, printed.stdout);
}

#[test]
fn the_example_is_a_file_that_changes_nothing() {
    let example = Broker::new("print-config --example").run();
    assert_eq!(example.code, 0);
    let with = Broker::with_file("-disable-tls", &example.stdout).printed();
    assert_eq!(with, Broker::new("-disable-tls").printed());
    Broker::with_file("check-config -disable-tls -addr :0", &example.stdout)
        .run()
        .ok();
}

#[test]
fn exit_codes() {
    assert_eq!(Broker::new("").run().code, 2);
    assert_eq!(Broker::new("run").run().code, 2);
    assert_eq!(Broker::new("print-config").run().code, 2);
    assert_eq!(Broker::new("-no-such-flag").run().code, 2);
    assert_eq!(Broker::new("no-such-command").run().code, 2);
    for (argument, part) in [
        ("-help", "--disable-tls"),
        ("--help", "--disable-tls"),
        ("-version", env!("CARGO_PKG_VERSION")),
        ("--version", env!("CARGO_PKG_VERSION")),
    ] {
        let ran = Broker::new(argument).run();
        assert_eq!(ran.code, 0, "{argument}");
        assert!(ran.stdout.contains(part), "{}", ran.stdout);
    }
}
