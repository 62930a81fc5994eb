//! The served certificate, with its metrics and log texts.

use std::sync::Arc;
use std::time::SystemTime;

use crate::metrics::Metrics;
use crate::metrics::labels::OrderOutcome;
use crate::tls::{CertResolver, Certificate};

/// Passes certificates to the handshakes and the metrics.
pub(super) struct CertStore {
    resolver: Arc<CertResolver>,
    metrics: Arc<Metrics>,
}

impl CertStore {
    pub(super) fn new(resolver: CertResolver, metrics: Arc<Metrics>) -> Self {
        Self {
            resolver: Arc::new(resolver),
            metrics,
        }
    }

    pub(super) fn resolver(&self) -> Arc<CertResolver> {
        Arc::clone(&self.resolver)
    }

    /// Serves this certificate from now on.
    pub(super) fn set(&self, certificate: Certificate) {
        let until = certificate.validity().until;
        self.metrics.certificate_loaded(until);
        self.resolver.set(certificate);
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
