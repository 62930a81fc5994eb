//! Export to OpenTelemetry collectors, from start to stop.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::global::BoxedTracer;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::broker::{Broker, clock};
use crate::causes::with_causes;
use crate::telemetry::otel::{Clocks, Instance, Otel, OtelError, Settings};

use super::entropy;
use super::process_metrics::process_figures;

fn start(settings: &Settings) -> anyhow::Result<(Otel, Vec<OtelError>)> {
    let instance = Instance {
        version: env!("CARGO_PKG_VERSION"),
        random: entropy::bytes()?,
    };
    let clocks = Clocks {
        monotonic: clock::now,
        wall: clock::wall_clock,
    };
    Ok(Otel::start(settings, &instance, clocks))
}

fn in_vain(error: &OtelError) -> String {
    let problem = with_causes(error);
    format!("otel: {problem} (until a restart)")
}

/// The export of traces and, after [`Self::watch`], of metrics.
#[derive(Debug)]
pub(super) struct Exports {
    otel: Otel,
    stop: CancellationToken,
    metrics: Option<JoinHandle<()>>,
}

impl Exports {
    /// Sets up the configured exports as far as possible on this machine, and adds a
    /// warning for each other one. Contacts no collector. Must be called in a runtime.
    pub(super) fn open(settings: &Settings, warnings: &mut Vec<String>) -> anyhow::Result<Self> {
        let (otel, lacking) = start(settings)?;
        warnings.extend(lacking.iter().map(in_vain));
        Ok(Self {
            otel,
            stop: CancellationToken::new(),
            metrics: None,
        })
    }

    /// A tracer that records spans; `None` if traces are not exported.
    pub(super) fn tracer(&self) -> Option<BoxedTracer> {
        self.otel.tracer()
    }

    /// Exports the broker's metrics, if configured, until `stop` is cancelled or the
    /// exports are closed.
    pub(super) fn watch(&mut self, broker: &Arc<Broker>, stop: CancellationToken) {
        self.stop = stop;
        let broker = Arc::clone(broker);
        let collect = move || broker.control().export_metrics(process_figures());
        let exporter = self.otel.take_metrics_exporter();
        self.metrics =
            exporter.map(|exporter| tokio::spawn(exporter.run(collect, self.stop.clone())));
    }

    /// Exports the remaining data, for at most `patience`.
    pub(super) async fn close(self, patience: Duration) {
        self.stop.cancel();
        let last_metrics = async {
            if let Some(metrics) = self.metrics
                && timeout(patience, metrics).await.is_err()
            {
                tracing::warn!("the last metrics were not exported in time");
            }
        };
        tokio::join!(last_metrics, self.otel.shut_down(patience));
    }
}
