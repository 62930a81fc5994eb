//! The figures of the process, under the names that all Prometheus clients use.

use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

/// Figures of the process, from the operating system.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessFigures {
    /// CPU time used, user and system together, in seconds.
    pub cpu_seconds: f64,
    /// Memory that is not swapped out, in bytes.
    pub resident_memory_bytes: u64,
    /// Address space, in bytes.
    pub virtual_memory_bytes: u64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// The soft limit of open file descriptors.
    pub max_fds: u64,
}

#[derive(Debug, Default)]
pub(super) struct ProcessMetrics {
    cpu_seconds: Counter<f64, AtomicU64>,
    resident_memory_bytes: Gauge<u64, AtomicU64>,
    virtual_memory_bytes: Gauge<u64, AtomicU64>,
    open_fds: Gauge<u64, AtomicU64>,
    max_fds: Gauge<u64, AtomicU64>,
}

impl ProcessMetrics {
    #[rustfmt::skip]
    pub(super) fn register(registry: &mut Registry, start: SystemTime) -> Self {
        let metrics = Self::default();
        registry.register("process_cpu_seconds", "Processor time used, in seconds", metrics.cpu_seconds.clone());
        registry.register("process_resident_memory_bytes", "Resident memory size in bytes", metrics.resident_memory_bytes.clone());
        registry.register("process_virtual_memory_bytes", "Virtual memory size in bytes", metrics.virtual_memory_bytes.clone());
        registry.register("process_open_fds", "Open file descriptors", metrics.open_fds.clone());
        registry.register("process_max_fds", "Maximum number of open file descriptors", metrics.max_fds.clone());
        let start = start.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        registry.register("process_start_time_seconds", "Start time of the process, in seconds since the epoch", ConstGauge::new(start.as_secs_f64()));
        metrics
    }

    pub(super) fn set(&self, figures: ProcessFigures) {
        let more = figures.cpu_seconds - self.cpu_seconds.get();
        self.cpu_seconds.inc_by(more.max(0.0));
        self.resident_memory_bytes
            .set(figures.resident_memory_bytes);
        self.virtual_memory_bytes.set(figures.virtual_memory_bytes);
        self.open_fds.set(figures.open_fds);
        self.max_fds.set(figures.max_fds);
    }
}
