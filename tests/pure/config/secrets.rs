//! Secrets, which are never shown.

use super::program::Broker;

const FILE: &str = "[tls]\ndisable = true\n[geoip]\ndisable = true\n[otel]\n\
                    headers = \"authorization=hidden\"\n\
                    endpoint = \"http://user:hidden@127.0.0.1:4318\"\n\
                    traces_endpoint = \"http://127.0.0.1:4318/v1?token=hidden\"\n";

#[test]
fn secrets_are_printed_only_when_asked_for() {
    let printed = Broker::with_file("print-config", FILE).run();
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    for said in [&printed.stdout, &printed.stderr] {
        assert!(!said.contains("hidden"), "{said}");
    }
    let shown = "endpoint = \"http://(secret)@127.0.0.1:4318\"";
    assert!(printed.stdout.contains(shown), "{}", printed.stdout);
    let shown = "traces_endpoint = \"http://127.0.0.1:4318/v1?token=(secret)\"";
    assert!(printed.stdout.contains(shown), "{}", printed.stdout);
    for key in ["otel.headers", "otel.endpoint", "otel.traces_endpoint"] {
        let warning = format!("warning: {key}: its secret is left out (--show-secrets prints it)");
        assert!(printed.stderr.contains(&warning), "{}", printed.stderr);
    }
    Broker::with_file("check-config -addr :0", &printed.stdout)
        .run()
        .ok();

    let all = Broker::with_file("print-config --show-secrets", FILE).run();
    assert!(all.stdout.contains("headers = \"authorization=hidden\""));
    assert!(all.stdout.contains("http://user:hidden@127.0.0.1:4318"));
    let again = Broker::with_file("print-config --show-secrets", &all.stdout).run();
    assert_eq!(again.stdout, all.stdout);
}

/// Wherever a secret was written by mistake.
#[test]
fn no_finding_shows_a_secret() {
    for file in [
        "[otel]\nheaders = [\"authorization=hidden\"]\n",
        "[otel]\nheaders = \"hidden\"\n",
        "[otel]\nheader = \"authorization=hidden\"\n",
        "[otel]\nendpoint = \"ftp://user:hidden@a\"\n",
        "[otel]\nendpoints = \"http://user:hidden@a\"\n",
        "[otel]\nendpoint = \"user:hidden@localhost:4318\"\n",
        "[otel]\nendpoint = \"//user:hidden@localhost\"\n",
        "[otel]\nendpoint = \"http:/user:hidden@localhost\"\n",
        "[otel]\nendpoint = \"http://user:hid/hidden@localhost\"\n",
        "[otel]\nendpoint = \"http://user:hidden#hidden@localhost\"\n",
        "[otel]\nendpoint = \"ftp://localhost/?token=hidden\"\n",
        "[otel]\nheadrs = \"authorization=hidden\"\n",
        "[admin]\ntls = { kye = \"hidden\" }\n",
        "[sqs]\naccess = \"hidden\"\n",
        "[sqs]\nqueues = [{ name = \"a\", access = \"hidden\" }]\n",
        "[acme]\ndirectory = \"http://user:hidden@ca.example/\"\n",
        "[acme]\ndirectory = \"user:hidden@ca.example\"\n",
        "[acme]\ndirectry = \"user:hidden@ca.example\"\n",
        "[operator]\nlisten = \"http://user:hidden@localhost\"\n",
        "[[federation.peers]]\nname = \"b.example\"\nurl = \"user:hidden@b:1\"\n",
        "[[federation.peers]]\nname = \"b.example\"\nkey = \"hidden\"\n",
        "[[federation.peers]]\nname = \"b.example\"\nurl = \"https://user:hidden@b:1\"\n",
        "[admin]\ntokens = [{ name = \"alice\", role = \"viewer\", token = \"hidden\" }]\n",
        "[admin]\ntoken = \"hidden\"\n",
    ] {
        let refused = Broker::with_file("check-config -disable-tls", file).run();
        assert_eq!(refused.code, 2, "{file}: {}", refused.stderr);
        assert!(!refused.stderr.contains("hidden"), "{}", refused.stderr);
        assert!(refused.stderr.contains("config.toml"), "{}", refused.stderr);
    }
    let warned = Broker::with_file("check-config", FILE).run();
    warned.warned("otel.endpoint: its user and password are not sent");
    let shown = "(got \"http://(secret)@127.0.0.1:4318\", config.toml line 7)";
    assert!(warned.stderr.contains(shown), "{}", warned.stderr);
    assert!(!warned.stderr.contains("hidden"), "{}", warned.stderr);
}
