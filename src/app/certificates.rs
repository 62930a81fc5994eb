//! The certificate that is served: where it comes from, and its successors.

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

/// The way to the certificate, for as long as the program runs.
#[derive(Clone)]
pub(super) enum Certificates {
    /// There is none: TLS ends elsewhere.
    Plaintext,
    /// `tls.cert` and `tls.key`.
    Files(Arc<WatchedFiles>),
    /// A certificate authority.
    Acme(Arc<Orders>),
}

/// Tries the files that the configuration names.
pub(super) fn check_files(config: &Config) -> anyhow::Result<()> {
    if !config.acme.hostnames.is_empty() {
        return orders::authority(&config.acme).map(drop);
    }
    files::read(&config.tls).map(drop)
}

impl Certificates {
    /// Reads what there is and begins to serve it.
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

    /// Chooses what handshakes are made with; none in the clear.
    pub(super) fn tls(&self) -> anyhow::Result<Option<Arc<ChooseTls>>> {
        let resolver = match self {
            Self::Plaintext => return Ok(None),
            Self::Files(files) => files.resolver(),
            Self::Acme(orders) => orders.resolver(),
        };
        let configs = ServerConfigs::new(&resolver)?;
        Ok(Some(Arc::new(move |hello| configs.choose(hello))))
    }

    /// Looks for successors from now on; `serve` is for what the authority looks
    /// at over HTTP, on the inherited sockets if there are any.
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

    /// Reads and checks the files that a new configuration names, if files are
    /// what is served.
    pub(super) fn read(&self, config: &Config) -> anyhow::Result<Option<CertificatePair>> {
        match self {
            Self::Files(_) => files::read(&config.tls),
            Self::Plaintext | Self::Acme(_) => Ok(None),
        }
    }

    /// The reason why the certificate that is served is better than what was read, and is kept:
    /// its setting, its file and its fault. None if what was read will be served.
    pub(super) fn objection(&self, pair: Option<&CertificatePair>) -> Option<String> {
        match (self, pair) {
            (Self::Files(files), Some(pair)) => files.objection(pair),
            _ => None,
        }
    }

    /// Serves what was read, unless there is an objection.
    pub(super) fn apply(&self, pair: Option<CertificatePair>) {
        if let (Self::Files(files), Some(pair)) = (self, pair) {
            files.apply(pair);
        }
    }
}

/// The way to the certificate that a configuration names. It changes with a restart
/// only.
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
