//! Every subcommand, with output for people and for programs.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

use crate::cli::broker::{BRIDGE, Broker, run, words, write};

#[tokio::test]
async fn status_tells_what_the_broker_does() {
    let broker = Broker::start().await;
    let _parked = broker.park("a", "unrestricted").await;
    broker.until_parked(1).await;
    let text = broker.ask("status").await;
    for expected in [
        concat!("version      ", env!("CARGO_PKG_VERSION"), "\n"),
        "state        serving\n",
        "open           1       0        20s\n",
        "strict         0       0        20s\n",
        "standalone  unrestricted       1\n",
        "since start  since start  since start\n",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }
    let [status] = &broker.ask_json("status").await[..] else {
        panic!("one object")
    };
    assert_eq!(status["state"], "SERVING");
    assert_eq!(status["matchedClients"], "0");
    assert_eq!(status["recent"][2]["span"], "3600s");
    let parked =
        json!([{"type": "standalone", "nat": "unrestricted", "pool": "OPEN", "count": "1"}]);
    assert_eq!(status["parked"], parked);
}

#[tokio::test]
async fn polls_are_filtered_and_limited() {
    let broker = Broker::start().await;
    let _parked = [
        broker.park("a", "unrestricted").await,
        broker.park("b", "unrestricted").await,
        broker.park("c", "restricted").await,
    ];
    broker.until_parked(3).await;
    let text = broker.ask("polls").await;
    assert!(text.starts_with("type        nat           pool    country"));
    assert!(text.ends_with("\n3 parked polls\n"), "{text}");
    let open = broker.ask("polls --filter 'pool = open'").await;
    assert!(open.ends_with("\n2 parked polls\n"), "{open}");
    assert!(!open.contains(" restricted"), "{open}");
    let one = broker
        .ask_json("polls --filter 'pool = open' --limit 1")
        .await;
    assert_eq!(one.len(), 1);
    assert_eq!(one[0]["nat"], "unrestricted");
    assert!(one[0]["waitingMs"].is_string());
    assert_eq!(
        broker.ask("polls --filter 'type = webext'").await,
        "no parked polls\n"
    );
    assert!(broker.ask_json("polls --limit 0").await.is_empty());
}

#[tokio::test]
async fn polls_of_more_than_a_page() {
    // Each poll is a connection.
    let files = getrlimit(Resource::Nofile).maximum;
    let files = Rlimit {
        current: files,
        maximum: files,
    };
    setrlimit(Resource::Nofile, files).unwrap();
    let broker = Broker::start().await;
    let mut parked = Vec::new();
    for number in 0..1_050 {
        parked.push(broker.park(&format!("sid-{number}"), "unrestricted").await);
    }
    broker.until_parked(1_050).await;
    let text = broker.ask("polls").await;
    assert!(text.ends_with("\n1050 parked polls\n"));
    assert_eq!(broker.ask_json("polls --limit 1001").await.len(), 1_001);
}

#[tokio::test]
async fn stats_are_numbers_or_the_lines_of_the_log() {
    let broker = Broker::start().await;
    let _parked = broker.park("a", "unrestricted").await;
    broker.until_parked(1).await;
    let text = broker.ask("stats").await;
    assert!(
        text.contains("unique addresses of proxies     1\n"),
        "{text}"
    );
    let lines = broker.ask("stats --text").await;
    assert!(lines.starts_with("snowflake-stats-end "), "{lines}");
    assert!(lines.contains("\nsnowflake-ips-total 1\n"), "{lines}");
    let stats = &broker.ask_json("stats").await[0];
    assert_eq!(stats["uniqueIpsByType"]["standalone"], "1");
    assert!(
        stats["text"]
            .as_str()
            .unwrap()
            .contains("snowflake-ips-total 1")
    );
}

