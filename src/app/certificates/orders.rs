//! Orders of certificates by ACME: the first one and renewals.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use super::cache::{Cache, SavedCertificate};
use super::store::{CertStore, timestamp, valid_until};
use crate::app::entropy;
use crate::app::files::read_file;
use crate::app::listen::cannot_listen;
use crate::broker::clock;
use crate::causes::{short_line, with_causes};
use crate::config::WITHOUT_HTTP_01;
use crate::listener;
use crate::metrics::Metrics;
use crate::metrics::labels::OrderOutcome;
use crate::telemetry::SETTINGS;
use crate::tls::acme::{
    Authority, CertificateOrder, Challenges, Issued, OrderError, Proof, RETRIES, Settings,
    renewal_time,
};
use crate::tls::{CertResolver, Certificate, Flaw};

/// The time limit for an order.
const ORDER_TIMEOUT: Duration = Duration::from_mins(5);
/// The interval at which the wall clock is checked, since it may be set; and the minimum
/// time from one certificate to the next order, since the clock may be wrong.
const LOOK_INTERVAL: Duration = Duration::from_hours(1);

/// The maximum length of a chain, in PEM: clients take messages of at most 64 KiB, in DER.
const CHAIN_MAX: usize = 64 * 1024;

/// Orders from one certificate authority.
pub(in crate::app) struct Orders {
    settings: Settings,
    authority: Authority,
    challenges: Arc<Challenges>,
    cache: Cache,
    store: CertStore,
    /// The time at which the saved certificate must be replaced; `None` means at once.
    first_due: Option<SystemTime>,
}

/// The state of the orders.
struct Progress {
    due: Option<SystemTime>,
    /// The methods of proof, with the next one to try first.
    proofs: Vec<Proof>,
    /// The number of consecutive failures.
    failures: u32,
    /// A certificate that could not be saved yet.
    unsaved: Option<SavedCertificate>,
}

impl Orders {
    /// Serves the last saved certificate, if there is one, until a better one is issued.
    pub(super) fn open(settings: &Settings, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let challenges = Arc::<Challenges>::default();
        let mut orders = Self {
            settings: Settings {
                hostnames: normalised(&settings.hostnames),
                ..settings.clone()
            },
            authority: authority(settings)?,
            challenges: Arc::clone(&challenges),
            cache: Cache::open(&settings.cert_cache)?,
            store: CertStore::new(CertResolver::answering(challenges), metrics),
            first_due: None,
        };
        if let Some(saved) = orders.cache.certificate() {
            orders.first_due = orders.serve_saved(&saved);
        } else {
            tracing::info!("no certificate yet: TLS handshakes fail until one is issued");
        }
        Ok(orders)
    }

    pub(super) fn resolver(&self) -> Arc<CertResolver> {
        self.store.resolver()
    }

    pub(super) fn challenges(&self) -> Arc<Challenges> {
        Arc::clone(&self.challenges)
    }

    /// Serves a saved certificate, even one that has expired or is for other names or
    /// from another authority: it is better than none. Returns the time at which it must
    /// be replaced.
    fn serve_saved(&self, saved: &SavedCertificate) -> Option<SystemTime> {
        let certificate = match Certificate::from_pem(saved.chain.as_bytes(), saved.key.as_bytes())
        {
            Ok(certificate) => certificate,
            Err(error) => {
                tracing::warn!("acme.cert_cache: cannot use the saved certificate: {error}");
                return None;
            }
        };
        tracing::info!(
            until = valid_until(&certificate),
            "serving the saved certificate"
        );
        let fits = saved.directory == self.settings.directory
            && saved.hostnames == self.settings.hostnames;
        // An approaching end is left to the next order.
        let flaws = certificate.flaws(clock::wall_clock()).into_iter();
        for flaw in flaws.filter(|flaw| matches!(flaw, Flaw::Expired(_) | Flaw::NotYetValid(_))) {
            tracing::warn!("acme.cert_cache: the saved certificate {flaw}");
        }
        let validity = certificate.validity();
        self.store.set(certificate);
        fits.then(|| renewal_time(validity, entropy::jitter()))
    }

