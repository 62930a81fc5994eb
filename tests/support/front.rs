//! A broker behind its router.

use std::sync::Arc;

use axum::Router;
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
