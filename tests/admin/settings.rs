//! Changes of settings at runtime.

use prost_types::{Duration, FieldMask};
use rustix::process::Signal;
use serde_json::{Value, json};
use snowflake_broker::proto::admin::v1::{
    GetConfigRequest, GetStatusRequest, PollIntervals, RelayPolicy, ReloadRequest,
    SetPollIntervalsRequest, SetRelayPolicyRequest, Setting,
};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::broker::{Broker, Setup};
use crate::support::messages::proxy_poll;
use crate::support::peer::Peer;

/// Polls are answered soon.
const IMPATIENT: &str = "[matching]\nproxy_timeout = \"10ms\"\n";

pub(crate) fn seconds(seconds: i64) -> Duration {
    Duration { seconds, nanos: 0 }
}

fn mask(paths: &[&str]) -> FieldMask {
    let paths = paths.iter().map(|&path| path.to_owned()).collect();
    FieldMask { paths }
}

pub(crate) fn intervals(open: i64, strict: i64) -> SetPollIntervalsRequest {
    SetPollIntervalsRequest {
        poll_intervals: Some(PollIntervals {
            open: Some(seconds(open)),
            strict: Some(seconds(strict)),
            ..PollIntervals::default()
        }),
        ..SetPollIntervalsRequest::default()
    }
}

/// The fields named in a refusal.
pub(crate) fn wrong_fields(status: &tonic::Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let details = status.get_details_bad_request().unwrap();
    let wrong = details.field_violations.into_iter();
    wrong.map(|wrong| wrong.field).collect()
}

async fn poll(broker: &Broker, body: String) -> Value {
    let mut peer = Peer::http1(broker.addr()).await;
    let (_, reply) = peer.post("/proxy", body).await;
    serde_json::from_str(&reply).unwrap()
}

/// `NextPoll` in seconds, for an open and a strict proxy.
async fn told(broker: &Broker) -> [u64; 2] {
    let mut told = [0; 2];
    for (told, nat) in told.iter_mut().zip(["unrestricted", "restricted"]) {
        let reply = poll(broker, proxy_poll("a", nat)).await;
        *told = reply["NextPoll"].as_u64().unwrap() / 1000;
    }
    told
}

async fn settings(broker: &Broker, prefix: &str) -> Vec<Setting> {
    let request = GetConfigRequest {
        key_prefix: prefix.to_owned(),
    };
    let config = broker.client().await.get_config(request).await;
    config.unwrap().into_inner().settings
}

/// The value of a key and its source.
pub(crate) async fn setting(broker: &Broker, key: &str) -> (String, String) {
    let settings = settings(broker, key).await;
    let setting = settings
        .into_iter()
        .find(|setting| setting.key == key)
        .unwrap();
    (setting.value, setting.source)
}

#[tokio::test]
async fn proxies_are_told_the_intervals_that_are_set() {
    let broker = Broker::start(IMPATIENT).await;
    let mut client = broker.client().await;
    assert_eq!(told(&broker).await, [20, 20]);
    let set = client
        .set_poll_intervals(intervals(3, 40))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (set.open, set.moderate),
        (Some(seconds(3)), Some(seconds(20)))
    );
    assert_eq!(told(&broker).await, [3, 40]);
    let status = client
        .get_status(GetStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    let shown: Vec<_> = status
        .poll_intervals
        .iter()
        .map(|pool| pool.interval)
        .collect();
    assert_eq!(shown, [3, 20, 40].map(|told| Some(seconds(told))));
    let shown = setting(&broker, "poll_interval.strict").await;
    assert_eq!(shown, ("\"40s\"".to_owned(), "admin".to_owned()));

    // The mask takes precedence over the fields that are set.
    let masked = SetPollIntervalsRequest {
        update_mask: Some(mask(&["strict"])),
        ..intervals(5, 50)
    };
    client.set_poll_intervals(masked).await.unwrap();
    assert_eq!(told(&broker).await, [3, 50]);
    let checked = SetPollIntervalsRequest {
        validate_only: true,
        ..intervals(7, 70)
    };
    let would_be = client
        .set_poll_intervals(checked)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(would_be.open, Some(seconds(7)));
    assert_eq!(told(&broker).await, [3, 50]);

    // Any reload reads the configuration again.
    broker.signal(Signal::HUP, "configuration reloaded").await;
    assert_eq!(told(&broker).await, [20, 20]);
    let shown = setting(&broker, "poll_interval.strict").await;
    assert_eq!(shown, ("\"20s\"".to_owned(), "default".to_owned()));
    client.set_poll_intervals(intervals(3, 40)).await.unwrap();
    client.reload(ReloadRequest::default()).await.unwrap();
    assert_eq!(told(&broker).await, [20, 20]);
}

