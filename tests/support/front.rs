//! A broker behind its router, and the bodies of requests to it.

use std::sync::Arc;

use axum::Router;
use serde_json::json;
use snowflake_broker::bridges::BridgeList;
use snowflake_broker::broker::{Broker, Knowledge, PollInterval};
use snowflake_broker::{http as front, matching};

/// A bridge beside the default one.
pub(crate) const SECOND_BRIDGE: &str = "00000B23E1107BB62ABFC40DDCC8824814F80A72";

/// A broker that is being driven, and its router.
pub(crate) struct Front {
    pub(crate) broker: Arc<Broker>,
    pub(crate) router: Router,
}

impl Front {
    pub(crate) fn new(settings: matching::Settings) -> Self {
        let knowledge = Knowledge {
            bridges: BridgeList::parse(&format!(
                "{{\"displayName\":\"one\",\"webSocketAddress\":\"wss://one.example/\",\"fingerprint\":\"2B280B23E1107BB62ABFC40DDCC8824814F80A72\"}}\n\
                 {{\"displayName\":\"two\",\"webSocketAddress\":\"wss://two.example/\",\"fingerprint\":\"{SECOND_BRIDGE}\"}}\n"
            ))
            .unwrap(),
            allowed_relay_pattern: "example$".into(),
            default_relay_pattern: "".into(),
            poll_interval: PollInterval::default(),
        };
        let broker = Arc::new(Broker::new(settings, knowledge));
        let driven = Arc::clone(&broker);
        tokio::spawn(async move { driven.drive().await });
        let router = front::router(Arc::clone(&broker), front::Settings::default(), false);
        Self { broker, router }
    }
}

/// An offer whose SDP is `name`.
pub(crate) fn offer(name: &str) -> String {
    json!({"type": "offer", "sdp": name}).to_string()
}

/// An answer whose SDP is `name` and has a candidate.
pub(crate) fn answer(name: &str) -> String {
    json!({"type": "answer", "sdp": format!("{name}\r\na=candidate:1\r\n")}).to_string()
}

/// The body of a client's poll.
pub(crate) fn client_poll(name: &str, nat: &str) -> String {
    format!("1.0\n{}", json!({"offer": offer(name), "nat": nat}))
}

/// The body of a proxy's poll.
pub(crate) fn proxy_poll(sid: &str, nat: &str) -> String {
    json!({"Sid": sid, "Version": "1.3", "Type": "standalone", "NAT": nat, "Clients": 0})
        .to_string()
}

/// The body of a proxy's answer.
pub(crate) fn proxy_answer(sid: &str, name: &str) -> String {
    json!({"Version": "1.3", "Sid": sid, "Answer": answer(name)}).to_string()
}
