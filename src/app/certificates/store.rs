//! The served certificate, with its metrics and log texts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::metrics::Metrics;
use crate::metrics::labels::OrderOutcome;
use crate::tls::{CertResolver, Certificate, Validity};

/// Passes certificates to the handshakes and the metrics.
pub(super) struct CertStore {
    resolver: Arc<CertResolver>,
    metrics: Arc<Metrics>,
    /// The validity of the certificate that is served.
    served: Mutex<Option<Validity>>,
}

impl CertStore {
    pub(super) fn new(resolver: CertResolver, metrics: Arc<Metrics>) -> Self {
        Self {
            resolver: Arc::new(resolver),
            metrics,
            served: Mutex::new(None),
        }
    }

    pub(super) fn resolver(&self) -> Arc<CertResolver> {
        Arc::clone(&self.resolver)
    }

    /// Serves this certificate from now on.
    pub(super) fn set(&self, certificate: Certificate) {
        let validity = certificate.validity();
        self.metrics.certificate_loaded(validity.until);
        *self.served() = Some(validity);
        self.resolver.set(certificate);
    }

    /// Returns true if clients can do more with the certificate that is served than with one of
    /// this validity.
    pub(super) fn has_better_than(&self, validity: Validity, now: SystemTime) -> bool {
        let served = *self.served();
        served.is_some_and(|served| served.is_better_than(validity, now))
    }

    fn served(&self) -> MutexGuard<'_, Option<Validity>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an order.
    pub(super) fn order_ended(&self, outcome: OrderOutcome) {
        self.metrics.order_ended(outcome);
    }
}

/// The end of a certificate's validity, for log lines.
pub(super) fn valid_until(certificate: &Certificate) -> String {
    timestamp(certificate.validity().until)
}

/// A wall-clock time, for log lines.
pub(in crate::app) fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