    /// Orders a certificate whenever one is due.
    pub(super) async fn keep(self: Arc<Self>, proofs: Vec<Proof>) {
        let mut progress = Progress {
            due: self.first_due,
            proofs,
            failures: 0,
            unsaved: None,
        };
        loop {
            self.wait(&mut progress).await;
            self.order(&mut progress).await;
        }
    }

    /// Waits until an order is due by the wall clock.
    async fn wait(&self, progress: &mut Progress) {
        while let Some(due) = progress.due {
            self.save(progress).await;
            match due.duration_since(clock::wall_clock()) {
                Ok(left) if !left.is_zero() => sleep(left.min(LOOK_INTERVAL)).await,
                _ => return,
            }
        }
    }

    /// Places one order. Whatever the outcome, the served certificate never gets worse.
    async fn order(&self, progress: &mut Progress) {
        let names = self.settings.hostnames.join(", ");
        let proof = progress.proofs[0];
        tracing::info!(names, proof = %proof, "ordering a certificate");
        let ordered = timeout(ORDER_TIMEOUT, self.try_order(proof)).await;
        match ordered.unwrap_or(Err(OrderError::TooLong)) {
            Ok((certificate, saved)) => {
                self.store.order_ended(OrderOutcome::Issued);
                let until = valid_until(&certificate);
                let validity = certificate.validity();
                self.store.set(certificate);
                tracing::info!(names, until, "serving a new certificate");
                progress.failures = 0;
                progress.unsaved = Some(saved);
                self.save(progress).await;
                progress.due = Some(renewal_time(validity, entropy::jitter()));
                sleep(LOOK_INTERVAL).await;
            }
            Err(error) => self.fail(progress, error).await,
        }
    }

    async fn fail(&self, progress: &mut Progress, error: OrderError) {
        let outcome = if error.is_refusal() {
            // Use another method next time, if there is one.
            progress.proofs.rotate_left(1);
            OrderOutcome::Refused
        } else {
            OrderOutcome::Failed
        };
        self.store.order_ended(outcome);
        if matches!(error, OrderError::AccountKey) {
            self.cache.forget_account();
        }
        progress.failures = progress.failures.saturating_add(1);
        let delay = RETRIES.delay(progress.failures, entropy::jitter());
        let again = timestamp(clock::wall_clock() + delay);
        // The authority may say anything.
        let problem = short_line(&with_causes(&error));
        tracing::error!(again, "cannot get a certificate: {problem}");
        sleep(delay).await;
    }

    async fn try_order(&self, proof: Proof) -> Result<(Certificate, SavedCertificate), OrderError> {
        let Settings {
            directory,
            hostnames,
            email,
            ..
        } = &self.settings;
        let order = CertificateOrder {
            names: hostnames,
            email: email.as_deref(),
            proof,
        };
        let issued = order
            .place(&self.authority, &self.challenges, &self.cache)
            .await?;
        let certificate = self.usable(&issued)?;
        let saved = SavedCertificate::new(directory, hostnames, issued);
        Ok((certificate, saved))
    }

    /// The certificate, unless clients can do less with it than with the one that is served.
    fn usable(&self, issued: &Issued) -> Result<Certificate, OrderError> {
        if issued.chain.len() > CHAIN_MAX {
            return Err(OrderError::LongChain(issued.chain.len()));
        }
        let certificate = Certificate::from_pem(issued.chain.as_bytes(), issued.key.as_bytes())?;
        if let Some(name) = certificate.lacks(&self.settings.hostnames) {
            return Err(OrderError::OtherNames(name.to_owned()));
        }
        let now = clock::wall_clock();
        if let Some(&flaw) = certificate.flaws(now).first()
            && self.store.has_better_than(certificate.validity(), now)
        {
            return Err(OrderError::Worse(flaw));
        }
        Ok(certificate)
    }

    /// Saves the certificate unless it is saved already. Failures are retried later.
    async fn save(&self, progress: &mut Progress) {
        let Some(certificate) = &progress.unsaved else {
            return;
        };
        match self.cache.save_certificate(certificate).await {
            Ok(()) => progress.unsaved = None,
            Err(error) => {
                tracing::warn!(%error, "acme.cert_cache: cannot save the certificate");
            }
        }
    }
}

