//! The counters of NAT probes. A broker without a probe server has them, too, at 0.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Metrics;
use super::families::{NatProbeLabels, add, seed2};
use super::labels::{NatProbeMode, NatProbeOutcome};

#[derive(Debug)]
pub(super) struct NatProbeFamilies {
    ended: Family<NatProbeLabels, Counter>,
    under_way: Gauge,
}

impl NatProbeFamilies {
    #[rustfmt::skip]
    pub(super) fn register(r: &mut Registry) -> Self {
        let families = Self {
            ended: add(r, "snowflake_broker_nat_probes", "Requests of proxies for a NAT probe, by mode and outcome", Family::default()),
            under_way: add(r, "snowflake_broker_nat_probes_under_way", "NAT probes under way", Gauge::default()),
        };
        seed2(&families.ended, NatProbeLabels::new);
        families
    }
}

impl Metrics {
    /// Counts the end of a NAT probe, or of a request for one.
    pub fn nat_probe_ended(&self, mode: NatProbeMode, outcome: NatProbeOutcome) {
        let ended = &self.nat_probes.ended;
        ended
            .get_or_create(&NatProbeLabels::new(mode, outcome))
            .inc();
    }

    /// Sets the number of NAT probes under way.
    pub fn nat_probes_under_way(&self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.nat_probes.under_way.set(count);
    }
}
