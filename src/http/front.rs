//! The state shared by all handlers.

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

/// Sources of data from outside the front, such as files.
#[derive(Clone)]
pub struct Sources {
    /// Reads the metrics log; `None` if there is none.
    pub metrics_log: Option<ReadMetricsLog>,
    /// The accounts that pay for the memory of requests.
    pub accounts: Arc<Accounts>,
    /// Reads the figures of this process from the operating system.
    pub process_figures: fn() -> Option<ProcessFigures>,
}

/// The broker and everything else that its HTTP endpoints need.
pub(super) struct HttpFront {
    pub(super) broker: Arc<Broker>,
    pub(super) settings: Settings,
    pub(super) accounts: Arc<Accounts>,
    pub(super) figures: FigurePages,
    pub(super) metrics_log: LogPage,
    /// The networks of operators, who get all metrics on the public port, too.
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

    /// The audience of a request to the public port.
    pub(super) fn audience(&self, head: &Parts) -> Audience {
        if operator::is_from(&self.operator_networks.load(), head, &self.settings) {
            Audience::Operator
        } else {
            Audience::Public
        }
    }
}