/// The names in lower case and without duplicates, as sent to the authority.
fn normalised(hostnames: &[String]) -> Vec<String> {
    let names: BTreeSet<String> = hostnames
        .iter()
        .map(|name| name.to_ascii_lowercase())
        .collect();
    names.into_iter().collect()
}

/// The certificate authority for orders. The error names the setting.
pub(super) fn authority(settings: &Settings) -> anyhow::Result<Authority> {
    let ca_file = settings.ca_file.as_deref();
    let vouchers = ca_file.map(|path| read_file("acme.ca_file", path));
    let authority = Authority::new(&settings.directory, vouchers.transpose()?.as_deref());
    authority.with_context(|| match ca_file {
        Some(path) => format!("acme.ca_file: {}", path.display()),
        None => "acme.ca_file".to_owned(),
    })
}

/// The available methods of proof, and the listeners for HTTP-01. Failure to listen is an
/// error only if there is no other method.
pub(super) async fn proofs(
    settings: &Settings,
    inherited: Vec<TcpListener>,
) -> anyhow::Result<(Vec<Proof>, Vec<TcpListener>)> {
    let mut proofs = Vec::new();
    if settings.tls_alpn {
        proofs.push(Proof::TlsAlpn01);
    }
    if !inherited.is_empty() {
        tracing::info!("using the service manager's socket in place of acme.http_addr");
        proofs.push(Proof::Http01);
        return Ok((proofs, inherited));
    }
    let addr = &settings.http_addr;
    if addr.is_empty() {
        return Ok((proofs, Vec::new()));
    }
    let bound = listener::bind(addr).await;
    match bound.map_err(|error| cannot_listen("acme.http_addr", addr, &error)) {
        Ok(listeners) => {
            proofs.push(Proof::Http01);
            Ok((proofs, listeners))
        }
        Err(error) if proofs.is_empty() => Err(error),
        Err(error) => {
            tracing::warn!(target: SETTINGS, "{error}, so {WITHOUT_HTTP_01}");
            Ok((proofs, Vec::new()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::metrics::distinct_ips::WindowKey;

    const NAME: &str = "broker.example";

    fn metrics() -> Arc<Metrics> {
        Arc::new(Metrics::new(UNIX_EPOCH, WindowKey::from([7; 16])))
    }

    /// A certificate for a name, valid from and until so many days from now.
    fn issued(name: &str, [from, until]: [i64; 2]) -> Issued {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        let days = |days: i64| {
            let away = Duration::from_hours(24 * days.unsigned_abs());
            let now = clock::wall_clock();
            if days < 0 { now - away } else { now + away }
        };
        params.not_before = days(from).into();
        params.not_after = days(until).into();
        Issued {
            chain: params.self_signed(&key).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// The authority may issue anything. It was served in place of a good certificate.
    #[tokio::test]
    async fn what_is_worse_than_the_served_certificate_is_not_served() {
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, issued("authority.example", [-1, 90]).chain).unwrap();
        let settings = Settings {
            hostnames: vec![NAME.to_owned()],
            cert_cache: folder.path().join("cache"),
            ca_file: Some(ca_file),
            ..Settings::default()
        };
        let orders = Orders::open(&settings, metrics()).unwrap();
        let expired = issued(NAME, [-9, -2]);
        // It is better than none.
        let first = orders.usable(&expired).unwrap();
        orders.store.set(first);
        let good = issued(NAME, [-1, 90]);
        let good = orders.usable(&good).unwrap();
        orders.store.set(good);
        let refused = |issued: &Issued| orders.usable(issued).unwrap_err().to_string();
        assert!(refused(&expired).starts_with("the certificate expired"));
        let later = issued(NAME, [7, 90]);
        assert!(refused(&later).starts_with("the certificate is not valid before"));
        let others = issued("other.example", [-1, 90]);
        assert_eq!(
            refused(&others),
            "the certificate is not for broker.example"
        );
        let mut long = issued(NAME, [-1, 90]);
        long.chain = long.chain.repeat(200);
        assert!(refused(&long).contains("which is more than clients take"));
        assert!(orders.usable(&issued(NAME, [-1, 80])).is_ok());
    }
}
