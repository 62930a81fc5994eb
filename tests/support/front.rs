//! A broker behind its endpoints. Every test checks that it neither records addresses and
//! session descriptions nor shows them in its metrics.

use std::sync::{Arc, LazyLock};
use std::time::UNIX_EPOCH;

use opentelemetry::global::BoxedTracer;
use snowflake_broker::bridges::BridgeList;
use snowflake_broker::broker::limits::{self, Limits};
use snowflake_broker::broker::{Broker, Directory, RefusalForm};
use snowflake_broker::geoip::GeoIp;
use snowflake_broker::http::Endpoints;
use snowflake_broker::listener::accounts::{Accounts, Bounds};
use snowflake_broker::matching::SupplySettings;
use snowflake_broker::metrics::Metrics;
use snowflake_broker::metrics::distinct_ips::WindowKey;
use snowflake_broker::{http as front, matching, outcomes};

use crate::support::counted::count;
use crate::support::private_pools;
use crate::support::watched::{self, WATCH};

/// A second bridge, besides the default one.
pub(crate) const SECOND_BRIDGE: &str = "00000B23E1107BB62ABFC40DDCC8824814F80A72";

const LIMIT_KEY: [u8; 16] = [8; 16];

/// A broker with a running driver, and its endpoints.
pub(crate) struct Front {
    pub(crate) broker: Arc<Broker>,
    pub(crate) endpoints: Endpoints,
}

impl Front {
    pub(crate) fn new(settings: matching::Settings) -> Self {
        Self::with(settings, front::Settings::default(), GeoIp::default())
    }

    pub(crate) fn with(settings: matching::Settings, http: front::Settings, geoip: GeoIp) -> Self {
        Self::traced(settings, http, geoip, None)
    }

    /// Creates a broker that traces rendezvous, if there is a tracer.
    pub(crate) fn traced(
        settings: matching::Settings,
        http: front::Settings,
        geoip: GeoIp,
        tracer: Option<BoxedTracer>,
    ) -> Self {
        let limits = limits::Settings::default();
        Self::limited(settings, http, geoip, tracer, limits)
    }

    /// Creates a broker with these limits.
    pub(crate) fn limited(
        settings: matching::Settings,
        http: front::Settings,
        geoip: GeoIp,
        tracer: Option<BoxedTracer>,
        limits: limits::Settings,
    ) -> Self {
        LazyLock::force(&WATCH);
        let directory = Directory {
            bridges: BridgeList::parse(&format!(
                "{{\"displayName\":\"one\",\"webSocketAddress\":\"wss://one.example/\",\"fingerprint\":\"2B280B23E1107BB62ABFC40DDCC8824814F80A72\"}}\n\
                 {{\"displayName\":\"two\",\"webSocketAddress\":\"wss://two.example/\",\"fingerprint\":\"{SECOND_BRIDGE}\"}}\n"
            ))
            .unwrap(),
            allowed_relay_pattern: "example$".into(),
            geoip: Arc::new(geoip),
            ..Directory::default()
        };
        let metrics = Arc::new(Metrics::new(UNIX_EPOCH, WindowKey::from([7; 16])));
        let limits = Arc::new(Limits::new(limits, LIMIT_KEY.into()));
        let pools = private_pools::none_yet(&limits);
        let broker = Broker::new(settings, directory, metrics, 7)
            .limited(limits)
            .beside(Arc::clone(&pools))
            .sharing(SupplySettings::default(), LIMIT_KEY.into())
            .learning(outcomes::Settings::default(), LIMIT_KEY.into())
            .remembering_proxies(LIMIT_KEY.into())
            .traced(tracer);
        let broker = Arc::new(broker);
        let driven = Arc::clone(&broker);
        tokio::spawn(async move { driven.drive().await });
        pools.stand_beside(&broker);
        tokio::spawn(async move { pools.drive().await });
        let sources = front::Sources {
            metrics_log: None,
            accounts: Accounts::new(Bounds {
                bytes: http.max_bytes_in_flight,
                ..Bounds::default()
            }),
            process_figures: || None,
        };
        let endpoints = front::router(Arc::clone(&broker), http, sources);
        Self { broker, endpoints }
    }

    /// Tells proxies over a limit so, in place of `no match`.
    pub(crate) fn outspoken(self) -> Self {
        self.broker.control().update_directory(|directory| {
            let forms = &mut directory.poll_interval.refusals_as;
            forms.polled_too_soon = RefusalForm::Status;
        });
        self
    }

    /// Has the bridges that all brokers know from the start, and allows relays of their name only.
    pub(crate) fn begin_with_the_defaults(&self) {
        self.broker.control().update_directory(|directory| {
            directory.bridges = BridgeList::default();
            directory.allowed_relay_pattern = "^snowflake.torproject.net$".into();
        });
    }

    /// The sum of a family's series that have all these labels, each written as
    /// `name="value"`.
    pub(crate) fn count(&self, family: &str, labels: &[&str]) -> u64 {
        count(&self.broker, family, labels)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        watched::assert_clean(&self.broker);
    }
}