#[tokio::test]
async fn bridges_are_listed_checked_and_replaced() {
    let broker = Broker::start().await;
    assert_eq!(broker.ask("bridges list --as-file").await, BRIDGE);
    let text = broker.ask("bridges list").await;
    assert!(
        text.contains("wss://snowflake.example.org/  1       up     -       mine\n1 bridge, etag "),
        "{text}"
    );
    let listed = &broker.ask_json("bridges list").await[0];
    assert_eq!(listed["bridges"][0]["displayName"], "mine");
    let etag = listed["etag"].as_str().unwrap();

    let second = BRIDGE.replace("0123456789ABCDEF", "FEDCBA9876543210");
    let file = write(broker.folder.path(), "two", &format!("{BRIDGE}{second}"));
    let checked = broker.ask(&format!("bridges check {file}")).await;
    let outside = "warning: broker.allowed_relay_pattern: ^snowflake.torproject.net$ does not \
                   cover 2 bridges: snowflake.example.org, snowflake.example.org; ";
    assert!(checked.starts_with("ok, 2 bridges\n"), "{checked}");
    assert!(checked.contains(outside), "{checked}");
    let config = broker.path("config.toml");
    let checked = broker
        .ask(&format!("bridges check {file} --config {config}"))
        .await;
    assert_eq!(checked, "ok, 2 bridges\n");
    let checked = broker.ask_json(&format!("bridges check {file}")).await;
    assert_eq!(checked[0]["bridges"].as_array().unwrap().len(), 2);

    let dry = broker.ask(&format!("bridges set {file} --dry-run")).await;
    assert!(dry.starts_with("2 bridges in place of 1, etag "), "{dry}");
    assert!(dry.ends_with("dry run: nothing has changed\n"), "{dry}");
    assert_eq!(broker.ask("bridges list --as-file").await, BRIDGE);

    let set = format!("bridges set {file} --etag {etag}");
    let replaced = &broker.ask_json(&set).await[0];
    assert_eq!(
        (&replaced["replacedCount"], &replaced["bridgeCount"]),
        (&json!(1), &json!(2))
    );
    let (code, message) = broker.refuse(&set).await;
    assert_eq!(code, 1);
    assert!(message.contains("etag: the list has changed"), "{message}");
    // With --write-back, the next reload does not restore the old list.
    let path = broker.path("bridges.jsonl");
    assert_eq!(fs::read_to_string(&path).unwrap(), BRIDGE);
    broker
        .ask(&format!("bridges set {file} --write-back"))
        .await;
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        format!("{BRIDGE}{second}")
    );
    assert_eq!(
        broker.ask("bridges list --as-file").await,
        format!("{BRIDGE}{second}")
    );
}

