//! The calls and their required roles, from the protocol file.

const PROTO: &str = include_str!("../../proto/snowflake/broker/admin/v1/admin.proto");

/// A call of the service `Admin`.
#[derive(Debug)]
pub(crate) struct Rpc {
    pub(crate) name: &'static str,
    pub(crate) needs_operator: bool,
}

/// All calls.
pub(crate) fn all() -> Vec<Rpc> {
    let mut rpcs = Vec::new();
    let mut needs_operator = false;
    for line in PROTO.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("rpc ") {
            let (name, _) = rest.split_once('(').unwrap();
            rpcs.push(Rpc {
                name,
                needs_operator,
            });
            needs_operator = false;
        } else if line.starts_with("// Needs `operator`.") {
            needs_operator = true;
        }
    }
    assert!(rpcs.iter().any(|rpc| rpc.needs_operator));
    assert!(rpcs.iter().any(|rpc| !rpc.needs_operator));
    rpcs
}

/// A request that is valid, or nearly so, and does not stop the broker.
pub(crate) fn request(rpc: &str) -> &'static str {
    match rpc {
        "Drain" => r#"{"grace": "3600s"}"#,
        "ReplaceBridges" => {
            r#"{"bridges": [{"fingerprint": "0123456789abcdef0123456789abcdef01234567", "relay_url": "wss://one.example/"}]}"#
        }
        "SetLimits" => r#"{"limits": {"answer_burst": 7}}"#,
        "SetLogFilter" => r#"{"filter": "debug", "ttl": "60s"}"#,
        "SetPollIntervals" => r#"{"poll_intervals": {"open": "30s"}}"#,
        "SetRelayPolicy" => r#"{"relay_policy": {"allowed_relay_pattern": "one.example$"}}"#,
        "ListParkedPolls" => r#"{"filter": "pool = open AND waiting > 1s"}"#,
        "ListBridges" | "ListPeers" => r#"{"page_size": 10}"#,
        "SetBridge" => {
            r#"{"bridge": {"fingerprint": "0123456789ABCDEF0123456789ABCDEF01234567", "weight": 2, "state": "BRIDGE_STATE_DRAIN"}, "validate_only": true}"#
        }
        "SetSupply" => {
            r#"{"supply": {"unanswered": 7, "networks": [{"network": "192.0.2.0/24", "share": 2}]}}"#
        }
        "SetPolicy" => {
            r#"{"policy": {"rules": [{"name": "a", "action": "last", "proxy": {"types": ["webext"]}, "share": 0.5}]}}"#
        }
        "ExplainPolicy" => r#"{"country": "RU", "nat": "restricted"}"#,
        "GetSourceDistribution" => r#"{"tops": [1, 5]}"#,
        "GetConfig" => r#"{"key_prefix": "matching."}"#,
        "WatchStatus" => r#"{"interval": "0.1s"}"#,
        "CreatePrivatePool" => r#"{"private_pool": {"name": "a", "reserve": 7}}"#,
        "DeletePrivatePool" => r#"{"name": "a"}"#,
        "GetPolicy" | "GetStatus" | "GetStats" | "GetImpact" | "ListNodes" | "ListPrivatePools"
        | "Reload" | "Resume" => "{}",
        other => panic!("no test calls {other}"),
    }
}
