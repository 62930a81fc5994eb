//! The administration and the configuration file accept the same values.

use std::fs;

use prop::sample::select;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use prost_types::{Duration, FieldMask};
use snowflake_broker::config::{Inputs, load};
use snowflake_broker::proto::admin::v1::admin_client::AdminClient;
use snowflake_broker::proto::admin::v1::{
    Limits, NetworkShare, PollIntervals, RelayPolicy, SetLimitsRequest, SetLogFilterRequest,
    SetPollIntervalsRequest, SetRelayPolicyRequest, SetSupplyRequest, Supply,
};
use tonic::{Code, Status};

use crate::broker::Broker;
use crate::settings::setting;

const CASES: usize = 500;

/// A change by the administration, and its equivalent in a file.
#[derive(Clone, Debug)]
struct Change {
    key: String,
    toml: String,
    request: Request,
}

#[derive(Clone, Debug)]
enum Request {
    Intervals(SetPollIntervalsRequest),
    Relays(SetRelayPolicyRequest),
    Limits(SetLimitsRequest),
    Supply(SetSupplyRequest),
    LogFilter(SetLogFilterRequest),
}

fn mask(field: &str) -> FieldMask {
    let paths = vec![field.to_owned()];
    FieldMask { paths }
}

fn interval(field: &str, seconds: i64, nanos: i32) -> Change {
    let value = Some(Duration { seconds, nanos });
    let mut intervals = PollIntervals::default();
    let place = match field {
        "open" => &mut intervals.open,
        "moderate" => &mut intervals.moderate,
        "strict" => &mut intervals.strict,
        "refused" => &mut intervals.refused,
        _ => &mut intervals.overloaded,
    };
    *place = value;
    Change {
        key: format!("poll_interval.{field}"),
        toml: format!("\"{seconds}s {nanos}ns\""),
        request: Request::Intervals(SetPollIntervalsRequest {
            poll_intervals: Some(intervals),
            update_mask: Some(mask(field)),
            validate_only: false,
        }),
    }
}

fn relay_pattern(field: &str, pattern: &str) -> Change {
    let mut policy = RelayPolicy::default();
    let place = match field {
        "allowed_relay_pattern" => &mut policy.allowed_relay_pattern,
        _ => &mut policy.default_relay_pattern,
    };
    *place = Some(pattern.to_owned());
    Change {
        key: format!("broker.{field}"),
        toml: text(pattern),
        request: Request::Relays(SetRelayPolicyRequest {
            relay_policy: Some(policy),
            update_mask: Some(mask(field)),
            validate_only: false,
        }),
    }
}

fn limit(field: &str, value: u32) -> Change {
    let mut limits = Limits::default();
    let place = match field {
        "proxy_polls_per_minute" => &mut limits.proxy_polls_per_minute,
        "proxy_poll_burst" => &mut limits.proxy_poll_burst,
        "client_polls_per_minute" => &mut limits.client_polls_per_minute,
        "client_poll_burst" => &mut limits.client_poll_burst,
        "answers_per_minute" => &mut limits.answers_per_minute,
        "answer_burst" => &mut limits.answer_burst,
        "intermediary_factor" => &mut limits.intermediary_factor,
        _ => &mut limits.unconfirmed_factor,
    };
    *place = Some(value);
    limits_change(field, value.to_string(), limits)
}

fn networks(field: &str, networks: Vec<String>) -> Change {
    let written: Vec<String> = networks.iter().map(|network| text(network)).collect();
    let mut limits = Limits::default();
    match field {
        "exempt" => limits.exempt = networks,
        _ => limits.intermediaries = networks,
    }
    limits_change(field, format!("[{}]", written.join(", ")), limits)
}

fn limits_change(field: &str, toml: String, limits: Limits) -> Change {
    Change {
        key: format!("limits.{field}"),
        toml,
        request: Request::Limits(SetLimitsRequest {
            limits: Some(limits),
            update_mask: Some(mask(field)),
            validate_only: false,
        }),
    }
}

fn share(field: &str, value: u32) -> Change {
    let mut supply = Supply::default();
    let place = match field {
        "first_come" => &mut supply.first_come,
        "recent_clients" => &mut supply.recent_clients,
        "matches_per_minute" => &mut supply.matches_per_minute,
        "explore_every" => &mut supply.explore_every,
        "unanswered" => &mut supply.unanswered,
        "parked_per_source" => &mut supply.parked_per_source,
        "sources_per_network" => &mut supply.sources_per_network,
        _ => &mut supply.max_client_networks,
    };
    *place = Some(value);
    supply_change(field, value.to_string(), supply)
}

fn network_share(network: &str, share: u32) -> Change {
    let toml = format!("{{ {} = {share} }}", text(network));
    let network = network.to_owned();
    let supply = Supply {
        networks: vec![NetworkShare { network, share }],
        ..Supply::default()
    };
    supply_change("networks", toml, supply)
}

fn supply_change(field: &str, toml: String, supply: Supply) -> Change {
    Change {
        key: format!("supply.{field}"),
        toml,
        request: Request::Supply(SetSupplyRequest {
            supply: Some(supply),
            update_mask: Some(mask(field)),
            validate_only: false,
        }),
    }
}

/// Only validated, since the test looks for lines in the log.
fn log_filter(filter: &str) -> Change {
    Change {
        key: "telemetry.log_level".to_owned(),
        toml: text(filter),
        request: Request::LogFilter(SetLogFilterRequest {
            filter: filter.to_owned(),
            ttl: None,
            validate_only: true,
        }),
    }
}

fn text(value: &str) -> String {
    toml::Value::from(value).to_string()
}

