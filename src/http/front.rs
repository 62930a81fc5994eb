//! The state that the handlers share.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::request::Parts;
use ipnet::IpNet;

use crate::broker::Broker;
use crate::listener::accounts::Accounts;
use crate::metrics::ProcessFigures;

use super::metrics_log::{LogPage, ReadMetricsLog};
use super::operator;
use super::settings::Settings;
use super::status::{Audience, FigurePages};

/// Sources of what the front does not know itself; reading files is not its business.
#[derive(Clone)]
pub struct Sources {
    /// Reads the metrics log; `None` where there is none.
    pub metrics_log: Option<ReadMetricsLog>,
    /// The accounts whose memory requests take.
    pub accounts: Arc<Accounts>,
    /// Asks the operating system for the figures of this process.
    pub process_figures: fn() -> Option<ProcessFigures>,
}

/// A broker as its HTTP endpoints see it.
pub(super) struct HttpFront {
    pub(super) broker: Arc<Broker>,
    pub(super) settings: Settings,
    pub(super) accounts: Arc<Accounts>,
    pub(super) figures: FigurePages,
    pub(super) metrics_log: LogPage,
    /// The networks of operators who see everything on the public port, too.
    operator_networks: ArcSwap<Vec<IpNet>>,
}

impl HttpFront {
    pub(super) fn new(broker: Arc<Broker>, settings: Settings, sources: Sources) -> Self {
        let figures = FigurePages::new(Arc::clone(&broker), sources.process_figures);
        Self {
            broker,
            settings,
            accounts: sources.accounts,
            figures,
            metrics_log: LogPage::new(sources.metrics_log),
            operator_networks: ArcSwap::default(),
        }
    }

    pub(super) fn set_operator_networks(&self, networks: Vec<IpNet>) {
        self.operator_networks.store(Arc::new(networks));
    }

    /// For whom the figures are that a request to the public port asks for.
    pub(super) fn audience(&self, head: &Parts) -> Audience {
        if operator::is_from(&self.operator_networks.load(), head, &self.settings) {
            Audience::Operator
        } else {
            Audience::Public
        }
    }
}