/// In adaptive mode, the intervals in force differ from the configured ones.
#[tokio::test]
async fn the_intervals_in_force_are_told() {
    let adaptive = "[poll_interval]\nmode = \"adaptive\"\nfloor = \"30s\"\nceiling = \"30s\"\n";
    let broker = Broker::start(adaptive).await;
    let status = broker
        .client()
        .await
        .get_status(GetStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    let shown: Vec<_> = status
        .poll_intervals
        .iter()
        .map(|pool| pool.interval)
        .collect();
    assert_eq!(shown, [Some(seconds(30)); 3]);
}

#[tokio::test]
async fn a_wrong_interval_changes_none() {
    let broker = Broker::start(IMPATIENT).await;
    let mut client = broker.client().await;
    let day = 24 * 60 * 60;
    for (open, strict) in [(0, day + 1), (-1, i64::MAX)] {
        let wrong = client
            .set_poll_intervals(intervals(open, strict))
            .await
            .unwrap_err();
        assert_eq!(
            wrong_fields(&wrong),
            ["poll_intervals.open", "poll_intervals.strict"]
        );
        let half_wrong = client
            .set_poll_intervals(intervals(3, strict))
            .await
            .unwrap_err();
        assert_eq!(wrong_fields(&half_wrong), ["poll_intervals.strict"]);
    }
    for (paths, field) in [
        (["closed"], "update_mask"),
        (["moderate"], "poll_intervals.moderate"),
    ] {
        let masked = SetPollIntervalsRequest {
            update_mask: Some(mask(&paths)),
            ..intervals(3, 40)
        };
        let wrong = client.set_poll_intervals(masked).await.unwrap_err();
        assert_eq!(wrong_fields(&wrong), [field]);
    }
    assert_eq!(told(&broker).await, [20, 20]);
    assert!(!broker.log().contains("admin: "), "{}", broker.log());
    client.set_poll_intervals(intervals(1, day)).await.unwrap();
}

#[tokio::test]
async fn the_relay_policy_says_which_proxies_may_serve() {
    let broker = Broker::start(IMPATIENT).await;
    let mut client = broker.client().await;
    let status = async |pattern: Option<&str>| {
        let mut body = json!({"Sid": "a", "Version": "1.3"});
        if let Some(pattern) = pattern {
            body["AcceptedRelayPattern"] = pattern.into();
        }
        poll(&broker, body.to_string()).await["Status"].clone()
    };
    let theirs = Some("^elsewhere.example$");
    assert_eq!(status(theirs).await, "incorrect relay pattern");
    assert_eq!(status(None).await, "no match");

    let policy = |allowed: &str, default: &str| SetRelayPolicyRequest {
        relay_policy: Some(RelayPolicy {
            allowed_relay_pattern: Some(allowed.to_owned()),
            default_relay_pattern: Some(default.to_owned()),
            warnings: Vec::new(),
        }),
        ..SetRelayPolicyRequest::default()
    };
    let set = policy("^elsewhere.example$", "snowflake.torproject.net$");
    let set = client.set_relay_policy(set).await.unwrap().into_inner();
    let [warning] = &set.warnings[..] else {
        panic!("one warning: {set:?}")
    };
    assert!(warning.contains("snowflake.torproject.net; "), "{warning}");
    assert_eq!(status(theirs).await, "no match");
    assert_eq!(status(None).await, "incorrect relay pattern");
    let shown = setting(&broker, "broker.allowed_relay_pattern").await;
    assert_eq!(
        shown,
        ("\"^elsewhere.example$\"".to_owned(), "admin".to_owned())
    );

    let masked = SetRelayPolicyRequest {
        update_mask: Some(mask(&["default_relay_pattern"])),
        ..policy("ignored.example$", "")
    };
    let set = client.set_relay_policy(masked).await.unwrap().into_inner();
    assert_eq!(
        set.allowed_relay_pattern.as_deref(),
        Some("^elsewhere.example$")
    );
    assert_eq!(status(None).await, "no match");
    let [_, warning] = &set.warnings[..] else {
        panic!("two warnings: {set:?}")
    };
    assert!(
        warning.starts_with("broker.default_relay_pattern: accepts "),
        "{warning}"
    );

    let unset = SetRelayPolicyRequest {
        relay_policy: None,
        update_mask: Some(mask(&["default_relay_pattern"])),
        validate_only: false,
    };
    let set = client.set_relay_policy(unset).await.unwrap().into_inner();
    assert_eq!((set.default_relay_pattern, set.warnings.len()), (None, 1));
    assert_eq!(status(None).await, "no match", "only Tor's bridge is there");
    let shown = setting(&broker, "broker.default_relay_pattern").await;
    assert_eq!(shown, (String::new(), "admin".to_owned()));

    let wrong = client
        .set_relay_policy(policy("a b", "wss://x/"))
        .await
        .unwrap_err();
    let both = [
        "relay_policy.allowed_relay_pattern",
        "relay_policy.default_relay_pattern",
    ];
    assert_eq!(wrong_fields(&wrong), both);
    let checked = SetRelayPolicyRequest {
        validate_only: true,
        ..policy("snowflake.torproject.net$", "")
    };
    client.set_relay_policy(checked).await.unwrap();
    assert_eq!(status(theirs).await, "no match");
}

#[tokio::test]
async fn a_reload_in_which_a_part_is_wrong_changes_nothing() {
    let setup = Setup::new();
    let bridges = setup.write("bridges", "");
    setup.configure(&format!(
        "{IMPATIENT}[broker]\nbridge_list_path = {bridges:?}\n"
    ));
    let good = json!({
        "displayName": "one",
        "webSocketAddress": "wss://one.example/",
        "fingerprint": "0123456789ABCDEF0123456789ABCDEF01234567",
    });
    setup.write("bridges", &good.to_string());
    let broker = setup.start().await;
    let mut client = broker.client().await;

    broker.setup.write("bridges", "rubbish");
    broker.setup.configure(&format!(
        "{IMPATIENT}[broker]\nbridge_list_path = {bridges:?}\n\
         [poll_interval]\nopen = \"3s\"\nfilepath = \"/nowhere/intervals\"\n"
    ));
    for validate_only in [true, false] {
        let refused = client
            .reload(ReloadRequest { validate_only })
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        let details = refused.get_details_precondition_failure().unwrap();
        let parts: Vec<&str> = details
            .violations
            .iter()
            .map(|wrong| &*wrong.subject)
            .collect();
        assert_eq!(parts, ["bridges", "poll intervals"], "{refused}");
        assert!(
            details.violations[0]
                .description
                .starts_with("broker.bridge_list_path: ")
        );
    }
    assert_eq!(told(&broker).await, [20, 20]);
    assert!(!broker.log().contains("admin: "), "{}", broker.log());

    broker.setup.write("bridges", &good.to_string());
    broker
        .setup
        .configure("[poll_interval]\nopen = \"3s\"\n[http]\nbody_read_timeout = \"9s\"\n");
    let checked = ReloadRequest {
        validate_only: true,
    };
    let checked = client.reload(checked).await.unwrap().into_inner();
    assert_eq!(setting(&broker, "poll_interval.open").await.0, "\"20s\"");
    let reloaded = client
        .reload(ReloadRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(reloaded, checked);
    assert!(reloaded.parts.contains(&"bridges".to_owned()));
    assert_eq!(reloaded.waiting_for_restart, ["http.body_read_timeout"]);
    let waiting = settings(&broker, "http.body_read_timeout").await;
    assert!(waiting[0].waiting_for_restart);
    let (value, source) = setting(&broker, "poll_interval.open").await;
    assert_eq!(value, "\"3s\"");
    assert!(source.ends_with("config.toml line 2"), "{source}");
}

#[tokio::test]
async fn the_configuration_tells_where_each_value_is_from_and_no_secret() {
    let setup = Setup::new();
    setup.configure(
        "[matching]\nclient_timeout = \"4s\"\n[otel]\nheaders = \"authorization=hidden\"\n\
         endpoint = \"http://user:hidden@127.0.0.1:1\"\n",
    );
    let mut command = setup.command();
    command.env("SNOWFLAKE_BROKER_MATCHING__MAX_ATTEMPTS", "3");
    let broker = setup.start_as(command).await;
    let config = broker.setup.path("config.toml");
    for (key, value, source) in [
        (
            "matching.client_timeout",
            "\"4s\"",
            format!("{} line 2", config.display()),
        ),
        (
            "matching.max_attempts",
            "3",
            "variable SNOWFLAKE_BROKER_MATCHING__MAX_ATTEMPTS".to_owned(),
        ),
        ("matching.proxy_timeout", "\"10s\"", "default".to_owned()),
        ("tls.disable", "true", "flag --disable-tls".to_owned()),
        (
            "otel.headers",
            "(secret)",
            format!("{} line 4", config.display()),
        ),
        (
            "otel.endpoint",
            "\"http://(secret)@127.0.0.1:1\"",
            format!("{} line 5", config.display()),
        ),
        ("admin.tls.cert", "", "default".to_owned()),
    ] {
        assert_eq!(setting(&broker, key).await, (value.to_owned(), source));
    }
    let all = settings(&broker, "").await;
    assert!(all.is_sorted_by_key(|setting| setting.key.clone()));
    assert!(all.len() > 60 && all.iter().all(|setting| !setting.value.contains("hidden")));
    let matching = settings(&broker, "matching.").await;
    assert!(matching.len() > 5 && matching.len() < all.len());
}
