//! The source of the certificate, and its renewal.

mod cache;
mod files;
mod orders;
mod store;
mod warnings;

use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;

use crate::app::supervisor::Supervisor;
use crate::config::Config;
use crate::listener::ChooseTls;
use crate::metrics::Metrics;
use crate::tls::{CertResolver, ServerConfigs, acme};

pub(super) use cache::{check as check_cache, warning as cache_warning};
pub(super) use files::CertificatePair;
pub(super) use warnings::{remind, warnings};

use files::WatchedFiles;
use orders::Orders;
use store::CertStore;

pub(super) use store::timestamp;

/// The source of the certificate while the program runs.
#[derive(Clone)]
pub(super) enum Certificates {
    /// No certificate: TLS is terminated elsewhere.
    Plaintext,
    /// `tls.cert` and `tls.key`.
    Files(Arc<WatchedFiles>),
    /// A certificate authority.
    Acme(Arc<Orders>),
}

/// Checks the files named in the configuration.
pub(super) fn check_files(config: &Config) -> anyhow::Result<()> {
    if !config.acme.hostnames.is_empty() {
        return orders::authority(&config.acme).map(drop);
    }
    files::read(&config.tls).map(drop)
}

impl Certificates {
    /// Reads the current certificate and begins to serve it.
    pub(super) fn open(config: &Config, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        if !config.acme.hostnames.is_empty() {
            let orders = Orders::open(&config.acme, metrics)?;
            return Ok(Self::Acme(Arc::new(orders)));
        }
        let Some(pair) = files::read(&config.tls)? else {
            return Ok(Self::Plaintext);
        };
        let store = CertStore::new(CertResolver::default(), metrics);
        Ok(Self::Files(Arc::new(WatchedFiles::new(pair, store))))
    }

    /// Chooses the TLS configuration of handshakes; `None` for plain HTTP.
    pub(super) fn tls(&self) -> anyhow::Result<Option<Arc<ChooseTls>>> {
        let resolver = match self {
            Self::Plaintext => return Ok(None),
            Self::Files(files) => files.resolver(),
            Self::Acme(orders) => orders.resolver(),
        };
        let configs = ServerConfigs::new(&resolver)?;
        Ok(Some(Arc::new(move |hello| configs.choose(hello))))
    }

    /// Begins to watch for new certificates. `serve` handles HTTP-01 requests, on the
    /// inherited sockets if there are any.
    pub(super) async fn keep(
        &self,
        config: &Config,
        inherited: Vec<TcpListener>,
        serve: impl Fn(Router, TcpListener),
        supervisor: &Supervisor,
    ) -> anyhow::Result<()> {
        match self {
            Self::Plaintext => {}
            Self::Files(files) => {
                supervisor.keep("the watch on certificates", Arc::clone(files).watch());
            }
            Self::Acme(orders) => {
                let (proofs, listeners) = orders::proofs(&config.acme, inherited).await?;
                for listener in listeners {
                    serve(acme::router(orders.challenges()), listener);
                }
                supervisor.keep(
                    "the orders of certificates",
                    Arc::clone(orders).keep(proofs),
                );
            }
        }
        Ok(())
    }

    /// Reads and checks the files named in a new configuration, if certificates come from
    /// files.
    pub(super) fn read(&self, config: &Config) -> anyhow::Result<Option<CertificatePair>> {
        match self {
            Self::Files(_) => files::read(&config.tls),
            Self::Plaintext | Self::Acme(_) => Ok(None),
        }
    }

    /// The reason why the current certificate is kept because it is better than the new
    /// one: the setting, file and fault. `None` if the new one will be served.
    pub(super) fn objection(&self, pair: Option<&CertificatePair>) -> Option<String> {
        match (self, pair) {
            (Self::Files(files), Some(pair)) => files.objection(pair),
            _ => None,
        }
    }

    /// Serves the new certificate, unless there is an objection.
    pub(super) fn apply(&self, pair: Option<CertificatePair>) {
        if let (Self::Files(files), Some(pair)) = (self, pair) {
            files.apply(pair);
        }
    }
}

/// The kind of source that a configuration names. It changes only with a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CertificateSource {
    Plaintext,
    Files,
    Acme,
}

impl CertificateSource {
    pub(super) fn of(config: &Config) -> Self {
        if !config.acme.hostnames.is_empty() {
            Self::Acme
        } else if config.tls.cert.is_some() {
            Self::Files
        } else {
            Self::Plaintext
        }
    }
}