/// Changes with values around every bound.
fn changes() -> impl Strategy<Value = Change> {
    let day = 24 * 60 * 60;
    let seconds = prop_oneof![
        select(vec![-1, 0, 1, 2, day - 1, day, day + 1, 1_000_000]),
        0..2 * day
    ];
    let nanos = select(vec![0, 1, 1_000_000, 999_999_999]);
    let intervals = select(vec!["open", "moderate", "strict", "refused", "overloaded"]);
    let patterns = prop_oneof![
        "[a-c*.$^ !:/_\"-]{0,6}",
        select(vec![
            "exa mple!$",
            "^snowflake.torproject.net$",
            "*.example",
            "wss://a.example/",
            "",
            "$",
            "::1$",
        ])
        .prop_map(str::to_owned),
    ];
    let relays = select(vec!["allowed_relay_pattern", "default_relay_pattern"]);
    let numbers = prop_oneof![
        select(vec![0, 1, 2, 1_000, 1_001, 1_000_000, 1_000_001, u32::MAX]),
        any::<u32>()
    ];
    let limits = select(vec![
        "proxy_polls_per_minute",
        "proxy_poll_burst",
        "client_polls_per_minute",
        "client_poll_burst",
        "answers_per_minute",
        "answer_burst",
        "intermediary_factor",
        "unconfirmed_factor",
    ]);
    let network = select(vec![
        "192.0.2.0/24",
        "192.0.2.1/24",
        "192.0.2.1",
        "192.0.2.0/33",
        "::/0",
        "2001:DB8::/32",
        "google",
        "gogle",
        "",
        " ::/0",
    ])
    .prop_map(str::to_owned);
    let shares = select(vec![
        "first_come",
        "recent_clients",
        "matches_per_minute",
        "explore_every",
        "unanswered",
        "parked_per_source",
        "sources_per_network",
        "max_client_networks",
    ]);
    let lists = select(vec!["exempt", "intermediaries"]);
    let filters = select(vec![
        "info",
        "inof",
        "INFO",
        "off",
        "",
        "a=b=c",
        "info,snowflake_broker::http=debug",
        "info,=",
        "x y",
        "5",
    ]);
    prop_oneof![
        2 => (intervals, seconds, nanos).prop_map(|(field, s, ns)| interval(field, s, ns)),
        2 => (relays, patterns).prop_map(|(field, pattern)| relay_pattern(field, &pattern)),
        2 => (shares, numbers.clone()).prop_map(|(field, number)| share(field, number)),
        1 => (network.clone(), numbers.clone())
            .prop_map(|(network, number)| network_share(&network, number)),
        3 => (limits, numbers).prop_map(|(field, number)| limit(field, number)),
        2 => (lists, prop::collection::vec(network, 0..3))
            .prop_map(|(field, list)| networks(field, list)),
        1 => filters.prop_map(log_filter),
    ]
}

/// The value of the key in a broker with this configuration file; `None` if it is
/// refused.
fn in_a_file(change: &Change) -> Option<String> {
    let (section, name) = change.key.split_once('.').unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    let toml = format!(
        "tls.disable = true\n[{section}]\n{name} = {}\n",
        change.toml
    );
    fs::write(&file, toml).unwrap();
    let loaded = load(&Inputs {
        files: vec![file],
        default_file: "/nonexistent".into(),
        environment: Vec::new(),
        flags: Vec::new(),
        named_files_are_elsewhere: true,
    });
    let settings = loaded.ok()?.config.flatten();
    settings
        .into_iter()
        .find_map(|(key, value)| value.filter(|_| key == change.key))
}

#[tokio::test]
async fn what_the_administration_takes_a_file_takes_and_the_other_way() {
    let broker = Broker::start("").await;
    let mut client = broker.client().await;
    let mut runner = TestRunner::default();
    let known = [
        limit("intermediary_factor", 1_000_000),
        interval("open", 0, 1_000_000),
        relay_pattern("allowed_relay_pattern", "exa mple!$"),
    ];
    for change in &known {
        assert_eq!(in_a_file(change), None, "{change:?}");
    }
    let changes = changes();
    let tried = (0..CASES).map(|_| changes.new_tree(&mut runner).unwrap().current());
    let mut taken = 0;
    for change in known.into_iter().chain(tried) {
        let in_a_file = in_a_file(&change);
        match (set(&mut client, change.request.clone()).await, &in_a_file) {
            (Err(refused), None) => assert_eq!(refused.code(), Code::InvalidArgument),
            (Ok(()), Some(_)) if matches!(change.request, Request::LogFilter(_)) => taken += 1,
            (Ok(()), Some(value)) => {
                let (in_force, source) = setting(&broker, &change.key).await;
                let expected = (value.clone(), "admin".to_owned());
                assert_eq!((in_force, source), expected, "{change:?}");
                taken += 1;
            }
            (by_admin, in_a_file) => panic!("{change:?}: {by_admin:?}, but {in_a_file:?}"),
        }
    }
    assert!(taken > CASES / 10 && taken < CASES, "{taken}");
}

async fn set(
    client: &mut AdminClient<tonic::transport::Channel>,
    request: Request,
) -> Result<(), Status> {
    match request {
        Request::Intervals(request) => client.set_poll_intervals(request).await.map(drop),
        Request::Relays(request) => client.set_relay_policy(request).await.map(drop),
        Request::Supply(request) => client.set_supply(request).await.map(drop),
        Request::Limits(request) => client.set_limits(request).await.map(drop),
        Request::LogFilter(request) => client.set_log_filter(request).await.map(drop),
    }
}