#[tokio::test]
async fn a_bridge_drains_and_comes_back() {
    let broker = Broker::start().await;
    let change = format!("bridges change {}", fingerprint_of(BRIDGE));
    let dry = broker
        .ask(&format!("{change} --state drain --dry-run"))
        .await;
    assert!(dry.ends_with("dry run: nothing has changed\n"), "{dry}");
    assert_eq!(broker.ask("bridges list --as-file").await, BRIDGE);

    let told = broker.ask(&format!("{change} --state drain")).await;
    assert!(
        told.contains("  1       drain  -       mine\netag "),
        "{told}"
    );
    assert!(told.contains("warning: no address is up"), "{told}");
    let lines = broker.ask("bridges list --as-file").await;
    assert!(lines.contains(r#""state":"drain""#), "{lines}");
    let told = &broker.ask_json(&format!("{change} --weight 2.5")).await[0];
    assert_eq!(told["bridges"][0]["state"], "BRIDGE_STATE_DRAIN");
    assert_eq!(told["bridges"][0]["weight"], json!(2.5));
    broker
        .ask(&format!("{change} --state up --weight 1 --write-back"))
        .await;
    assert_eq!(broker.ask("bridges list --as-file").await, BRIDGE);
    let (code, message) = broker.refuse(&format!("{change} --state gone")).await;
    assert_eq!(code, 2);
    assert!(message.contains("up, drain, down"), "{message}");
    let (code, message) = broker
        .refuse(&format!("{change} --url wss://a.example/"))
        .await;
    assert_eq!(code, 1);
    assert!(message.contains("no bridge has this"), "{message}");
}

/// The fingerprint in a line.
fn fingerprint_of(line: &str) -> String {
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    line["fingerprint"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn bridges_that_proxies_may_refuse_are_told() {
    let broker = Broker::start().await;
    let outside = BRIDGE.replace("snowflake.example.org", "relay.example.net");
    let file = write(
        broker.folder.path(),
        "three",
        &format!("{BRIDGE}{BRIDGE}{outside}"),
    );
    let overridden = format!(
        "warning: {file}: the same fingerprint on several lines, of which the last counts: \
         line 2 overrides line 1, line 3 overrides line 2 (give one of them a weight or a state \
         to use all their addresses)\n"
    );
    let uncovered = "warning: broker.allowed_relay_pattern: example.org$ does not cover 1 \
                     bridge: relay.example.net; ";
    let set = broker.ask(&format!("bridges set {file}")).await;
    assert!(
        set.contains(uncovered) && set.contains(&overridden),
        "{set}"
    );
    for line in [
        "bridges list",
        "relay",
        "relay --default ^a.example$ --dry-run",
    ] {
        let told = broker.ask(line).await;
        assert!(told.contains(uncovered), "{line}: {told}");
    }
    let widened = broker.ask("relay --allowed example.net").await;
    assert!(!widened.contains("warning"), "{widened}");
    // The list from the file is back.
    let reloaded = broker.ask("reload").await;
    assert!(!reloaded.contains("broker."), "{reloaded}");
    write(broker.folder.path(), "bridges.jsonl", &outside);
    let reloaded = broker.ask("reload").await;
    assert!(reloaded.contains(uncovered), "{reloaded}");
}

#[tokio::test]
async fn limits_are_told_and_changed() {
    let broker = Broker::start().await;
    let before = broker.ask("limits").await;
    for line in [
        "of an intermediary  100 times as many\n",
        "AMP caches          google\n",
        "said to forward     10 times as many\n",
        "not limited         none\n",
    ] {
        assert!(before.contains(line), "{before}");
    }
    let set = "limits --intermediary google --intermediary 192.0.2.0/24 --unconfirmed-factor 2";
    let after = &broker.ask_json(set).await[0];
    assert_eq!(after["intermediaries"], json!(["google", "192.0.2.0/24"]));
    assert_eq!(after["unconfirmedFactor"], 2);
    let config = broker.ask("config limits.intermediaries").await;
    assert!(
        config.contains("[\"google\", \"192.0.2.0/24\"]  admin"),
        "{config}"
    );
    let none = broker.ask("limits --no-intermediaries").await;
    assert!(none.contains("AMP caches          none\n"), "{none}");
    let (code, message) = broker.refuse("limits --unconfirmed-factor 1").await;
    assert_eq!(code, 1);
    assert_eq!(
        message,
        "limits.unconfirmed_factor: must be between 2 and 1000 (got 1)\n"
    );
}

#[tokio::test]
async fn shares_are_told_and_changed() {
    let broker = Broker::start().await;
    let before = broker.ask("supply").await;
    assert!(before.contains("clients a minute   16\n"), "{before}");
    let set = "supply --unanswered 0 --network 192.0.2.0/24=10 --network 2001:db8::/32=2";
    let after = &broker.ask_json(set).await[0];
    assert_eq!(after["unanswered"], 0);
    let network = |network, share| json!({"network": network, "share": share});
    let networks = [network("192.0.2.0/24", 10), network("2001:db8::/32", 2)];
    assert_eq!(after["networks"], json!(networks));
    let none = broker.ask("supply --no-networks").await;
    assert!(none.contains("larger shares      none\n"), "{none}");
    assert!(none.contains("unanswered offers  no limit\n"), "{none}");
    let refused = broker.refuse("supply --network 192.0.2.0/24=0").await;
    let expected = "supply.networks: 192.0.2.0/24: must be between 1 and 1000 (got 0)\n";
    assert_eq!(refused, (1, expected.to_owned()));
    let (code, message) = broker.refuse("supply --network 192.0.2.0/24").await;
    assert_eq!(code, 2);
    let expected = "must be a network, = and a number, such as 192.0.2.0/24=10";
    assert!(message.contains(expected), "{message}");
}

#[tokio::test]
async fn rules_are_printed_replaced_and_explained() {
    let broker = Broker::start().await;
    let none = broker.ask("policy").await;
    assert!(
        none.contains("rules = []\n") && none.contains("reserve = 8\n"),
        "{none}"
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.toml");
    let rules = "[policy]\nreserve = 0\n[[policy.rules]]\nname = \"a\"\naction = \"deny\"\n\
                 proxy = { types = [\"webext\"] }\nclient = { nat = [\"restricted\"] }\n";
    fs::write(&file, rules).unwrap();
    let set = format!("policy --file {}", file.display());
    let checked = broker.ask(&format!("{set} --dry-run")).await;
    assert!(
        checked.ends_with("dry run: nothing has changed\n"),
        "{checked}"
    );
    assert_eq!(broker.ask("policy").await, none);
    let printed = broker.ask(&set).await;
    assert_eq!(broker.ask("policy").await, printed);
    // It is a file that can be put in force again.
    fs::write(&file, &printed).unwrap();
    assert_eq!(broker.ask(&set).await, printed);

    let explained = broker
        .ask("explain --client country=RU,nat=restricted")
        .await;
    let expected =
        "rule  action  polls\na     deny    0\n\npool open: 0 polls, 0 of them allowed\n";
    assert_eq!(explained, expected);
    let other = &broker.ask_json("explain --client nat=open").await[0];
    assert_eq!(other["rules"], json!([]));
    assert_eq!(other["pools"].as_array().unwrap().len(), 3);

    fs::write(&file, rules.replace("deny", "denied")).unwrap();
    let (code, message) = broker.refuse(&set).await;
    assert_eq!(code, 2);
    assert!(
        message.contains("rules.toml: ") && message.contains("denied"),
        "{message}"
    );
    for (facts, expected) in [
        (
            "land=RU",
            "unknown fact \"land\", there are: country, nat, rendezvous, asn",
        ),
        ("asn=AS1", "asn must be a number, not \"AS1\""),
    ] {
        let (code, message) = broker.refuse(&format!("explain --client {facts}")).await;
        assert_eq!(code, 2);
        assert!(message.contains(expected), "{message}");
    }
    let (code, message) = broker.refuse("explain --client nat=symmetric").await;
    assert_eq!((code, &*message), (1, "nat: \"symmetric\" is not known\n"));
}

#[tokio::test]
async fn sources_are_summed_up() {
    let broker = Broker::start().await;
    let rows = |text: &str| {
        let rows = text.lines().skip(1).map(|row| row.split("  ").next());
        rows.flatten().map(str::to_owned).collect::<Vec<_>>()
    };
    for (call, expected) in [
        (
            "sources",
            &["top 1", "top 10", "top 100", "sources", "in all"][..],
        ),
        (
            "sources --top",
            &["top 1", "top 10", "top 100", "sources", "in all"],
        ),
        (
            "sources --top 3,5",
            &["top 3", "top 5", "sources", "in all"],
        ),
    ] {
        let text = broker.ask(call).await;
        let rows = rows(&text);
        let (since, rows) = rows.split_last().unwrap();
        assert!(since.starts_with("since 2"), "{text}");
        assert_eq!(rows, expected, "{text}");
    }
    let (code, message) = broker.refuse("sources --top 0").await;
    let expected = "tops: must be between 1 and 1000000 (got 0)\n";
    assert_eq!((code, &*message), (1, expected));
}

#[tokio::test]
async fn impact_is_shown() {
    let broker = Broker::start().await;
    let text = broker.ask("impact --countries 3").await;
    for line in [
        "clients in two minutes  0, of whom 0 are not served; 0 at most",
        "tries until served      -, 95 %: -",
        "  success  worked  failed  unanswered  unknown",
        "; countries are rounded",
    ] {
        assert!(text.contains(line), "{line}:\n{text}");
    }
    let told = &broker.ask_json("impact").await[0];
    assert_eq!(told["byNat"].as_array().unwrap().len(), 9);
    assert_eq!(told["byRendezvous"][0]["name"], "http");
    assert_eq!(
        (&told["triesP50"], &told["unservedShare"]),
        (&json!("0"), &json!(0.0))
    );
}

#[tokio::test]
async fn intervals_are_told_and_changed() {
    let broker = Broker::start().await;
    let before =
        "open        20s\nmoderate    20s\nstrict      20s\nrefused     10m\noverloaded  2m\n";
    assert_eq!(broker.ask("interval").await, before);
    let dry = broker.ask("interval --open 90 --dry-run").await;
    assert!(dry.starts_with("open        1m 30s\n"), "{dry}");
    assert!(dry.ends_with("dry run: nothing has changed\n"), "{dry}");
    assert_eq!(broker.ask("interval").await, before);
    let after = broker.ask_json("interval --open 90 --refused 1h").await;
    let expected = json!({
        "open": "90s", "moderate": "20s", "strict": "20s", "refused": "3600s", "overloaded": "120s"
    });
    assert_eq!(after, std::slice::from_ref(&expected));
    assert_eq!(broker.ask_json("interval").await, [expected]);
}

#[tokio::test]
async fn relay_patterns_are_told_and_changed() {
    let broker = Broker::start().await;
    let before = "allowed  example.org$\ndefault  the Tor Project's bridge\n";
    assert_eq!(broker.ask("relay").await, before);
    let dry = broker.ask("relay --default ^a.example$ --dry-run").await;
    assert_eq!(
        dry,
        "allowed  example.org$\ndefault  ^a.example$\ndry run: nothing has changed\n"
    );
    assert_eq!(broker.ask("relay").await, before);
    let after = &broker.ask_json("relay --allowed a.example$").await[0];
    assert_eq!(after["allowedRelayPattern"], "a.example$");
    let every = broker.ask("relay --default=").await;
    assert!(every.contains("default  every relay\n"), "{every}");
    let warning = "warning: broker.default_relay_pattern: accepts proxies that send no pattern";
    assert!(every.contains(warning), "{every}");
    let unset = broker.ask("relay --no-default").await;
    assert!(
        unset.contains("default  the Tor Project's bridge\n"),
        "{unset}"
    );
    assert!(!unset.contains(warning), "{unset}");
}

#[tokio::test]
async fn the_log_filter_is_changed_for_a_while_or_for_good() {
    let broker = Broker::start().await;
    let dry = broker.ask("log warn --dry-run").await;
    assert_eq!(
        dry,
        "logging warn until the next reload\ndry run: nothing has changed\n"
    );
    let text = broker
        .ask("log info,snowflake_broker::http=debug --for 10m")
        .await;
    let expected = "logging info,snowflake_broker::http=debug until 20";
    assert!(text.starts_with(expected), "{text}");
    let filter = &broker.ask_json("log debug").await[0];
    assert_eq!(filter, &json!({"filter": "debug"}));
}

#[tokio::test]
async fn a_reload_names_every_part() {
    let broker = Broker::start().await;
    let text = broker.ask("reload").await;
    assert!(text.contains("bridges         reloaded\n"), "{text}");
    let dry = broker.ask("reload --dry-run").await;
    assert!(dry.contains("bridges         fine\n"), "{dry}");
    assert!(dry.ends_with("dry run: nothing has changed\n"), "{dry}");

    let config = broker.path("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}\n[http]\nmax_body_bytes = 5000\n")).unwrap();
    let reloaded = &broker.ask_json("reload").await[0];
    assert_eq!(
        reloaded["waitingForRestart"],
        json!(["http.max_body_bytes"])
    );
    let parts = reloaded["parts"].as_array().unwrap();
    assert!(parts.contains(&json!("bridges")), "{parts:?}");

    fs::write(broker.path("bridges.jsonl"), "rubbish\n").unwrap();
    let (code, message) = broker.refuse("reload").await;
    assert_eq!(code, 1);
    assert!(message.starts_with("bridges: "), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[tokio::test]
async fn a_drain_is_begun_and_ended() {
    let broker = Broker::start().await;
    let text = broker.ask("drain --grace 1h").await;
    assert!(text.starts_with("draining: from 20"), "{text}");
    assert_eq!(state(&broker).await, "LAME_DUCK");
    assert_eq!(broker.ask("resume").await, "matching\n");
    assert_eq!(state(&broker).await, "SERVING");
    let drain = &broker.ask_json("drain --grace 0").await[0];
    assert!(drain["graceEndTime"].is_string(), "{drain}");
    assert_eq!(broker.ask_json("resume").await, [json!({})]);
}

async fn state(broker: &Broker) -> Value {
    broker.ask_json("status").await[0]["state"].clone()
}

#[tokio::test]
async fn the_configuration_has_its_sources() {
    let broker = Broker::start().await;
    broker.ask("relay --allowed a.example$").await;
    let text = broker.ask("config broker").await;
    assert!(
        text.starts_with("key                           value "),
        "{text}"
    );
    let set = "broker.allowed_relay_pattern  \"a.example$\"";
    let line = text.lines().find(|line| line.starts_with(set));
    assert!(line.is_some_and(|line| line.ends_with("  admin")), "{text}");
    let listen = &broker.ask_json("config admin.listen").await[0]["settings"][0];
    assert_eq!(listen["value"], format!("{:?}", broker.listen));
    assert_eq!(listen["source"], "variable SNOWFLAKE_BROKER_ADMIN__LISTEN");
    for line in ["config nothing", "config nothing --json"] {
        let (code, message) = broker.refuse(line).await;
        assert_eq!(code, 1, "{line}");
        assert_eq!(message, "no key begins with \"nothing\"\n");
    }
    let all = broker.ask_json("config").await;
    assert!(all[0]["settings"].as_array().unwrap().len() > 50);
}

#[tokio::test]
async fn a_broker_without_federation_has_no_peers() {
    let broker = Broker::start().await;
    assert_eq!(broker.ask("peers").await, "no peers\n");
    let none = json!({"peers": [], "nextPageToken": ""});
    assert_eq!(broker.ask_json("peers").await, [none]);
}

#[tokio::test]
async fn the_broker_is_found_by_the_configuration_or_the_address() {
    let broker = Broker::start().await;
    let listen = &broker.listen;
    let file = write(
        broker.folder.path(),
        "other.toml",
        &format!("[admin]\nlisten = \"unix:{listen}\"\n[matching]\nno_such_key = 1\n"),
    );
    for line in [
        format!("peers --config {file}"),
        format!("--address unix:{listen} peers"),
        format!("peers --address {listen}"),
    ] {
        let said = run(&mut crate::cli::broker::operator(words(&line))).await;
        assert_eq!(
            (said.code, &*said.stdout),
            (0, "no peers\n"),
            "{line}: {}",
            said.stderr
        );
    }
}
